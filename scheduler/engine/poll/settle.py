"""How witnesses of a job are weighed: the end file, the queue, the history, the job's log. Pure.

Order of proof: what the script itself wrote at its end; the live queue with all states; the history; and only a long
silence of all of them, in answers that came, makes a job LOST. Where the end file says 0 and the batch system says that
it killed the job, the batch system is believed: a payload may end with 0 when it is told to stop. So its last word is
waited for, a while. A requeue makes an end file a thing of the past: the job will write another.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from scheduler.job.evidence import End, Evidence, Observation
from scheduler.job.state import Cause, JobState, Status

SILENT_POLLS = 5
"""So many answered polls in a row must know nothing of a job before it is LOST …"""
SILENT_SECONDS = 300.0
"""… and so many seconds must lie between the first and the last of them (accounting and file systems lag)."""
GAP_SECONDS = SILENT_SECONDS / (SILENT_POLLS - 1)
"""The time between two polls counts at most so much: a laptop was asleep, or its clock was set, and nobody looked."""
STALE_SECONDS = 3600.0
"""So long a history is believed that says a job goes on while the queue does not have it."""
PATIENT_POLLS = 3
"""So many answered polls an end may stay unexplained while its proof, or who caused it, could still come to light."""
FRESH_SECONDS = 60.0
"""So long after the script's end the batch system may still have it, before the script alone is believed."""
RUNS_APART = timedelta(seconds=60)
"""A requeued run begins at least so long after the last one has ended (Slurm: two minutes); clocks differ by less."""


def settle(before: Status, evidence: Evidence) -> Status:
    """What is known of a job after `evidence`. Without evidence it is what was known `before`."""
    if evidence.shared and _ended_alone(evidence):
        evidence = replace(evidence, live=None, history=None, history_answered=None)
    word = _newest_word(evidence)
    end = _of_this_run(evidence.end, word)
    if end is not None and word is not None and word.active and evidence.live is None:
        word = None  # the history lags: the queue does not have it, and the script has ended
    after = _weighed(before, word, end, evidence)
    if after.retries != before.retries:
        after = replace(after, retries=before.retries)
    return after if not before.final or _outweighs(before, word, evidence) else before


def _weighed(before: Status, word: Observation | None, end: End | None, evidence: Evidence) -> Status:
    if word is not None and word.active:
        return _going_on(before, word, end, evidence)
    if word is not None and word.cause in _KILLED:
        if end is not None and word.cause in _MAKES_AWAY and _by_itself(end):
            return _by_exit_code(before, word, end)
        # A requeued job waits in Slurm's queue at once, while sacct shows the end of its earlier run (seen on 24.11).
        if word is not evidence.live and word.cause in _MAKES_AWAY and evidence.silent_polls < PATIENT_POLLS:
            return before if before.final else replace(before, raw=word.raw, reason=_BEGUN_AGAIN)
        return _ended(before, word, end, word.cause, evidence)
    if end is not None and word is not None:
        return _proved(before, word, end, evidence)
    if end is not None:
        return _by_script_alone(before, end, evidence)
    if word is not None:
        return _without_proof(before, word, evidence)
    return _absent(before, evidence)


def _outweighs(before: Status, word: Observation | None, evidence: Evidence) -> bool:
    """A final state is left if it was doubtful, if the queue has the job again, or if the job was killed after all."""
    if before.cause in _DOUBTFUL or (evidence.end is not None and evidence.end.requeues > before.requeues):
        return True
    if word is None or not word.active:
        return word is not None and before.state is JobState.COMPLETED and word.cause in _KILLED
    again = word.started is not None and (before.ended is None or word.started >= before.ended)
    return word is evidence.live and (word.state in _WAITING or (word.state is not None and again))


_BEGUN_AGAIN = "it was taken off its node; whether it is begun again is not known yet"
_WAITING = (JobState.QUEUED, JobState.HELD)
_MAKES_AWAY = (Cause.NODE_FAILURE, Cause.PREEMPTED)  # which undo nothing that the script had ended before
_KILLED = (Cause.TIME_LIMIT, Cause.OUT_OF_MEMORY, Cause.CANCELLED, Cause.DEPENDENCY, *_MAKES_AWAY)
_DOUBTFUL = (Cause.LOST, Cause.UNKNOWN, Cause.SIGNAL, Cause.REFUSED)


def _newest_word(evidence: Evidence) -> Observation | None:
    live, history = evidence.live, evidence.history
    if live is None or (live.state is None and history is not None and not history.active):
        return history
    if not live.active and live.cause in (Cause.UNKNOWN, Cause.SIGNAL) and history is not None and not history.active:
        return history
    return live


def _ended_alone(evidence: Evidence) -> bool:
    """It ended for itself, while the jobs that it shares a node with may go on or have ended otherwise."""
    end, live = evidence.end, evidence.live
    if end is None:
        return False
    if _by_itself(end) or evidence.log_cause in (Cause.CANCELLED, Cause.TIME_LIMIT):
        return True  # the script that runs them all begins such a one no more
    return not end.signal and live is not None and live.active and live.state not in _WAITING


def _of_this_run(end: End | None, word: Observation | None) -> End | None:
    """The end file, unless the batch system has begun another run since."""
    if end is None or word is None or word.state in _WAITING:
        return end
    if word.requeues is not None and word.requeues > end.requeues:
        return None
    later = word.started is not None and end.ended is not None and word.started - end.ended > RUNS_APART
    return None if later else end


def _going_on(before: Status, word: Observation, end: End | None, evidence: Evidence) -> Status:
    """The batch system has it. It may be busy for long after the payload has ended, and a dead node's job never leaves
    some histories."""
    waiting = word.state in _WAITING
    if end is not None and not waiting and _by_itself(end) and evidence.end_age_seconds >= FRESH_SECONDS:
        return _by_exit_code(before, word, end)
    if evidence.live is None and evidence.silent_polls >= SILENT_POLLS and evidence.silent_seconds >= STALE_SECONDS:
        return _final(before, word, None, Cause.LOST, f"the history says {word.raw}, but the queue does not have it")
    state = word.state or (before.state if not before.final else JobState.RUNNING)
    if state is JobState.SUBMITTING:
        state = JobState.QUEUED
    return Status(
        state=state,
        raw=word.raw,
        reason=word.reason if state is not JobState.RUNNING else "",
        node=word.node,
        started=word.started if not waiting else None,
        requeues=_requeues(before, word, evidence.end),
    )


def _requeues(before: Status, word: Observation, end: End | None) -> int:
    """Squeue does not say it; the end file of the run before does."""
    if word.requeues is not None:
        return word.requeues
    over = end is not None and (word.state in _WAITING or _of_this_run(end, word) is None)
    return max(before.requeues, end.requeues + 1) if end is not None and over else before.requeues


def _by_itself(end: End) -> bool:
    """The script was sent no signal that it knows of, and its payload died of none."""
    return not end.signal and end.exit_code <= 128


def _proved(before: Status, word: Observation | None, end: End, evidence: Evidence) -> Status:
    """The script told its end, and the batch system, if it was heard, does not claim to have killed it."""
    from_log = evidence.log_cause
    if from_log is not None and (end.signal or end.exit_code > 128):
        return _ended(before, word, end, from_log, evidence)
    if word is not None and word.state is JobState.FAILED and end.exit_code == 0:
        reason = f"the payload ended with exit code 0, yet the batch system says {word.raw}"
        return _final(before, word, end, Cause.UNKNOWN, reason)
    if end.signal and end.exit_code in (0, 128 + _NUMBERS.get(end.signal, 0)):
        return _final(before, word, end, Cause.SIGNAL, f"the job was sent {end.signal}, and nobody says by whom")
    return _by_exit_code(before, word, end)


def _by_exit_code(before: Status, word: Observation | None, end: End) -> Status:
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


def _by_script_alone(before: Status, end: End, evidence: Evidence) -> Status:
    """The batch system has said nothing. Who sent a signal is asked of the log, then waited for, then given up."""
    if _by_itself(end):
        heard = evidence.queue_answered or evidence.end_age_seconds >= FRESH_SECONDS
        return _by_exit_code(before, None, end) if heard else before
    cause = evidence.log_cause
    if cause is not None:
        return _ended(before, None, end, cause, evidence)
    patient = evidence.history_answered is None or evidence.silent_polls >= PATIENT_POLLS
    return _proved(before, None, end, evidence) if evidence.silent and patient else before


def _without_proof(before: Status, word: Observation, evidence: Evidence) -> Status:
    """The batch system says that it has ended, but the script has not: it was killed, or never began, or its end file
    is not visible yet."""
    from_log = evidence.log_cause
    if from_log is not None and word.state is not JobState.COMPLETED:
        return _ended(before, word, None, from_log, evidence)
    if evidence.silent_polls < PATIENT_POLLS:
        return before if before.final else replace(before, raw=word.raw, reason="ended; its proof is not visible yet")
    if word.state is not JobState.COMPLETED:
        return _ended(before, word, None, word.cause, evidence)
    reason = f"the batch system says {word.raw}, but the script left no proof of its end"
    return _final(before, word, None, Cause.UNKNOWN, reason)


def _absent(before: Status, evidence: Evidence) -> Status:
    if before.state is JobState.CREATED or before.final or not evidence.silent:
        return before
    from_log = evidence.log_cause
    if from_log is not None and evidence.silent_polls >= PATIENT_POLLS:
        return _ended(before, None, None, from_log, evidence)
    if evidence.struck_out and evidence.silent_polls >= PATIENT_POLLS:
        cancelled = _final(before, None, None, Cause.CANCELLED, "taken out of its array before it began")
        return replace(cancelled, state=JobState.CANCELLED)
    silent = evidence.silent_polls >= SILENT_POLLS and evidence.silent_seconds >= SILENT_SECONDS
    if before.state is JobState.SUBMITTING or not silent:
        return before
    reason = "neither its folder, nor the queue, nor the history knows how it ended"
    return _final(before, None, None, Cause.LOST, reason)


def _ended(before: Status, word: Observation | None, end: End | None, cause: Cause, evidence: Evidence) -> Status:
    reason = cause.sentence if cause is not Cause.EXIT_CODE else ""
    detail = (word.reason if word is not None else "") or next(iter(evidence.log[-1:]), "")
    if cause is Cause.EXIT_CODE and word is not None:
        reason = f"the batch system says {word.raw}, exit code {word.exit_code}"
    status = _final(before, word, end, cause, f"{reason} ({detail})" if detail and detail not in reason else reason)
    return replace(status, state=JobState.CANCELLED) if cause is Cause.CANCELLED else status


def _final(before: Status, word: Observation | None, end: End | None, cause: Cause, reason: str) -> Status:
    exit_code = end.exit_code if end is not None else word.exit_code if word is not None else None
    nodes = [end.node if end else "", word.node if word else "", before.node]
    if cause is Cause.NODE_FAILURE:  # the batch system's own name of it: the host itself may say another
        nodes = [*nodes[1:], nodes[0]]
    return Status(
        state=JobState.FAILED,
        cause=cause,
        exit_code=exit_code,
        raw=word.raw if word is not None else before.raw,
        reason=reason,
        node=next(filter(None, nodes), ""),
        started=(end.started if end else None) or (word.started if word else None) or before.started,
        ended=(end.ended if end else None) or (word.ended if word else None),
        requeues=end.requeues if end is not None else before.requeues,
    )


_SIGNALS = {
    1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL", 11: "SEGV", 13: "PIPE",
    14: "ALRM", 15: "TERM", 24: "XCPU", 25: "XFSZ", 30: "PWR", 31: "SYS",
}  # fmt: skip
_NUMBERS = {name: number for number, name in _SIGNALS.items()}
