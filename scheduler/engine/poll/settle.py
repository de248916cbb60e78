"""How the status of a job follows from evidence: its end file, the queue, the history, its log. Pure.

Order of evidence: what the script itself wrote at its end; the live queue with all states; the history. The job is
LOST only if none of them reports on it for a long time, in polls that were answered.

If the end file has exit code 0 and the batch system reports that it killed the job, the batch system takes precedence:
a payload may exit with 0 after it received SIGTERM. So we wait briefly for the batch system's final state. A requeue
makes the end file obsolete: the job's next run writes another one.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from scheduler.job.evidence import End, Evidence, Observation
from scheduler.job.state import Cause, JobState, Status

SILENT_POLLS = 5
"""A job is LOST if no source has reported on it in this many answered polls in a row …"""
SILENT_SECONDS = 300.0
"""… with at least this many seconds between the first and the last of them: accounting and file systems lag."""
LONGEST_COUNTED_GAP_SECONDS = SILENT_SECONDS / (SILENT_POLLS - 1)
"""The most of the time between two polls that counts as silence: the laptop may have slept, or its clock may have been
set."""
STALE_SECONDS = 3600.0
"""How long a history that reports a job as running is accepted while the queue does not have the job."""
PATIENT_POLLS = 3
"""For how many answered polls we wait for evidence that explains an end: an end file, or the batch system's cause."""
FRESH_SECONDS = 60.0
"""How long after the end of the script we wait for the batch system to report it; then the end
file alone is enough."""
RUNS_APART = timedelta(seconds=60)
"""The least time between the end of a run and the start of the requeued one (Slurm: two minutes); clocks differ by
less."""


def settle(before: Status, evidence: Evidence) -> Status:
    """The status of a job after one poll.

    Args:
        before: its status before.
        evidence: what the poll found.

    Returns:
        Its new status; without evidence, `before`.
    """
    if evidence.shared and _ended_on_its_own(evidence):
        evidence = replace(evidence, live=None, history=None, history_answered=None)
    observed = _newest_observation(evidence)
    end = _end_of_this_run(evidence, observed)
    if end is not None and observed is not None and observed.active and evidence.live is None:
        observed = None  # the history lags: the queue does not have the job, and the script has ended
    known = before if evidence.run <= before.requeues else replace(before, requeues=evidence.run)
    after = _decide(known, observed, end, evidence)
    if after.retries != before.retries:
        after = replace(after, retries=before.retries)
    return after if not before.final or _replaces_final(before, observed, evidence) else before


def _decide(before: Status, observed: Observation | None, end: End | None, evidence: Evidence) -> Status:
    if observed is not None and observed.active:
        return _active(before, observed, end, evidence)
    if observed is not None and observed.cause in _KILLED:
        if end is not None and observed.cause in _NODE_TAKEN and _by_itself(end):
            return _by_exit_code(before, observed, end)
        # A requeued job is in Slurm's queue at once, while sacct reports the end of its earlier run (Slurm 24.11).
        lagging = observed is not evidence.live and observed.cause in _NODE_TAKEN
        if lagging and evidence.silent_polls < PATIENT_POLLS:
            return before if before.final else replace(before, raw=observed.raw, reason=_PERHAPS_REQUEUED)
        dead = observed.cause is Cause.CANCELLED and end is None and evidence.log_cause is Cause.DEPENDENCY
        return _killed(before, observed, end, Cause.DEPENDENCY if dead else observed.cause, evidence)
    if end is not None and observed is not None:
        return _proved(before, observed, end, evidence)
    if end is not None:
        return _by_script_alone(before, end, evidence)
    if observed is not None:
        return _without_end_file(before, observed, evidence)
    return _absent(before, evidence)


def _replaces_final(before: Status, observed: Observation | None, evidence: Evidence) -> bool:
    """Whether a final status may change: it was doubtful, or the job was requeued, or the batch system reports now
    that it killed the job."""
    if before.cause in _DOUBTFUL or (evidence.end is not None and evidence.end.requeues > before.requeues):
        return True
    if observed is None or not observed.active:
        return observed is not None and before.state is JobState.COMPLETED and observed.cause in _KILLED
    later = observed.started is not None and (before.ended is None or observed.started >= before.ended)
    requeued = observed.state in _WAITING or (observed.state is not None and later)
    return observed is evidence.live and requeued


_PERHAPS_REQUEUED = "removed from its node; not known yet whether the batch system requeues it"
_WAITS_FOR_END_FILE = "finished; waiting for its end file"
_WAITING = (JobState.QUEUED, JobState.HELD)
_NODE_TAKEN = (Cause.NODE_FAILURE, Cause.PREEMPTED)  # these change nothing for a script that had ended before
_KILLED = (Cause.TIME_LIMIT, Cause.OUT_OF_MEMORY, Cause.CANCELLED, Cause.DEPENDENCY, *_NODE_TAKEN)
_DOUBTFUL = (Cause.LOST, Cause.UNKNOWN, Cause.SIGNAL, Cause.REFUSED)


def _newest_observation(evidence: Evidence) -> Observation | None:
    """What the batch system reports: the queue's observation; or the history's, if it has more about an end."""
    live, history = evidence.live, evidence.history
    if live is None or (live.state is None and history is not None and not history.active):
        return history
    if not live.active and live.cause in (Cause.UNKNOWN, Cause.SIGNAL) and history is not None and not history.active:
        code = history.exit_code or 0
        if live.cause is Cause.SIGNAL and history.cause is Cause.EXIT_CODE and code in _SIGNALS:
            return replace(history, cause=Cause.SIGNAL, exit_code=128 + code)  # sacct of Slurm 22.05 has 9 for 137
        return history
    return live


def _ended_on_its_own(evidence: Evidence) -> bool:
    """Whether a job of a pack ended by itself, while the other jobs of its node still run or ended otherwise."""
    end, live = evidence.end, evidence.live
    if end is None:
        return False
    if _by_itself(end) or evidence.log_cause in (Cause.CANCELLED, Cause.TIME_LIMIT):
        return True  # the script that runs the pack does not restart such a job
    return not end.signal and live is not None and live.active and live.state not in _WAITING


def _end_of_this_run(evidence: Evidence, observed: Observation | None) -> End | None:
    """The end file, unless the batch system has started another run since."""
    end = evidence.end
    if end is None or evidence.run > end.requeues:
        return None
    if observed is None or observed.state in _WAITING:
        return end
    if observed.requeues is not None and observed.requeues > end.requeues:
        return None
    later = observed.started is not None and end.ended is not None and observed.started - end.ended > RUNS_APART
    return None if later else end


def _active(before: Status, observed: Observation, end: End | None, evidence: Evidence) -> Status:
    """The batch system reports the job as unfinished. It may do so long after the payload has ended, and some histories
    never report the end of a job whose node died."""
    waiting = observed.state in _WAITING
    if end is not None and not waiting and _by_itself(end) and evidence.end_age_seconds >= FRESH_SECONDS:
        return _by_exit_code(before, observed, end)
    if evidence.live is None and evidence.silent_polls >= SILENT_POLLS and evidence.silent_seconds >= STALE_SECONDS:
        reason = f"the history reports {observed.raw}, but the queue does not have the job"
        return _final(before, observed, None, Cause.LOST, reason)
    state = observed.state or (before.state if not before.final else JobState.RUNNING)
    if state is JobState.SUBMITTING:
        state = JobState.QUEUED
    return Status(
        state=state,
        raw=observed.raw,
        reason=observed.reason if state is not JobState.RUNNING else "",
        node=observed.node,
        started=observed.started if not waiting else None,
        requeues=_requeues(before, observed, evidence),
    )


def _requeues(before: Status, observed: Observation, evidence: Evidence) -> int:
    """How often the job was requeued. squeue does not print it, but it follows from the end file of the run before."""
    if observed.requeues is not None or evidence.end is None:
        return before.requeues if observed.requeues is None else observed.requeues
    over = observed.state in _WAITING or _end_of_this_run(evidence, observed) is None
    return max(before.requeues, evidence.end.requeues + 1) if over else before.requeues


def _by_itself(end: End) -> bool:
    """The script noticed no signal, and its payload was not ended by one."""
    return not end.signal and end.exit_code <= 128


def _proved(before: Status, observed: Observation | None, end: End, evidence: Evidence) -> Status:
    """There is an end file, and the batch system, if it reported, does not report that it killed the job."""
    from_log = evidence.log_cause
    if from_log is not None and (end.signal or end.exit_code > 128):
        return _killed(before, observed, end, from_log, evidence)
    if observed is not None and observed.state is JobState.FAILED and end.exit_code == 0:
        reason = f"the payload ended with exit code 0, but the batch system reports {observed.raw}"
        return _final(before, observed, end, Cause.UNKNOWN, reason)
    if end.signal and end.exit_code in (0, 128 + _NUMBERS.get(end.signal, 0)):
        return _final(before, observed, end, Cause.SIGNAL, f"the job received {end.signal}; its sender is not known")
    return _by_exit_code(before, observed, end)


def _by_exit_code(before: Status, observed: Observation | None, end: End) -> Status:
    if end.cannot:
        return _final(before, observed, end, Cause.CANNOT_START, end.cannot)
    if name := _signal_that_killed(end):
        doubt = f", or exited with {end.exit_code}" if end.killed is None and name in _RARE_SIGNALS.values() else ""
        return _final(before, observed, end, Cause.SIGNAL, f"the payload was ended by signal {name}{doubt}")
    if end.exit_code != 0:
        return _final(before, observed, end, Cause.EXIT_CODE, f"the payload ended with exit code {end.exit_code}")
    if end.missing:
        return _final(before, observed, end, Cause.MISSING_OUTPUT, f"no declared output matches {end.missing}")
    return replace(_final(before, observed, end, Cause.NONE, ""), state=JobState.COMPLETED)


def _signal_that_killed(end: End) -> str:
    """The signal that killed the payload or the last program that it ran; empty if none did."""
    number = end.exit_code - 128
    rare = number in _RARE_SIGNALS and end.killed is not False  # else a payload's own exit code, such as 140
    if number in _SIGNALS or rare:
        return (_SIGNALS | _RARE_SIGNALS)[number]
    return f"{number}" if end.killed and number > 0 else ""


def _by_script_alone(before: Status, end: End, evidence: Evidence) -> Status:
    """There is an end file, and the batch system reports nothing. We look for the sender of a signal in the log,
    then wait for a report; without one the cause stays unknown."""
    if _by_itself(end):
        reliable = evidence.queue_answered or evidence.end_age_seconds >= FRESH_SECONDS
        return _by_exit_code(before, None, end) if reliable else before
    cause = evidence.log_cause
    if cause is not None:
        return _killed(before, None, end, cause, evidence)
    waited = evidence.history_answered is None or evidence.silent_polls >= PATIENT_POLLS
    return _proved(before, None, end, evidence) if evidence.silent and waited else before


def _without_end_file(before: Status, observed: Observation, evidence: Evidence) -> Status:
    """The batch system reports an end, but there is no end file: the script was killed, or never started, or the file
    is not visible yet."""
    from_log = evidence.log_cause
    if from_log is not None and observed.state is not JobState.COMPLETED:
        return _killed(before, observed, None, from_log, evidence)
    if evidence.silent_polls < PATIENT_POLLS:
        return before if before.final else replace(before, raw=observed.raw, reason=_WAITS_FOR_END_FILE)
    if observed.state is not JobState.COMPLETED:
        return _killed(before, observed, None, observed.cause, evidence)
    reason = f"the batch system reports {observed.raw}, but the job left no end file"
    return _final(before, observed, None, Cause.UNKNOWN, reason)


def _absent(before: Status, evidence: Evidence) -> Status:
    """Neither the batch system nor an end file reports on the job."""
    if before.state is JobState.CREATED or before.final:
        return before
    if not evidence.silent:
        return replace(before, reason=_LEFT_UNEXPLAINED) if _is_unexplained(before, evidence) else before
    from_log = evidence.log_cause
    if from_log is not None and evidence.silent_polls >= PATIENT_POLLS:
        return _killed(before, None, None, from_log, evidence)
    if evidence.struck_out and evidence.silent_polls >= PATIENT_POLLS:
        cancelled = _final(before, None, None, Cause.CANCELLED, "removed from its array before it started")
        return replace(cancelled, state=JobState.CANCELLED)
    silent = evidence.silent_polls >= SILENT_POLLS and evidence.silent_seconds >= SILENT_SECONDS
    if before.state is JobState.SUBMITTING:
        return before
    if not silent:
        return replace(before, reason=_LEFT)
    reason = "it left no end file, and neither the queue nor the history has it"
    return _final(before, None, None, Cause.LOST, reason)


_LEFT = (
    "it left the queue without an end file; waiting for its end file or a report of the batch system,"
    f" {SILENT_SECONDS / 60:.0f} min at least before it counts as lost"
)
_LEFT_UNEXPLAINED = "it left the queue without an end file; waiting for the history, which cannot be queried now"


def _is_unexplained(before: Status, evidence: Evidence) -> bool:
    """The queue does not have the job any more, and the history could not be queried."""
    return before.state is not JobState.SUBMITTING and evidence.queue_answered and evidence.live is None


def _killed(before: Status, observed: Observation | None, end: End | None, cause: Cause, evidence: Evidence) -> Status:
    """A final status whose cause the batch system reports, or its log shows."""
    reason = cause.sentence if cause is not Cause.EXIT_CODE else ""
    detail = (observed.reason if observed is not None else "") or next(iter(evidence.log[-1:]), "")
    if cause is Cause.EXIT_CODE and observed is not None:
        reason = f"the batch system reports {observed.raw}, exit code {observed.exit_code}"
    status = _final(before, observed, end, cause, f"{reason} ({detail})" if detail and detail not in reason else reason)
    return replace(status, state=JobState.CANCELLED) if cause is Cause.CANCELLED else status


def _final(before: Status, observed: Observation | None, end: End | None, cause: Cause, reason: str) -> Status:
    exit_code = end.exit_code if end is not None else observed.exit_code if observed is not None else None
    nodes = [end.node if end else "", observed.node if observed else "", before.node]
    if cause is Cause.NODE_FAILURE:  # by the batch system's name for it, which the host's own name may not be
        nodes = [*nodes[1:], nodes[0]]
    return Status(
        state=JobState.FAILED,
        cause=cause,
        exit_code=exit_code,
        raw=observed.raw if observed is not None else before.raw,
        reason=reason,
        node=next(filter(None, nodes), ""),
        started=(end.started if end else None) or (observed.started if observed else None) or before.started,
        ended=(end.ended if end else None) or (observed.ended if observed else None),
        requeues=end.requeues if end is not None else before.requeues,
    )


_SIGNALS = {
    1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL", 11: "SEGV", 13: "PIPE",
    14: "ALRM", 15: "TERM", 24: "XCPU", 25: "XFSZ", 30: "PWR", 31: "SYS",
}  # fmt: skip
_RARE_SIGNALS = {5: "TRAP", 10: "USR1", 12: "USR2", 16: "STKFLT", 26: "VTALRM", 27: "PROF", 29: "IO"}
"""Programs are rarely killed by these, unless they are sent as a warning."""
_NUMBERS = {name: number for number, name in _SIGNALS.items()}
