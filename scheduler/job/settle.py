"""How witnesses of a job are weighed: the end file, the queue, the history, the job's log. Pure.

Order of proof: what the script itself wrote at its end; the live queue with all states; the history; and only a long
silence of all of them, in answers that came, makes a job LOST. Where the end file says 0 and the batch system says that
it killed the job, the batch system is believed: a payload may end with 0 when it is told to stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from scheduler.job.state import Cause, JobState, Status

SILENT_POLLS = 5
"""So many answered polls in a row must know nothing of a job before it is LOST …"""
SILENT_SECONDS = 300.0
"""… and so many seconds must lie between the first and the last of them (accounting and file systems lag)."""
PATIENT_POLLS = 3
"""So many answered polls a killed job may stay unexplained while the history could still tell who killed it."""


@dataclass(frozen=True)
class End:
    """What the script wrote when its payload had ended. `signal` is one that the script was sent, or empty."""

    attempt: int
    exit_code: int
    signal: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    node: str = ""
    cannot: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Sighting:
    """What a queue or a history says of a job. `state` is None for a word that we do not know."""

    raw: str
    state: JobState | None
    cause: Cause = Cause.NONE
    exit_code: int | None = None
    reason: str = ""
    node: str = ""
    attempt: int | None = None
    started: datetime | None = None
    ended: datetime | None = None
    batch_id: str = ""

    @property
    def active(self) -> bool:
        """The batch system still has it, or says a word that we do not know."""
        return self.state is None or not self.state.final


@dataclass(frozen=True)
class Evidence:
    """All that one poll brought about one job.

    Attributes:
        end: of the newest attempt, or None.
        live, history: what the queue and the accounting say, or None if they know nothing.
        log: last lines of what the batch system wrote into the job's log.
        queue_answered: the query of the queue succeeded, so that absence means something.
        history_answered: the same of the history; None where the site has none.
        silent_polls, silent_seconds: for how long the queue has not had it, while nothing proved how it ended.
    """

    end: End | None = None
    live: Sighting | None = None
    history: Sighting | None = None
    log: Sequence[str] = ()
    queue_answered: bool = False
    history_answered: bool | None = None
    silent_polls: int = 0
    silent_seconds: float = 0.0

    @property
    def silent(self) -> bool:
        """The queue was asked and answered, and does not have the job any more."""
        gone = self.live is None or not self.live.active
        return self.queue_answered and gone and self.history_answered is not False


def settle(before: Status, evidence: Evidence) -> Status:
    """What is known of a job after `evidence`. Without evidence it is what was known `before`."""
    end, word = evidence.end, _newest_word(evidence)
    if word is not None and word.active:
        return _going_on(before, word, end)
    if word is not None and word.cause in _KILLED:
        return _ended(before, word, end, word.cause, evidence)
    if end is not None and (not end.signal or word is not None):
        return _proved(before, word, end, evidence)
    if end is not None:
        return _killed_by_nobody(before, end, evidence)
    if word is not None:
        return _without_proof(before, word, evidence)
    return _absent(before, evidence)


_KILLED = (
    Cause.TIME_LIMIT, Cause.OUT_OF_MEMORY, Cause.CANCELLED, Cause.NODE_FAILURE, Cause.PREEMPTED, Cause.DEPENDENCY,
)  # fmt: skip
_LOG_WORDS = (
    ("DUE TO TIME LIMIT", Cause.TIME_LIMIT),
    ("exceeded memory limit", Cause.OUT_OF_MEMORY),
    ("oom-kill", Cause.OUT_OF_MEMORY),
    ("oom_kill", Cause.OUT_OF_MEMORY),
    ("Out Of Memory", Cause.OUT_OF_MEMORY),
    ("DUE TO PREEMPTION", Cause.PREEMPTED),
    ("DUE TO NODE FAILURE", Cause.NODE_FAILURE),
    ("CANCELLED AT", Cause.CANCELLED),
)  # what slurmstepd writes into a job's log; the time limit before the plain "CANCELLED AT" that it contains


def _newest_word(evidence: Evidence) -> Sighting | None:
    live, history = evidence.live, evidence.history
    if live is None or (live.state is None and history is not None and not history.active):
        return history
    if (
        not live.active
        and live.cause in (Cause.UNKNOWN, Cause.SIGNAL)
        and history is not None
        and not history.active
    ):
        return history
    return live


def _going_on(before: Status, word: Sighting, end: End | None) -> Status:
    """The batch system has it. If its payload has ended meanwhile by itself, that is proof enough."""
    waiting = word.state in (JobState.QUEUED, JobState.HELD)
    if end is not None and not end.signal and not waiting and end.attempt >= (word.attempt or 0):
        return _by_exit_code(before, word, end)
    state = word.state or (before.state if not before.final else JobState.RUNNING)
    if state is JobState.SUBMITTING:
        state = JobState.QUEUED
    return Status(
        state=state,
        raw=word.raw,
        reason=word.reason if state is not JobState.RUNNING else "",
        node=word.node,
        started=word.started if not waiting else None,
        attempt=before.attempt if word.attempt is None else word.attempt,
    )


def _proved(before: Status, word: Sighting | None, end: End, evidence: Evidence) -> Status:
    """The script told its end, and the batch system, if it was heard, does not claim to have killed it."""
    from_log = _log_cause(evidence.log)
    if from_log is not None and (end.signal or end.exit_code > 128):
        return _ended(before, word, end, from_log, evidence)
    if word is not None and word.state is JobState.FAILED and end.exit_code == 0:
        reason = f"the payload ended with exit code 0, yet the batch system says {word.raw}"
        return _final(before, word, end, Cause.UNKNOWN, reason)
    if end.signal and end.exit_code in (0, 128 + _NUMBERS.get(end.signal, 0)):
        return _final(
            before, word, end, Cause.SIGNAL, f"the job was sent {end.signal}, and nobody says by whom"
        )
    return _by_exit_code(before, word, end)


def _by_exit_code(before: Status, word: Sighting | None, end: End) -> Status:
    if end.cannot:
        return _final(before, word, end, Cause.CANNOT_START, end.cannot)
    if end.exit_code > 128 and end.exit_code - 128 in _SIGNALS:
        name = _SIGNALS[end.exit_code - 128]
        return _final(before, word, end, Cause.SIGNAL, f"the payload was ended by signal {name}")
    if end.exit_code != 0:
        return _final(before, word, end, Cause.EXIT_CODE, f"the payload ended with exit code {end.exit_code}")
    if end.missing:
        return _final(before, word, end, Cause.MISSING_OUTPUT, f"no declared output matches {end.missing}")
    return replace(_final(before, word, end, Cause.NONE, ""), state=JobState.COMPLETED)


def _killed_by_nobody(before: Status, end: End, evidence: Evidence) -> Status:
    """The script was sent a signal; who sent it is asked of the log, then waited for, then given up."""
    cause = _log_cause(evidence.log)
    if cause is not None:
        return _ended(before, None, end, cause, evidence)
    patient = evidence.history_answered is None or evidence.silent_polls >= PATIENT_POLLS
    if evidence.silent and patient:
        return _proved(before, None, end, evidence)
    return before


def _without_proof(before: Status, word: Sighting, evidence: Evidence) -> Status:
    """The batch system says that it has ended, but the script has not: it was killed, or never began."""
    from_log = _log_cause(evidence.log)
    if word.state is not JobState.COMPLETED:
        return _ended(before, word, None, from_log or word.cause, evidence)
    if evidence.silent_polls < PATIENT_POLLS:
        return replace(before, raw=word.raw, reason="ended; its proof is not visible yet")
    reason = f"the batch system says {word.raw}, but the script left no proof of its end"
    return _final(before, word, None, Cause.UNKNOWN, reason)


def _absent(before: Status, evidence: Evidence) -> Status:
    if before.state in (JobState.CREATED, JobState.SUBMITTING) or before.final or not evidence.silent:
        return before
    if evidence.silent_polls < SILENT_POLLS or evidence.silent_seconds < SILENT_SECONDS:
        return before
    reason = "neither its folder, nor the queue, nor the history knows how it ended"
    return _final(before, None, None, Cause.LOST, reason)


def _ended(
    before: Status, word: Sighting | None, end: End | None, cause: Cause, evidence: Evidence
) -> Status:
    reason = cause.sentence if cause is not Cause.EXIT_CODE else ""
    detail = (word.reason if word is not None else "") or next(iter(evidence.log[-1:]), "")
    if cause is Cause.EXIT_CODE and word is not None:
        reason = f"the batch system says {word.raw}, exit code {word.exit_code}"
    status = _final(
        before, word, end, cause, f"{reason} ({detail})" if detail and detail not in reason else reason
    )
    return replace(status, state=JobState.CANCELLED) if cause is Cause.CANCELLED else status


def _final(before: Status, word: Sighting | None, end: End | None, cause: Cause, reason: str) -> Status:
    exit_code = end.exit_code if end is not None else word.exit_code if word is not None else None
    return Status(
        state=JobState.FAILED,
        cause=cause,
        exit_code=exit_code,
        raw=word.raw if word is not None else before.raw,
        reason=reason,
        node=(end.node if end else "") or (word.node if word else "") or before.node,
        started=(end.started if end else None) or (word.started if word else None) or before.started,
        ended=(end.ended if end else None) or (word.ended if word else None),
        attempt=end.attempt if end is not None else before.attempt,
    )


def _log_cause(log: Sequence[str]) -> Cause | None:
    text = "\n".join(log)
    return next((cause for words, cause in _LOG_WORDS if words in text), None)


_SIGNALS = {
    1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL", 11: "SEGV", 13: "PIPE",
    14: "ALRM", 15: "TERM", 24: "XCPU", 25: "XFSZ", 30: "PWR", 31: "SYS",
}  # fmt: skip
_NUMBERS = {name: number for number, name in _SIGNALS.items()}
