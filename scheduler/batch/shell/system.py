"""A machine without a batch system: what the output of our own queue (shell.sh, worker.sh) means. It runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from scheduler.batch.base import BatchSystem, Key
from scheduler.batch.outcome import Accepted, Outcome, Refused, Unknown
from scheduler.batch.request import BatchRequest
from scheduler.errors import ConfigError
from scheduler.job.evidence import Observation
from scheduler.job.numerals import read_number
from scheduler.job.state import Cause, JobState

STATES: Mapping[str, tuple[JobState, Cause, str]] = {
    "QUEUED": (JobState.QUEUED, Cause.NONE, "waits for a free slot"),
    "RUNNING": (JobState.RUNNING, Cause.NONE, ""),
    "TIMEOUT": (JobState.FAILED, Cause.TIME_LIMIT, ""),
    "CANCELLED": (JobState.CANCELLED, Cause.CANCELLED, ""),
    "GONE": (JobState.FAILED, Cause.SIGNAL, "its process vanished: it was killed, or the machine was restarted"),
}
"""A word of shell.sh → state, cause and reason. ``ENDED`` is not among them: it means only that no process is left."""


class Shell(BatchSystem):
    """Runs a limited number of jobs at once on the login node. It enforces the walltime, but no memory limit."""

    name = "shell"
    id_form = re.compile(r"[A-Za-z0-9]+-[0-9]+")
    submit_command = "queue"
    has_queues = False
    poll_seconds = 0.5
    bundle_files = ("worker.sh",)

    def directives(self, request: BatchRequest) -> str:
        """Empty: a machine without a batch system has no directives."""
        native = request.resources.native
        if native:
            raise ConfigError(f"native: a machine without a batch system has no directives: {native[0]!r}")
        return ""

    def read_submit(self, exit_code: int, output: str) -> Outcome:
        if exit_code == 0:
            ids = self.ids_in(output)
            return Accepted(*ids) if len(ids) == 1 else Unknown(output, exit_code)
        return Unknown(output, exit_code) if exit_code > 128 or exit_code == 124 else Refused(output.strip(), exit_code)

    def read_live(self, lines: Iterable[str], counts: Mapping[str, int]) -> Mapping[Key, Observation]:
        """Lines ``name|index|state|node``."""
        found: dict[Key, Observation] = {}
        for line in lines:
            fields = line.split("|")
            index = read_number(fields[1]) if len(fields) == 4 and fields[2] in STATES else None
            if index is not None and index < counts.get(fields[0], 0):
                state, cause, reason = STATES[fields[2]]
                found[fields[0], index] = Observation(fields[2], state, cause, reason=reason, node=fields[3])
        return found

    def read_history(
        self, lines: Iterable[str], names: Mapping[str, str], counts: Mapping[str, int]
    ) -> Mapping[Key, Observation]:
        """There is no history."""
        return {}

    def no_history(self, error: str) -> bool:
        return True

    def task_id(self, batch_id: str, index: int) -> str:
        """The id of the batch: its jobs have no id of their own."""
        return batch_id


SYSTEM = Shell()
