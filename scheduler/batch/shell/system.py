"""A machine without a batch system: the words of our own queue in shell.sh. It runs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from scheduler.batch.base import Accepted, Ask, BatchSystem, Key, Outcome, Refused, Unknown
from scheduler.errors import ConfigError
from scheduler.job.evidence import Observation
from scheduler.job.state import Cause, JobState

STATES: Mapping[str, tuple[JobState, Cause, str]] = {
    "QUEUED": (JobState.QUEUED, Cause.NONE, "waits for a free place"),
    "RUNNING": (JobState.RUNNING, Cause.NONE, ""),
    "TIMEOUT": (JobState.FAILED, Cause.TIME_LIMIT, ""),
    "CANCELLED": (JobState.CANCELLED, Cause.CANCELLED, ""),
    "GONE": (
        JobState.FAILED,
        Cause.SIGNAL,
        "its process vanished: killed from outside, or the machine was restarted",
    ),
}


class Shell(BatchSystem):
    """At most so many jobs at once, walltime enforced; memory is not."""

    name = "shell"
    submit_command = "queue"
    poll_seconds = 0.5

    def directives(self, ask: Ask) -> str:
        if ask.resources.native:
            raise ConfigError(
                f"native: a machine without a batch system has no directives: {ask.resources.native[0]!r}"
            )
        return ""

    def read_submit(self, exit_code: int, words: str) -> Outcome:
        if exit_code == 0:
            return Accepted(words.strip())
        return Unknown(words, exit_code) if exit_code > 128 else Refused(words.strip(), exit_code)

    def read_live(self, lines: Iterable[str]) -> Mapping[Key, Observation]:
        """``ENDED`` says nothing but that no process is left: its end file, or a long silence, tells the rest."""
        found: dict[Key, Observation] = {}
        for line in lines:
            fields = line.split("|")
            if len(fields) == 4 and fields[1].isdecimal() and len(fields[1]) < 10 and fields[2] in STATES:
                state, cause, reason = STATES[fields[2]]
                found[fields[0], int(fields[1])] = Observation(fields[2], state, cause, reason=reason, node=fields[3])
        return found

    def read_history(self, lines: Iterable[str], names: Mapping[str, str]) -> Mapping[Key, Observation]:
        return {}

    def no_history(self, words: str) -> bool:
        return True


SYSTEM = Shell()
