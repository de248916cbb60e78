"""Slurm: the directives of a batch, and what the output of sbatch, squeue and sacct means. It runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from scheduler.batch.base import BatchSystem, Key
from scheduler.batch.outcome import NOTHING_QUEUED, Accepted, Full, Outcome, Refused, Unknown
from scheduler.batch.request import BatchRequest
from scheduler.batch.slurm.directives import header
from scheduler.batch.slurm.rows import read_sacct, read_squeue
from scheduler.batch.slurm.states import FULL, IN_DOUBT, LOG_CAUSES, LOG_OF_REQUEUE
from scheduler.job.evidence import Observation
from scheduler.job.state import Cause
from scheduler.job.units import format_walltime

_SENTENCE = re.compile(r"^Submitted batch job ([0-9]+)(?: on cluster \S+)?[ \t]*(?=[\r\n]|\Z)", re.M)
_USAGE = 255
"""The exit code of sbatch for an option or a value that it does not accept: a refusal, if its output has a reason."""

_TIMEOUT = 124
"""The exit code of timeout(1), with which a wrapper may have ended sbatch."""


class Slurm(BatchSystem):
    """Slurm 20 and later."""

    name = "slurm"
    directive = "#SBATCH"
    id_form = re.compile(r"[1-9][0-9]{0,17}(;[A-Za-z0-9_.-]+)?")
    submit_command = "sbatch --parsable"
    drops_cancelled_tasks = True
    excludes_nodes = True
    core_variables = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
    log_causes = LOG_CAUSES
    log_prefixes = ("slurmstepd", "slurmd", "srun: ", "slurm_script: ")

    def directives(self, request: BatchRequest) -> str:
        """The ``#SBATCH`` lines."""
        want = request.resources
        options: dict[str, object] = {
            "job-name": request.name,
            "array": f"0-{request.count - 1}" if request.count > 1 else None,
            "output": f"batches/{request.first}/log.{'%a' if request.count > 1 else '0'}",
            "open-mode": "append",
            "no-requeue": True,
            "time": format_walltime(want.walltime) if want.walltime is not None else None,
            "nodes": want.nodes,
            "ntasks": want.tasks,
            "cpus-per-task": want.cpus,
            "gpus-per-node": want.gpus or None,
            "partition": want.queue,
            "account": want.account,
            "qos": want.qos,
            "constraint": want.constraint,
            "exclude": ",".join(request.exclude) or None,
            **_memory(request),
        }
        return header({k: v for k, v in options.items() if v is not None}, want.native, request.native_options)

    def read_submit(self, exit_code: int, output: str) -> Outcome:
        """``sbatch --parsable`` prints the id, in a federation with ``;cluster`` after it. Warnings go to stderr."""
        ids = self.ids_in(output)
        if exit_code == 0 and len(ids) == 1:
            return Accepted(*ids)
        wrong_option = exit_code == _USAGE and "sbatch --help" in output
        killed = exit_code == _TIMEOUT or (exit_code > 128 and exit_code != _USAGE)
        if ids or exit_code == 0 or killed or (IN_DOUBT.search(output) and not wrong_option) or not output.strip():
            return Unknown(output, exit_code)
        message = output.replace("\r", "\n").strip()
        if FULL.search(output):
            return Full(message, exit_code, never_fits=NOTHING_QUEUED in output)
        return Refused(message, exit_code)

    def ids_in(self, output: str) -> set[str]:
        """A wrapper of the site may print what sbatch prints without ``--parsable``."""
        return super().ids_in(_SENTENCE.sub(r"\1", output))

    def read_live(self, lines: Iterable[str], counts: Mapping[str, int]) -> Mapping[Key, Observation]:
        return read_squeue(lines, counts)

    def read_history(
        self, lines: Iterable[str], names: Mapping[str, str], counts: Mapping[str, int]
    ) -> Mapping[Key, Observation]:
        return read_sacct(lines, names, counts)

    def no_history(self, error: str) -> bool:
        return "accounting storage is disabled" in error or "sacct: command not found" in error

    def task_id(self, batch_id: str, index: int) -> str:
        """``4711_3``"""
        return f"{self.job_id(batch_id)}_{index}"

    def job_id(self, batch_id: str) -> str:
        """``4711``, without the cluster of a federation."""
        return batch_id.split(";")[0]

    def log_cause(self, log: Sequence[str]) -> Cause | None:
        return super().log_cause([line for line in log if LOG_OF_REQUEUE not in line])


def _memory(request: BatchRequest) -> dict[str, object]:
    mib, cpus = request.resources.memory_mib, request.resources.cpus or 1
    if mib is None or request.memory_style == "omit":
        return {}
    if request.memory_style == "per_cpu":
        return {"mem-per-cpu": f"{-(-mib // cpus)}M"}
    return {"mem": f"{mib}M"}


SYSTEM = Slurm()
