"""How evidence about a job is settled: a row for each way in which a batch system is known to mislead.

The rows are what Slurm 22.05 and 24.11 were observed to print, and what made other libraries report wrong states.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from scheduler.batch.slurm.states import STATES
from scheduler.batch.slurm.system import SYSTEM
from scheduler.engine.poll.settle import (
    FRESH_SECONDS,
    PATIENT_POLLS,
    SILENT_POLLS,
    SILENT_SECONDS,
    STALE_SECONDS,
    settle,
)
from scheduler.job.evidence import End, Evidence, Observation
from scheduler.job.state import Cause, JobState, Status

T0 = datetime(2026, 1, 1, tzinfo=timezone.utc)
QUEUED, RUNNING = Status(JobState.QUEUED), Status(JobState.RUNNING)
SUBMITTING, HELD = Status(JobState.SUBMITTING), Status(JobState.HELD)


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def end(code: int, signal: str = "", **more: Any) -> End:
    return End(0, code, signal, **{"started": at(1), "ended": at(5), **more})


def slurm(word: str, **more: Any) -> Observation:
    """An observation: a state of Slurm, with the meaning that the Slurm dialect gives to it."""
    state, cause = STATES.get(word.split()[0], (None, Cause.NONE))
    return Observation(word, state, **{"cause": cause, "started": at(1), **more})


def answered(**evidence: Any) -> Evidence:
    """The evidence of a poll in which every query was answered; the site has a history."""
    cause = SYSTEM.log_cause(evidence.get("log", ()))
    return Evidence(
        **{"queue_answered": True, "history_answered": True, "silent_polls": 1, "log_cause": cause, **evidence}
    )


def without_accounting(**evidence: Any) -> Evidence:
    return answered(**{"history_answered": None, **evidence})


LATER = {"silent_polls": PATIENT_POLLS}
AT_LAST = {"silent_polls": SILENT_POLLS, "silent_seconds": SILENT_SECONDS}
NOBODY = Evidence(silent_polls=99, silent_seconds=1e6)
OVER_MEMORY = ["slurmstepd: error: StepId=7.batch exceeded memory limit (310000 > 204800), being killed",
               "slurmstepd: error: *** JOB 7 ON node1 CANCELLED AT 2026-01-01T00:05:00 ***"]  # fmt: skip
TIME_LIMIT = ["slurmstepd: error: *** JOB 7 ON node1 CANCELLED AT 2026-01-01T00:05:00 DUE TO TIME LIMIT ***"]
REQUEUED = ["slurmstepd: error: *** JOB 7 ON node1 CANCELLED AT 2026-01-01T00:05:00 DUE TO JOB REQUEUE ***"]
SCANCELLED = ["slurmstepd: error: *** JOB 7 ON node1 CANCELLED AT 2026-01-01T00:05:00 ***"]


@dataclass(frozen=True)
class Row:
    """A status, the evidence of a poll, and the status that follows."""

    what: str
    before: Status
    evidence: Evidence
    state: JobState
    cause: Cause = Cause.NONE
    exit_code: int | None = None
    raw: str | None = None


COMPLETED, FAILED, CANCELLED = JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED
ENDS = [
    Row("exit 0, and Slurm agrees", RUNNING, answered(end=end(0), live=slurm("COMPLETED")), COMPLETED, exit_code=0),
    Row("exit 0, and no other source reports", RUNNING, answered(end=end(0)), COMPLETED, exit_code=0),
    Row("exit 0, without accounting", RUNNING, without_accounting(end=end(0)), COMPLETED, exit_code=0),
    Row("exit 0, and ended before it was observed in a queue", SUBMITTING, answered(end=end(0)), COMPLETED,
        exit_code=0),
    Row("exit 3", RUNNING, answered(end=end(3), live=slurm("FAILED")), FAILED, Cause.EXIT_CODE, 3),
    Row("exit 3, not in the queue any more", RUNNING, answered(end=end(3)), FAILED, Cause.EXIT_CODE, 3),
    Row("exit 137: a payload that was killed", RUNNING, answered(end=end(137), live=slurm("FAILED")), FAILED,
        Cause.SIGNAL, 137),
    Row("exit 140: killed by USR2", RUNNING, answered(end=end(140), live=slurm("FAILED")), FAILED, Cause.SIGNAL, 140),
    Row("exit 133: killed by TRAP", RUNNING, answered(end=end(133, killed=True), live=slurm("FAILED")), FAILED,
        Cause.SIGNAL, 133),
    Row("exit 174: killed by a real-time signal", RUNNING, answered(end=end(174, killed=True), live=slurm("FAILED")),
        FAILED, Cause.SIGNAL, 174),
    Row("exit 3, after which the shell printed something else", RUNNING, answered(end=end(3, killed=True)), FAILED,
        Cause.EXIT_CODE, 3),
    Row("exit 140: the payload's own exit code", RUNNING, answered(end=end(140, killed=False), live=slurm("FAILED")),
        FAILED, Cause.EXIT_CODE, 140),
    Row("exit 139: a program of the payload was killed", RUNNING,
        answered(end=end(139, killed=False), live=slurm("FAILED")), FAILED, Cause.SIGNAL, 139),
    Row("an exit code over 128 that is no signal", RUNNING, answered(end=end(200), live=slurm("FAILED")), FAILED,
        Cause.EXIT_CODE, 200),
    Row("a payload that could not start", RUNNING, answered(end=end(72, cannot="no image"), live=slurm("FAILED")),
        FAILED, Cause.CANNOT_START, 72),
    Row("a declared output is missing", RUNNING, answered(end=end(0, missing="*.root"), live=slurm("COMPLETED")),
        FAILED, Cause.MISSING_OUTPUT, 0),
]  # fmt: skip
KILLED = [
    Row("exit 0, but over the time limit", RUNNING, answered(end=end(0, "TERM"), live=slurm("TIMEOUT")), FAILED,
        Cause.TIME_LIMIT, 0),
    Row("exit 0 without noticing a signal, but over the time limit", RUNNING,
        answered(end=end(0), live=slurm("TIMEOUT")), FAILED, Cause.TIME_LIMIT, 0),
    Row("exit 0, but over its memory", RUNNING, answered(end=end(0), live=slurm("OUT_OF_MEMORY")), FAILED,
        Cause.OUT_OF_MEMORY, 0),
    Row("exit 1 because a child was over its memory", RUNNING, answered(end=end(1), live=slurm("OUT_OF_MEMORY")),
        FAILED, Cause.OUT_OF_MEMORY, 1),
    Row("exit 0, but cancelled", RUNNING, answered(end=end(0, "TERM"), live=slurm("CANCELLED")), CANCELLED,
        Cause.CANCELLED, 0),
    Row("the deadline is a time limit", RUNNING, answered(live=slurm("DEADLINE")), FAILED, Cause.TIME_LIMIT),
    Row("cancelled by a user, whose number is part of the state", RUNNING,
        answered(end=end(143, "TERM"), history=slurm("CANCELLED by 1001")), CANCELLED, Cause.CANCELLED, 143,
        "CANCELLED by 1001"),
    Row("cancelled while it was pending", QUEUED, answered(live=slurm("CANCELLED", started=None)), CANCELLED,
        Cause.CANCELLED),
    Row("preempted", RUNNING, answered(end=end(143, "TERM"), live=slurm("PREEMPTED")), FAILED, Cause.PREEMPTED, 143),
    Row("the node failed", RUNNING, answered(live=slurm("NODE_FAIL")), FAILED, Cause.NODE_FAILURE),
    Row("the node did not boot", QUEUED, answered(live=slurm("BOOT_FAIL")), FAILED, Cause.NODE_FAILURE),
    Row("the node failed after the payload had ended", RUNNING, answered(end=end(0), live=slurm("NODE_FAIL")),
        COMPLETED, exit_code=0),
    Row("the queue can never start it", QUEUED,
        answered(live=Observation("PENDING", FAILED, Cause.DEPENDENCY, reason="DependencyNeverSatisfied")), FAILED,
        Cause.DEPENDENCY),
    Row("killed for its memory without cgroups", RUNNING, answered(live=slurm("FAILED"), log=OVER_MEMORY), FAILED,
        Cause.OUT_OF_MEMORY),
    Row("killed for its memory, Slurm reports only the signal", RUNNING,
        answered(live=slurm("FAILED", cause=Cause.SIGNAL, reason="RaisedSignal:9(Killed)"), log=OVER_MEMORY), FAILED,
        Cause.OUT_OF_MEMORY),
    Row("killed for its memory, reported by the accounting", RUNNING,
        answered(live=slurm("FAILED", cause=Cause.SIGNAL), history=slurm("FAILED", cause=Cause.OUT_OF_MEMORY)), FAILED,
        Cause.OUT_OF_MEMORY),
    Row("killed for its memory, not in the queue, without accounting", RUNNING,
        without_accounting(log=OVER_MEMORY, **LATER), FAILED, Cause.OUT_OF_MEMORY),
    Row("over the time limit, without accounting", RUNNING,
        without_accounting(end=end(143, "TERM"), log=TIME_LIMIT), FAILED, Cause.TIME_LIMIT, 143),
    Row("over the time limit, exit 0, without accounting", RUNNING,
        without_accounting(end=end(0, "TERM"), log=TIME_LIMIT), FAILED, Cause.TIME_LIMIT, 0),
    Row("over the time limit, and it ignored TERM", RUNNING, without_accounting(log=TIME_LIMIT, **LATER),
        FAILED, Cause.TIME_LIMIT),
    Row("scancelled, without accounting", RUNNING, without_accounting(end=end(143, "TERM"), log=SCANCELLED), CANCELLED,
        Cause.CANCELLED, 143),
    Row("scancelled, and the payload died before the script received the signal", RUNNING,
        without_accounting(end=end(143), log=SCANCELLED), CANCELLED, Cause.CANCELLED, 143),
    Row("killed, and no source will report by whom", RUNNING, without_accounting(end=end(143, "TERM")), FAILED,
        Cause.SIGNAL, 143),
    Row("received TERM, exit 0, and no source reports by whom", RUNNING, without_accounting(end=end(0, "TERM")), FAILED,
        Cause.SIGNAL, 0),
    Row("killed -9 with its script", RUNNING, answered(live=slurm("FAILED", cause=Cause.SIGNAL), **LATER), FAILED,
        Cause.SIGNAL),
    Row("received TERM, and ended with an exit code of its own", RUNNING,
        answered(end=end(4, "TERM"), live=slurm("FAILED")), FAILED, Cause.EXIT_CODE, 4),
    Row("exit 0, but Slurm reports FAILED", RUNNING, answered(end=end(0), live=slurm("FAILED")), FAILED,
        Cause.UNKNOWN, 0),
]  # fmt: skip
UNFINISHED = [
    Row("requeued: pending again, with the end file of its first run", RUNNING,
        answered(end=end(143, "TERM"), live=slurm("PENDING", reason="BeginTime"), log=REQUEUED), JobState.QUEUED),
    Row("requeued after an exit code of its own", RUNNING, answered(end=end(3), live=slurm("PENDING")),
        JobState.QUEUED),
    Row("requeued and running again", QUEUED, answered(end=end(143, "TERM"), live=slurm("RUNNING", started=at(8))),
        JobState.RUNNING),
    Row("requeued after an exit code of its own, and running again", QUEUED,
        answered(end=end(3), live=slurm("RUNNING", started=at(8))), JobState.RUNNING),
    Row("requeued and running again, as its script reports", RUNNING,
        answered(end=end(3), run=1, live=slurm("RUNNING")), JobState.RUNNING),
    Row("requeued, and its second run has left no end file", RUNNING,
        answered(end=end(3), run=1, history=slurm("CANCELLED"), **LATER), JobState.CANCELLED, Cause.CANCELLED),
    Row("requeued, and its second run has an end file", RUNNING,
        answered(end=replace(end(5), requeues=1), run=1), FAILED, Cause.EXIT_CODE, 5),
    Row("requeued and held", RUNNING, answered(end=end(143, "TERM"), live=slurm("REQUEUE_HOLD")), JobState.HELD),
    Row("held as a special exit", RUNNING, answered(end=end(143, "TERM"), live=slurm("SPECIAL_EXIT")), JobState.HELD,
        raw="SPECIAL_EXIT"),
    Row("completing", RUNNING, answered(live=slurm("COMPLETING")), JobState.RUNNING, raw="COMPLETING"),
    Row("completing, and its final state is near", RUNNING,
        answered(end=end(0), live=slurm("COMPLETING"), end_age_seconds=2), JobState.RUNNING),
    Row("completing, its payload was killed", RUNNING, answered(end=end(137), live=slurm("COMPLETING")),
        JobState.RUNNING),
    Row("an unknown state, while it was queued", QUEUED, answered(live=slurm("DEFRAGMENTING")), JobState.QUEUED,
        raw="DEFRAGMENTING"),
    Row("an unknown state, while it was running", RUNNING, answered(live=slurm("DEFRAGMENTING")), JobState.RUNNING,
        raw="DEFRAGMENTING"),
    Row("accepted after all, in an unknown state", SUBMITTING, answered(live=slurm("DEFRAGMENTING")), JobState.QUEUED),
    Row("accounting lags: empty after submitting", QUEUED, answered(), JobState.QUEUED),
    Row("accounting lags: not in the queue, and no end file is visible yet", RUNNING, answered(silent_polls=2),
        JobState.RUNNING),
    Row("accounting lags: still running", RUNNING, answered(history=slurm("RUNNING")), JobState.RUNNING),
    Row("perhaps removed from its array", QUEUED, answered(struck_out=True), JobState.QUEUED),
    Row("silent often, but not long", RUNNING, answered(silent_polls=99, silent_seconds=SILENT_SECONDS - 1),
        JobState.RUNNING),
    Row("silent long, but not often", RUNNING, answered(silent_polls=SILENT_POLLS - 1, silent_seconds=1e6),
        JobState.RUNNING),
    Row("silent long, but the accounting did not answer", RUNNING, answered(history_answered=False, **AT_LAST),
        JobState.RUNNING),
    Row("never observed since it was sent", SUBMITTING, answered(**AT_LAST), JobState.SUBMITTING),
    Row("Slurm reports COMPLETED, but the end file is not visible yet", RUNNING, answered(live=slurm("COMPLETED")),
        JobState.RUNNING),
    Row("Slurm reports FAILED, but the end file is not visible yet", RUNNING, answered(live=slurm("FAILED")),
        JobState.RUNNING),
    Row("killed, and the accounting may still report by whom", RUNNING, answered(end=end(143, "TERM")),
        JobState.RUNNING),
    Row("released", HELD, answered(live=slurm("PENDING")), JobState.QUEUED),
    Row("suspended", RUNNING, answered(live=slurm("SUSPENDED")), JobState.SUSPENDED),
    Row("revoked: another cluster of the federation runs it", QUEUED, answered(live=slurm("REVOKED")),
        JobState.QUEUED),
]  # fmt: skip
AFTER_A_WHILE = [
    Row("completing for long, its payload ended by itself", RUNNING,
        answered(end=end(0), live=slurm("COMPLETING"), end_age_seconds=FRESH_SECONDS), COMPLETED, exit_code=0),
    Row("an unknown state for long, its payload ended by itself", RUNNING,
        answered(end=end(3), live=slurm("DEFRAGMENTING"), end_age_seconds=FRESH_SECONDS), FAILED, Cause.EXIT_CODE, 3),
    Row("the queue cannot be queried for long, its payload ended by itself", RUNNING,
        Evidence(end=end(0), end_age_seconds=FRESH_SECONDS), COMPLETED, exit_code=0),
    Row("Slurm reports COMPLETED, but there is no end file", RUNNING, answered(live=slurm("COMPLETED"), **LATER),
        FAILED, Cause.UNKNOWN),
    Row("Slurm reports FAILED, and no source reports why", RUNNING, answered(live=slurm("FAILED"), **LATER), FAILED,
        Cause.UNKNOWN),
    Row("Slurm reports FAILED, and its accounting does not answer", RUNNING,
        answered(live=slurm("FAILED"), history_answered=False, **LATER), FAILED, Cause.UNKNOWN),
    Row("killed, and the accounting has had enough time", RUNNING, answered(end=end(143, "TERM"), **LATER), FAILED,
        Cause.SIGNAL, 143),
    Row("silent", RUNNING, answered(**AT_LAST), FAILED, Cause.LOST),
    Row("silent, without accounting", QUEUED, without_accounting(**AT_LAST), FAILED, Cause.LOST),
    Row("only a requeue is in its log", RUNNING, answered(log=REQUEUED, **AT_LAST), FAILED, Cause.LOST),
    Row("accounting lags: ended by itself", RUNNING, answered(end=end(0), history=slurm("RUNNING")), COMPLETED,
        exit_code=0),
    Row("accounting lags: ended by itself, and reported as pending", QUEUED,
        answered(end=end(0), history=slurm("PENDING", started=None)), COMPLETED, exit_code=0),
    Row("an element that was removed from its array while it waited", QUEUED, answered(struck_out=True, **LATER),
        CANCELLED, Cause.CANCELLED),
    Row("a runaway: only the accounting reports it, as running for ever", RUNNING,
        answered(history=slurm("RUNNING"), silent_polls=99, silent_seconds=STALE_SECONDS), FAILED, Cause.LOST),
    Row("its second run was killed without an end file; there is that of the first run", RUNNING,
        answered(end=end(143, "TERM"), live=slurm("FAILED", cause=Cause.SIGNAL, started=at(8)), log=REQUEUED, **LATER),
        FAILED, Cause.SIGNAL),
]  # fmt: skip
FINAL = [
    Row("lost and found", Status(FAILED, Cause.LOST), answered(live=slurm("RUNNING")), JobState.RUNNING),
    Row("lost, but it had ended", Status(FAILED, Cause.LOST), answered(end=end(0)), COMPLETED, exit_code=0),
    Row("lost, and still no source reports", Status(FAILED, Cause.LOST), answered(**AT_LAST), FAILED, Cause.LOST),
    Row("refused, but the queue has it", Status(FAILED, Cause.REFUSED), answered(live=slurm("PENDING")),
        JobState.QUEUED),
    Row("without an end file, which then appears", Status(FAILED, Cause.UNKNOWN),
        answered(end=end(0), live=slurm("COMPLETED")), COMPLETED, exit_code=0),
    Row("preempted, then pending again", Status(FAILED, Cause.PREEMPTED), answered(live=slurm("PENDING")),
        JobState.QUEUED),
    Row("preempted, then running again", Status(FAILED, Cause.PREEMPTED), answered(live=slurm("RUNNING")),
        JobState.RUNNING),
    Row("preempted, then run to its end", Status(FAILED, Cause.PREEMPTED, ended=at(5)),
        answered(end=replace(end(0, started=at(8), ended=at(9)), requeues=1)), COMPLETED, exit_code=0),
    Row("completed, and the queue is late", Status(COMPLETED, ended=at(5), exit_code=0),
        answered(live=slurm("RUNNING")), COMPLETED, exit_code=0),
    Row("completed, and then an unknown state", Status(COMPLETED, ended=at(5), exit_code=0, raw="COMPLETED"),
        answered(live=slurm("DEFRAGMENTING")), COMPLETED, exit_code=0, raw="COMPLETED"),
    Row("completed, and no source reports any more", Status(COMPLETED, exit_code=0), answered(**AT_LAST), COMPLETED,
        exit_code=0),
    Row("completed, but killed for its memory", Status(COMPLETED, exit_code=0),
        answered(end=end(0), live=slurm("OUT_OF_MEMORY")), FAILED, Cause.OUT_OF_MEMORY, 0),
    Row("completed, and an operator requeues it", Status(COMPLETED, ended=at(5), exit_code=0),
        answered(end=end(0), live=slurm("PENDING")), JobState.QUEUED),
    Row("over the time limit, and later only the end file is left", Status(FAILED, Cause.TIME_LIMIT, 143),
        answered(end=end(143, "TERM"), **AT_LAST), FAILED, Cause.TIME_LIMIT, 143),
    Row("without a declared output, with exit code 0", Status(FAILED, Cause.MISSING_OUTPUT, 0),
        answered(end=end(0), live=slurm("COMPLETED")), FAILED, Cause.MISSING_OUTPUT, 0),
    Row("failed, and Slurm reports COMPLETED", Status(FAILED, Cause.EXIT_CODE, 3), answered(live=slurm("COMPLETED")),
        FAILED, Cause.EXIT_CODE, 3),
]  # fmt: skip
ROWS = [*ENDS, *KILLED, *UNFINISHED, *AFTER_A_WHILE, *FINAL]


@pytest.mark.parametrize("row", ROWS, ids=[row.what for row in ROWS])
def test_the_status_that_follows_from_the_evidence(row: Row) -> None:
    after = settle(row.before, row.evidence)
    assert (after.state, after.cause, after.exit_code) == (row.state, row.cause, row.exit_code), after
    assert row.raw is None or after.raw == row.raw


def test_a_failed_node_has_the_batch_systems_name_and_the_status_keeps_its_retries() -> None:
    """The host may have another name for itself, and only the batch system's name can be excluded in a retry."""
    before = Status(JobState.RUNNING, retries=2)
    evidence = answered(end=end(143, "TERM", node="n1.site.org"), live=slurm("NODE_FAIL", node="n1"))
    after = settle(before, evidence)
    assert (after.cause, after.node, after.retries) == (Cause.NODE_FAILURE, "n1", 2)
    ended = settle(before, answered(end=end(3, node="n1.site.org"), live=slurm("FAILED", node="n1")))
    assert (ended.node, ended.retries) == ("n1.site.org", 2)


@pytest.mark.parametrize("before", [QUEUED, RUNNING, HELD, SUBMITTING])
def test_an_unfinished_job_that_the_queue_does_not_have_shows_what_is_waited_for(before: Status) -> None:
    waits = "it left the queue without an end file; waiting for its end file or a report of the batch system"
    unexplained = "it left the queue without an end file; waiting for the history, which cannot be queried now"
    after, failed = settle(before, answered()), settle(before, answered(history_answered=False))
    assert (after.state, failed.state) == (before.state, before.state)
    if before is SUBMITTING:
        assert after == failed == before  # it may never have been in the queue
    else:
        assert (after.reason.startswith(waits), failed.reason) == (True, unexplained)
        assert settle(after, NOBODY) == after  # the queue did not answer: nothing is new
        assert settle(after, answered(live=slurm("PENDING"))).reason == ""


def test_an_exit_code_of_the_accounting_that_lacks_128_is_a_signal_if_the_queue_reports_one() -> None:
    """Slurm 22.05 for a script that was killed by SIGKILL."""
    live, history = slurm("FAILED", cause=Cause.SIGNAL), slurm("FAILED", cause=Cause.EXIT_CODE, exit_code=9)
    after = settle(RUNNING, answered(live=live, history=history, **LATER))
    assert (after.cause, after.exit_code) == (Cause.SIGNAL, 137)
    after = settle(RUNNING, answered(live=live, history=replace(history, cause=Cause.OUT_OF_MEMORY), **LATER))
    assert after.cause is Cause.OUT_OF_MEMORY
