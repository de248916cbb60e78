"""Where a job stands and why: states, causes, and one observation of them. How they follow is in `settle.py`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class NamedEnum(Enum):
    """Equal to the member of the same name in an enum of the same name: AID2E's runners compare ours with their own."""

    def __eq__(self, other: object) -> bool:
        if self is other or type(other) is type(self):
            return self is other
        if isinstance(other, Enum) and type(other).__name__ == type(self).__name__:
            return other.name == self.name
        return NotImplemented

    __hash__ = Enum.__hash__  # of the name, so that equal members have equal hashes


class JobState(NamedEnum):
    """Where a job stands. The last three are final: they are left only for better evidence."""

    CREATED = ("created", "known here only; nothing has been sent")
    SUBMITTING = (
        "submitting",
        "on its way: whether the batch system has it is not known yet, or it waits for a place there",
    )
    QUEUED = ("queued", "the batch system has it, and it waits for its turn")
    HELD = ("held", "the batch system has it, and somebody must release it")
    RUNNING = ("running", "the payload runs")
    SUSPENDED = ("suspended", "the batch system has stopped it for a while")
    COMPLETED = ("completed", "the payload ended with exit code 0 and its outputs are there")
    FAILED = ("failed", "it ended otherwise; the cause says how")
    CANCELLED = ("cancelled", "somebody ended it on purpose")

    def __init__(self, word: str, sentence: str) -> None:
        self.word = word
        self.sentence = sentence
        self._is_final = word in ("completed", "failed", "cancelled")

    def __str__(self) -> str:
        return self.word

    @property
    def final(self) -> bool:
        """Nothing more is expected of a job in this state."""
        return self._is_final


class Cause(Enum):
    """Why a job ended as it did."""

    NONE = ("", "it has not ended, or it completed")
    EXIT_CODE = ("exit code", "the payload ended with an exit code other than 0")
    SIGNAL = ("signal", "the payload was ended by a signal, and nobody can say who sent it")
    TIME_LIMIT = ("time limit", "it ran longer than its walltime")
    OUT_OF_MEMORY = ("out of memory", "it used more memory than it asked for")
    CANCELLED = ("cancelled", "it was cancelled by its user or an administrator")
    NODE_FAILURE = ("node failure", "the node it ran on failed")
    PREEMPTED = ("preempted", "it had to make way for another job")
    MISSING_OUTPUT = ("missing output", "the payload ended well, but a declared output is not there")
    CANNOT_START = (
        "cannot start",
        "the payload was never begun: no image, no runtime, no interpreter, no folder",
    )
    REFUSED = ("refused", "the batch system did not take the job")
    DEPENDENCY = ("dependency", "a job that it depends on can no longer end well")
    LOST = ("lost", "neither the job, nor the queue, nor the history knows of it any more")
    UNKNOWN = ("unknown", "the batch system says that it failed, and nothing says why")

    def __init__(self, word: str, sentence: str) -> None:
        self.word = word
        self.sentence = sentence

    def __str__(self) -> str:
        return self.word


@dataclass(frozen=True, slots=True)
class Status:
    """One observation of a job.

    Attributes:
        state: where it stands.
        cause: why it ended so; `Cause.NONE` while it goes on.
        exit_code: of the payload, 128 + n for signal n; None if not known.
        raw: the batch system's own word, unedited (``CANCELLED by 1001``), or empty.
        reason: one line for a person: what is waited for, or what went wrong.
        node: where it runs or ran, if known.
        started, ended: when the payload did so, by the clock over there (UTC).
        requeues: 0 for the first run, more after a requeue by the batch system.
        retries: 0 for what was submitted first, more after each time that it was submitted again.
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
        """Nothing more is expected of the job."""
        return self.state.final

    def __str__(self) -> str:
        """A few words for a table: ``failed: time limit``."""
        if self.cause is Cause.EXIT_CODE and self.exit_code is not None:
            return f"{self.state}: exit code {self.exit_code}"
        if self.cause in (Cause.NONE, Cause.CANCELLED):
            return str(self.state)
        return f"{self.state}: {self.cause}"
