"""States of jobs, causes of failures, and Status: one observation of a job. `engine/poll/settle.py` decides them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class NamedEnum(Enum):
    """An enum whose members equal the members with the same names in another enum with the same name.

    AID2E's runners compare our members with the members of AID2E's enums.
    """

    def __eq__(self, other: object) -> bool:
        if self is other or type(other) is type(self):
            return self is other
        if isinstance(other, Enum) and type(other).__name__ == type(self).__name__:
            return other.name == self.name
        return NotImplemented

    __hash__ = Enum.__hash__  # a hash of the name: equal members have equal hashes


class JobState(NamedEnum):
    """The state of a job. The last three are final: they change only on better evidence.

    Attributes:
        word: the state in tables and in ``--json``.
        sentence: what it means.
    """

    CREATED = ("created", "known on this machine only; nothing was sent")
    SUBMITTING = (
        "submitting",
        "being submitted: not known yet whether the batch system has it, or waiting for a free slot",
    )
    QUEUED = ("queued", "in the batch system's queue, waiting to start")
    HELD = ("held", "in the queue; it cannot start until it is released")
    RUNNING = ("running", "its payload is running")
    SUSPENDED = ("suspended", "paused by the batch system")
    COMPLETED = ("completed", "the payload ended with exit code 0, and every declared output exists")
    FAILED = ("failed", "it ended in any other way; the cause is the reason")
    CANCELLED = ("cancelled", "cancelled by a user or an administrator")

    def __init__(self, word: str, sentence: str) -> None:
        self.word = word
        self.sentence = sentence
        self._is_final = word in ("completed", "failed", "cancelled")

    def __str__(self) -> str:
        return self.word

    @property
    def final(self) -> bool:
        """Whether it is completed, failed or cancelled."""
        return self._is_final


class Cause(Enum):
    """Why a job failed or was cancelled.

    Attributes:
        word: the cause in tables and in ``--json``.
        sentence: what it means.
    """

    NONE = ("", "not finished, or completed")
    EXIT_CODE = ("exit code", "the payload ended with an exit code other than 0")
    SIGNAL = ("signal", "the payload was killed by a signal of unknown origin")
    TIME_LIMIT = ("time limit", "it ran longer than its walltime")
    OUT_OF_MEMORY = ("out of memory", "it used more memory than it requested")
    CANCELLED = ("cancelled", "it was cancelled by a user or an administrator")
    NODE_FAILURE = ("node failure", "its node failed")
    PREEMPTED = ("preempted", "it was stopped in favour of another job")
    MISSING_OUTPUT = ("missing output", "the payload ended with exit code 0, but a declared output does not exist")
    BAD_OUTPUT = (
        "bad output",
        "the payload ended with exit code 0, but an output cannot be collected, for example because it cannot be read",
    )
    CANNOT_START = (
        "cannot start",
        "the payload could not start: no image, container runtime, interpreter or folder",
    )
    REFUSED = ("refused", "the batch system did not accept the job")
    DEPENDENCY = ("dependency", "a job that it depends on can no longer complete")
    LOST = ("lost", "it left no end file, and neither the queue nor the history has it any more")
    UNKNOWN = ("unknown", "the batch system reports a failure without a reason")

    def __init__(self, word: str, sentence: str) -> None:
        self.word = word
        self.sentence = sentence

    def __str__(self) -> str:
        return self.word


@dataclass(frozen=True, slots=True)
class Status:
    """One observation of a job.

    Attributes:
        state: the state.
        cause: why it failed or was cancelled; else `Cause.NONE`.
        exit_code: exit code of the payload, 128 + n for signal n; None if not known.
        raw: the batch system's own word for the state, unedited (``CANCELLED by 1001``); empty if it gave none.
        reason: one line for the user: what the job waits for, or what went wrong.
        node: where it runs or ran; empty if not known.
        started, ended: when the payload started and ended, by the clock of the cluster (UTC); None if not known.
        requeues: how often the batch system has requeued this attempt.
        retries: how many retries there were; 0 for the first attempt. The attempt number is ``retries + 1``.
    """

    state: JobState = JobState.CREATED
    cause: Cause = Cause.NONE
    exit_code: int | None = None
    raw: str = ""
    reason: str = ""
    node: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    requeues: int = 0
    retries: int = 0

    @property
    def final(self) -> bool:
        """Whether the state is final."""
        return self.state.final

    def __str__(self) -> str:
        """State and cause, as in tables: ``failed: time limit``."""
        if self.cause is Cause.EXIT_CODE and self.exit_code is not None:
            return f"{self.state}: exit code {self.exit_code}"
        if self.cause in (Cause.NONE, Cause.CANCELLED):
            return str(self.state)
        return f"{self.state}: {self.cause}"
