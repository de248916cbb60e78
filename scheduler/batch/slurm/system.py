"""Slurm's words: the #SBATCH header, and what sbatch, squeue and sacct print. It runs nothing.

States after https://slurm.schedmd.com/job_state_codes.html; what else is known was seen on Slurm 22.05 and 24.11.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from functools import lru_cache

from scheduler.batch.base import REST, Accepted, Ask, BatchSystem, Full, Key, Outcome, Refused, Unknown, read_indices
from scheduler.batch.slurm.directives import header
from scheduler.job.evidence import Observation
from scheduler.job.state import Cause, JobState
from scheduler.job.units import format_walltime

STATES: Mapping[str, tuple[JobState, Cause]] = {
    # base states
    "PENDING": (JobState.QUEUED, Cause.NONE),
    "RUNNING": (JobState.RUNNING, Cause.NONE),
    "SUSPENDED": (JobState.SUSPENDED, Cause.NONE),
    "COMPLETED": (JobState.COMPLETED, Cause.NONE),
    "FAILED": (JobState.FAILED, Cause.UNKNOWN),
    "CANCELLED": (JobState.CANCELLED, Cause.CANCELLED),
    "TIMEOUT": (JobState.FAILED, Cause.TIME_LIMIT),
    "DEADLINE": (JobState.FAILED, Cause.TIME_LIMIT),
    "OUT_OF_MEMORY": (JobState.FAILED, Cause.OUT_OF_MEMORY),
    "NODE_FAIL": (JobState.FAILED, Cause.NODE_FAILURE),
    "BOOT_FAIL": (JobState.FAILED, Cause.NODE_FAILURE),
    "PREEMPTED": (JobState.FAILED, Cause.PREEMPTED),
    # flags, printed in place of the base state
    "COMPLETING": (JobState.RUNNING, Cause.NONE),
    "CONFIGURING": (JobState.QUEUED, Cause.NONE),
    "POWER_UP_NODE": (JobState.QUEUED, Cause.NONE),
    "REQUEUED": (JobState.QUEUED, Cause.NONE),
    "REQUEUE_FED": (JobState.QUEUED, Cause.NONE),
    "REQUEUE_HOLD": (JobState.HELD, Cause.NONE),
    "SPECIAL_EXIT": (JobState.HELD, Cause.NONE),
    "RESV_DEL_HOLD": (JobState.HELD, Cause.NONE),
    "RESIZING": (JobState.RUNNING, Cause.NONE),
    "SIGNALING": (JobState.RUNNING, Cause.NONE),
    "STAGE_OUT": (JobState.RUNNING, Cause.NONE),
    "UPDATE_DB": (JobState.RUNNING, Cause.NONE),
    "STOPPED": (JobState.SUSPENDED, Cause.NONE),
    "REVOKED": (JobState.QUEUED, Cause.NONE),  # here, because another cluster of the federation has begun it
    "LAUNCH_FAILED": (JobState.HELD, Cause.NONE),
    "RECONFIG_FAIL": (JobState.HELD, Cause.NONE),
}
_HELD_REASONS = (
    "JobHeldUser", "JobHeldAdmin", "JobHoldMaxRequeue", "job requeued in held state", "launch failed requeued held",
)  # fmt: skip
_NEVER = "DependencyNeverSatisfied"
# After these sbatch may have been heard all the same: a frozen controller ran the job in 3 of 3 tries.
_IN_DOUBT = (
    "timed out",
    "Unable to contact",
    "Connection reset",
    "Connection refused",
    "Zero Bytes",
    "Unexpected message",
    "Message send failure",
    "Message receive failure",
    "Communication connection failure",
    "Communication shutdown failure",
)
# The limits on how many jobs a user may have in the queue, by the names that sbatch prints before its refusal (Slurm's
# list of job reasons). A running limit keeps a job pending and is no refusal.
_FULL = re.compile(r"\b(QOS|Assoc)(Grp|Max)\w*Submit\w*Limit\b|temporarily unable to accept job|Job limit exceeded")
_USAGE = 255  # what sbatch ends with when it does not know an option


class Slurm(BatchSystem):
    """Slurm 20 and later."""

    name = "slurm"
    submit_command = "sbatch --parsable"
    strikes_out = True

    def directives(self, ask: Ask) -> str:
        want = ask.resources
        options: dict[str, object] = {
            "job-name": ask.name,
            "array": f"0-{ask.count - 1}" if ask.count > 1 else None,
            "output": f"batches/{ask.first}/log.{'%a' if ask.count > 1 else '0'}",
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
            "exclude": ",".join(ask.exclude) or None,
            **_memory(ask),
        }
        return header({k: v for k, v in options.items() if v is not None}, want.native)

    def read_submit(self, exit_code: int, words: str) -> Outcome:
        """The first word is the id, with ``;cluster`` behind it in a federation. Warnings go to stderr."""
        first = words.split()[0] if words.split() else ""
        if exit_code == 0:
            return Accepted(first) if _is_number(first.split(";")[0], digits=18) else Unknown(words, exit_code)
        misread = exit_code == _USAGE and "sbatch --help" in words
        if (exit_code > 128 and not misread) or any(doubt in words for doubt in _IN_DOUBT):
            return Unknown(words, exit_code)
        said = words.replace("\r", "\n").strip()
        return Full(said, exit_code) if _FULL.search(words) else Refused(said, exit_code)

    def read_live(self, lines: Iterable[str]) -> Mapping[Key, Observation]:
        """Lines of ``squeue -o '%j|%K|%F|%T|%N|%S|%r'``: the reason may hold anything, so it comes last."""
        found: dict[Key, Observation] = {}
        for line in lines:
            fields = line.split("|", 6)
            if len(fields) == 7:
                sighting = _live(*fields[2:])
                for index in read_indices(fields[1]) or [REST if fields[1] == "rest" else 0]:
                    _add(found, (fields[0], index), sighting)
        return found

    def read_history(self, lines: Iterable[str], names: Mapping[str, str]) -> Mapping[Key, Observation]:
        """Rows of ``sacct -P -o JobID,JobName,State,ExitCode,NodeList,Start,End,MaxRSS,ReqMem``, with steps."""
        rows = [fields for fields in (line.split("|") for line in lines) if len(fields) == 9]
        peaks: dict[str, int] = {}
        for fields in rows:
            if "." in fields[0]:
                job = fields[0].split(".")[0]
                peaks[job] = max(peaks.get(job, 0), _kibibytes(fields[7]))
        found: dict[Key, Observation] = {}
        for fields in rows:
            base, _, index = fields[0].partition("_")
            if "." in fields[0] or names.get(base, fields[1]) != fields[1]:
                continue  # a step, or a job of another name that got this id after a reset of the controller
            for number in read_indices(index) or [0]:
                _add(found, (fields[1], number), _history(fields, peaks.get(fields[0], 0)))
        return found

    def no_history(self, words: str) -> bool:
        return "accounting storage is disabled" in words or "sacct: command not found" in words


def _add(found: dict[Key, Observation], key: Key, sighting: Observation) -> None:
    """A controller that said no may have taken a batch all the same, so that two jobs have one name. The one that began
    first runs the payload; the other ends at once, or is cancelled, and proves nothing."""
    known = found.get(key)
    if known is None or _precedence(sighting) < _precedence(known):
        found[key] = sighting


def _precedence(sighting: Observation) -> tuple[bool, bool, bool, float]:
    began = sighting.started is not None
    begun_at = sighting.started.timestamp() if sighting.started else 0.0
    return (not (began and sighting.active), not began, not sighting.active, begun_at)


def _memory(ask: Ask) -> dict[str, object]:
    mib, cpus = ask.resources.memory_mib, ask.resources.cpus or 1
    if mib is None or ask.memory_style == "omit":
        return {}
    if ask.memory_style == "per_cpu":
        return {"mem-per-cpu": f"{-(-mib // cpus)}M"}
    return {"mem": f"{mib}M"}


@lru_cache(maxsize=1 << 14)  # most lines are those of the last poll
def _live(batch_id: str, raw: str, node: str, start: str, reason: str) -> Observation:
    state, cause = _meaning(raw)
    if state is JobState.QUEUED and reason in _HELD_REASONS:
        state = JobState.HELD
    if state is JobState.QUEUED and reason == _NEVER:
        state, cause = JobState.FAILED, Cause.DEPENDENCY
    if cause is Cause.UNKNOWN and reason.startswith("RaisedSignal"):
        cause = Cause.SIGNAL
    shown = "" if reason in ("None", "(null)") else reason
    started = _time(start) if node else None  # without a node it is when it may start, or when it was cancelled
    return Observation(raw, state, cause, reason=shown, node=node, started=started, batch_id=batch_id)


def _history(fields: list[str], peak_kib: int) -> Observation:
    """A job killed for its memory without cgroups is FAILED 0:9, and its batch step's peak is over the request.

    Of a job that was cancelled or timed out, ``0:0`` and ``0:15`` say nothing of the payload's exit code.
    """
    job, _, raw, exit_pair, node, start, end, _, asked = fields
    state, cause = _meaning(raw)
    code, _, signal = exit_pair.partition(":")
    exit_code = int(code) if _is_number(code) and (code != "0" or state is JobState.COMPLETED) else None
    if state is JobState.FAILED and cause is Cause.UNKNOWN:
        if signal == "9" and _kibibytes(asked) and peak_kib > _kibibytes(asked):
            cause = Cause.OUT_OF_MEMORY
        elif _is_number(signal) and signal != "0":
            cause, exit_code = Cause.SIGNAL, 128 + int(signal)
        elif exit_code:
            cause = Cause.EXIT_CODE
    started = None if node in ("", "None assigned") else _time(start)
    node = node.replace("None assigned", "")
    base = job.partition("_")[0]
    return Observation(raw, state, cause, exit_code, node=node, started=started, ended=_time(end), batch_id=base)


def _meaning(raw: str) -> tuple[JobState | None, Cause]:
    """``CANCELLED by 1001``: the uid is part of the word; ``CANCELLED+``: sacct has cut it."""
    word = raw.split(" ", 1)[0].rstrip("+")
    return STATES.get(word, (None, Cause.NONE))


def _time(seconds: str) -> datetime | None:
    known = _is_number(seconds, digits=11) and int(seconds)
    return datetime.fromtimestamp(int(seconds), timezone.utc) if known else None


def _is_number(word: str, *, digits: int = 9) -> bool:
    return word.isascii() and word.isdecimal() and len(word) <= digits


_UNITS = {"K": 1, "M": 1024, "G": 1024**2, "T": 1024**3}


def _kibibytes(text: str) -> int:
    """``3072M``, ``1.50G``, ``4Gn`` (per node, before 21.08), ``2048``: bytes if there is no unit."""
    number, unit = text.rstrip("nc"), "B"
    if number and number[-1] in _UNITS:
        number, unit = number[:-1], number[-1]
    try:
        return int(float(number) * _UNITS[unit]) if unit != "B" else int(float(number or 0) / 1024)
    except (ValueError, OverflowError):  # "inf" is a number to Python
        return 0


SYSTEM = Slurm()
