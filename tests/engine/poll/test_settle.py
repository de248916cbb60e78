"""How witnesses of a job are weighed: a row for each way in which a batch system is known to mislead.

The rows are what Slurm 22.05 and 24.11 were seen to say, and what made other libraries report what was not so.
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


def says(word: str, **more: Any) -> Observation:
    """What Slurm says of a job, with the meaning that the Slurm dialect gives to the word."""
    state, cause = STATES.get(word.split()[0], (None, Cause.NONE))
    return Observation(word, state, **{"cause": cause, "started": at(1), **more})


def answered(**evidence: Any) -> Evidence:
    """A poll in which everybody who was asked has answered; the site has a history."""
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
    """`before`, what a poll brings, and where the job then stands."""

    what: str
    before: Status
    evidence: Evidence
    state: JobState
    cause: Cause = Cause.NONE
    exit_code: int | None = None
    raw: str | None = None


COMPLETED, FAILED, CANCELLED = JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED
ENDS = [
    Row("exit 0, and Slurm agrees", RUNNING, answered(end=end(0), live=says("COMPLETED")), COMPLETED, exit_code=0),
    Row("exit 0, and nobody else knows of it", RUNNING, answered(end=end(0)), COMPLETED, exit_code=0),
    Row("exit 0, without accounting", RUNNING, without_accounting(end=end(0)), COMPLETED, exit_code=0),
    Row("exit 0 and ended before it was seen in a queue", SUBMITTING, answered(end=end(0)), COMPLETED, exit_code=0),
    Row("exit 3", RUNNING, answered(end=end(3), live=says("FAILED")), FAILED, Cause.EXIT_CODE, 3),
    Row("exit 3, gone from the queue", RUNNING, answered(end=end(3)), FAILED, Cause.EXIT_CODE, 3),
    Row("exit 137: a payload that was killed", RUNNING, answered(end=end(137), live=says("FAILED")), FAILED,
        Cause.SIGNAL, 137),
    Row("an exit code over 128 that is no signal", RUNNING, answered(end=end(200), live=says("FAILED")), FAILED,
        Cause.EXIT_CODE, 200),
    Row("a payload that could not begin", RUNNING, answered(end=end(72, cannot="no image"), live=says("FAILED")),
        FAILED, Cause.CANNOT_START, 72),
    Row("a declared output is missing", RUNNING, answered(end=end(0, missing="*.root"), live=says("COMPLETED")), FAILED,
        Cause.MISSING_OUTPUT, 0),
]  # fmt: skip
KILLED = [
    Row("exit 0, but over the time limit", RUNNING, answered(end=end(0, "TERM"), live=says("TIMEOUT")), FAILED,
        Cause.TIME_LIMIT, 0),
    Row("exit 0 unaware, but over the time limit", RUNNING, answered(end=end(0), live=says("TIMEOUT")), FAILED,
        Cause.TIME_LIMIT, 0),
    Row("exit 0, but over its memory", RUNNING, answered(end=end(0), live=says("OUT_OF_MEMORY")), FAILED,
        Cause.OUT_OF_MEMORY, 0),
    Row("exit 1 because a child was over its memory", RUNNING, answered(end=end(1), live=says("OUT_OF_MEMORY")), FAILED,
        Cause.OUT_OF_MEMORY, 1),
    Row("exit 0, but cancelled", RUNNING, answered(end=end(0, "TERM"), live=says("CANCELLED")), CANCELLED,
        Cause.CANCELLED, 0),
    Row("the deadline is a time limit", RUNNING, answered(live=says("DEADLINE")), FAILED, Cause.TIME_LIMIT),
    Row("cancelled by a person, whose number is part of the word", RUNNING,
        answered(end=end(143, "TERM"), history=says("CANCELLED by 1001")), CANCELLED, Cause.CANCELLED, 143,
        "CANCELLED by 1001"),
    Row("cancelled while it was pending", QUEUED, answered(live=says("CANCELLED", started=None)), CANCELLED,
        Cause.CANCELLED),
    Row("preempted", RUNNING, answered(end=end(143, "TERM"), live=says("PREEMPTED")), FAILED, Cause.PREEMPTED, 143),
    Row("the node failed", RUNNING, answered(live=says("NODE_FAIL")), FAILED, Cause.NODE_FAILURE),
    Row("the node did not boot", QUEUED, answered(live=says("BOOT_FAIL")), FAILED, Cause.NODE_FAILURE),
    Row("the node failed after the payload had ended", RUNNING, answered(end=end(0), live=says("NODE_FAIL")), COMPLETED,
        exit_code=0),
    Row("the queue can never start it", QUEUED,
        answered(live=Observation("PENDING", FAILED, Cause.DEPENDENCY, reason="DependencyNeverSatisfied")), FAILED,
        Cause.DEPENDENCY),
    Row("killed for its memory without cgroups", RUNNING, answered(live=says("FAILED"), log=OVER_MEMORY), FAILED,
        Cause.OUT_OF_MEMORY),
    Row("killed for its memory, Slurm knows the signal only", RUNNING,
        answered(live=says("FAILED", cause=Cause.SIGNAL, reason="RaisedSignal:9(Killed)"), log=OVER_MEMORY), FAILED,
        Cause.OUT_OF_MEMORY),
    Row("killed for its memory, told by the accounting", RUNNING,
        answered(live=says("FAILED", cause=Cause.SIGNAL), history=says("FAILED", cause=Cause.OUT_OF_MEMORY)), FAILED,
        Cause.OUT_OF_MEMORY),
    Row("killed for its memory, gone, without accounting", RUNNING, without_accounting(log=OVER_MEMORY, **LATER),
        FAILED, Cause.OUT_OF_MEMORY),
    Row("over the time limit, without accounting", RUNNING,
        without_accounting(end=end(143, "TERM"), log=TIME_LIMIT), FAILED, Cause.TIME_LIMIT, 143),
    Row("over the time limit, exit 0, without accounting", RUNNING,
        without_accounting(end=end(0, "TERM"), log=TIME_LIMIT), FAILED, Cause.TIME_LIMIT, 0),
    Row("over the time limit, and it did not listen to TERM", RUNNING, without_accounting(log=TIME_LIMIT, **LATER),
        FAILED, Cause.TIME_LIMIT),
    Row("scancelled, without accounting", RUNNING, without_accounting(end=end(143, "TERM"), log=SCANCELLED), CANCELLED,
        Cause.CANCELLED, 143),
    Row("scancelled, and the payload died before the script heard", RUNNING,
        without_accounting(end=end(143), log=SCANCELLED), CANCELLED, Cause.CANCELLED, 143),
    Row("killed, and nobody will ever say by whom", RUNNING, without_accounting(end=end(143, "TERM")), FAILED,
        Cause.SIGNAL, 143),
    Row("told to stop, exit 0, and nobody says by whom", RUNNING, without_accounting(end=end(0, "TERM")), FAILED,
        Cause.SIGNAL, 0),
    Row("killed -9 with its script", RUNNING, answered(live=says("FAILED", cause=Cause.SIGNAL), **LATER), FAILED,
        Cause.SIGNAL),
    Row("told to stop, and it ended in its own way", RUNNING, answered(end=end(4, "TERM"), live=says("FAILED")), FAILED,
        Cause.EXIT_CODE, 4),
    Row("exit 0, yet Slurm says that it failed", RUNNING, answered(end=end(0), live=says("FAILED")), FAILED,
        Cause.UNKNOWN, 0),
]  # fmt: skip
GOING_ON = [
    Row("requeued: pending again, with the end file of its first run", RUNNING,
        answered(end=end(143, "TERM"), live=says("PENDING", reason="BeginTime"), log=REQUEUED), JobState.QUEUED),
    Row("requeued after an exit code of its own", RUNNING, answered(end=end(3), live=says("PENDING")), JobState.QUEUED),
    Row("requeued and running again", QUEUED, answered(end=end(143, "TERM"), live=says("RUNNING", started=at(8))),
        JobState.RUNNING),
    Row("requeued after an exit code of its own, and running again", QUEUED,
        answered(end=end(3), live=says("RUNNING", started=at(8))), JobState.RUNNING),
    Row("requeued and held", RUNNING, answered(end=end(143, "TERM"), live=says("REQUEUE_HOLD")), JobState.HELD),
    Row("held as a special exit", RUNNING, answered(end=end(143, "TERM"), live=says("SPECIAL_EXIT")), JobState.HELD,
        raw="SPECIAL_EXIT"),
    Row("completing", RUNNING, answered(live=says("COMPLETING")), JobState.RUNNING, raw="COMPLETING"),
    Row("completing, its last word is near", RUNNING, answered(end=end(0), live=says("COMPLETING"), end_age_seconds=2),
        JobState.RUNNING),
    Row("completing, its payload was killed", RUNNING, answered(end=end(137), live=says("COMPLETING")),
        JobState.RUNNING),
    Row("a word that nobody knows, while it was queued", QUEUED, answered(live=says("EXPEDITING")), JobState.QUEUED,
        raw="EXPEDITING"),
    Row("a word that nobody knows, while it ran", RUNNING, answered(live=says("EXPEDITING")), JobState.RUNNING,
        raw="EXPEDITING"),
    Row("taken after all, in a word that nobody knows", SUBMITTING, answered(live=says("EXPEDITING")), JobState.QUEUED),
    Row("accounting lags: empty after submitting", QUEUED, answered(), JobState.QUEUED),
    Row("accounting lags: gone, and no end file is visible yet", RUNNING, answered(silent_polls=2), JobState.RUNNING),
    Row("accounting lags: still running", RUNNING, answered(history=says("RUNNING")), JobState.RUNNING),
    Row("out of its array, perhaps", QUEUED, answered(struck_out=True), JobState.QUEUED),
    Row("silent often, but not long", RUNNING, answered(silent_polls=99, silent_seconds=SILENT_SECONDS - 1),
        JobState.RUNNING),
    Row("silent long, but not often", RUNNING, answered(silent_polls=SILENT_POLLS - 1, silent_seconds=1e6),
        JobState.RUNNING),
    Row("silent long, but the accounting did not answer", RUNNING, answered(history_answered=False, **AT_LAST),
        JobState.RUNNING),
    Row("never heard of since it was sent", SUBMITTING, answered(**AT_LAST), JobState.SUBMITTING),
    Row("ended well, says Slurm, but its proof is not visible yet", RUNNING, answered(live=says("COMPLETED")),
        JobState.RUNNING),
    Row("ended badly, says Slurm, but its end file is not visible yet", RUNNING, answered(live=says("FAILED")),
        JobState.RUNNING),
    Row("killed, and the accounting may still say by whom", RUNNING, answered(end=end(143, "TERM")), JobState.RUNNING),
    Row("released", HELD, answered(live=says("PENDING")), JobState.QUEUED),
    Row("suspended", RUNNING, answered(live=says("SUSPENDED")), JobState.SUSPENDED),
    Row("revoked here: another cluster of the federation runs it", QUEUED, answered(live=says("REVOKED")),
        JobState.QUEUED),
]  # fmt: skip
AT_LENGTH = [
    Row("completing for long, its payload ended by itself", RUNNING,
        answered(end=end(0), live=says("COMPLETING"), end_age_seconds=FRESH_SECONDS), COMPLETED, exit_code=0),
    Row("a word that nobody knows for long, its payload ended by itself", RUNNING,
        answered(end=end(3), live=says("EXPEDITING"), end_age_seconds=FRESH_SECONDS), FAILED, Cause.EXIT_CODE, 3),
    Row("the queue cannot be asked for long, its payload ended by itself", RUNNING,
        Evidence(end=end(0), end_age_seconds=FRESH_SECONDS), COMPLETED, exit_code=0),
    Row("Slurm says that it completed, but nothing proves it", RUNNING, answered(live=says("COMPLETED"), **LATER),
        FAILED, Cause.UNKNOWN),
    Row("Slurm says that it failed, and nothing says why", RUNNING, answered(live=says("FAILED"), **LATER), FAILED,
        Cause.UNKNOWN),
    Row("Slurm says that it failed, and its accounting is broken", RUNNING,
        answered(live=says("FAILED"), history_answered=False, **LATER), FAILED, Cause.UNKNOWN),
    Row("killed, and the accounting has had its time", RUNNING, answered(end=end(143, "TERM"), **LATER), FAILED,
        Cause.SIGNAL, 143),
    Row("silent", RUNNING, answered(**AT_LAST), FAILED, Cause.LOST),
    Row("silent, without accounting", QUEUED, without_accounting(**AT_LAST), FAILED, Cause.LOST),
    Row("the requeue alone is in its log", RUNNING, answered(log=REQUEUED, **AT_LAST), FAILED, Cause.LOST),
    Row("accounting lags: ended by itself", RUNNING, answered(end=end(0), history=says("RUNNING")), COMPLETED,
        exit_code=0),
    Row("accounting lags: ended by itself, and not even begun there", QUEUED,
        answered(end=end(0), history=says("PENDING", started=None)), COMPLETED, exit_code=0),
    Row("an element that was taken out of its array while it waited", QUEUED, answered(struck_out=True, **LATER),
        CANCELLED, Cause.CANCELLED),
    Row("a runaway: only the accounting says, for ever, that it runs", RUNNING,
        answered(history=says("RUNNING"), silent_polls=99, silent_seconds=STALE_SECONDS), FAILED, Cause.LOST),
    Row("its second run was killed without a trace; the end file is the first's", RUNNING,
        answered(end=end(143, "TERM"), live=says("FAILED", cause=Cause.SIGNAL, started=at(8)), log=REQUEUED, **LATER),
        FAILED, Cause.SIGNAL),
]  # fmt: skip
FINAL = [
    Row("lost and found", Status(FAILED, Cause.LOST), answered(live=says("RUNNING")), JobState.RUNNING),
    Row("lost, but it had ended", Status(FAILED, Cause.LOST), answered(end=end(0)), COMPLETED, exit_code=0),
    Row("lost, and still nobody knows", Status(FAILED, Cause.LOST), answered(**AT_LAST), FAILED, Cause.LOST),
    Row("refused, they said, but there it is", Status(FAILED, Cause.REFUSED), answered(live=says("PENDING")),
        JobState.QUEUED),
    Row("unproved, and then proved", Status(FAILED, Cause.UNKNOWN), answered(end=end(0), live=says("COMPLETED")),
        COMPLETED, exit_code=0),
    Row("preempted, then pending again", Status(FAILED, Cause.PREEMPTED), answered(live=says("PENDING")),
        JobState.QUEUED),
    Row("preempted, then running again", Status(FAILED, Cause.PREEMPTED), answered(live=says("RUNNING")),
        JobState.RUNNING),
    Row("preempted, then run to its end", Status(FAILED, Cause.PREEMPTED, ended=at(5)),
        answered(end=replace(end(0, started=at(8), ended=at(9)), requeues=1)), COMPLETED, exit_code=0),
    Row("completed, and the queue is late", Status(COMPLETED, ended=at(5), exit_code=0),
        answered(live=says("RUNNING")), COMPLETED, exit_code=0),
    Row("completed, and then a word that nobody knows", Status(COMPLETED, ended=at(5), exit_code=0, raw="COMPLETED"),
        answered(live=says("EXPEDITING")), COMPLETED, exit_code=0, raw="COMPLETED"),
    Row("completed, and long forgotten", Status(COMPLETED, exit_code=0), answered(**AT_LAST), COMPLETED, exit_code=0),
    Row("completed, yet killed over its memory", Status(COMPLETED, exit_code=0),
        answered(end=end(0), live=says("OUT_OF_MEMORY")), FAILED, Cause.OUT_OF_MEMORY, 0),
    Row("completed, and an operator runs it again", Status(COMPLETED, ended=at(5), exit_code=0),
        answered(end=end(0), live=says("PENDING")), JobState.QUEUED),
    Row("over the time limit, and later only the end file is left", Status(FAILED, Cause.TIME_LIMIT, 143),
        answered(end=end(143, "TERM"), **AT_LAST), FAILED, Cause.TIME_LIMIT, 143),
    Row("without its output, which had exit code 0", Status(FAILED, Cause.MISSING_OUTPUT, 0),
        answered(end=end(0), live=says("COMPLETED")), FAILED, Cause.MISSING_OUTPUT, 0),
    Row("failed, and Slurm says COMPLETED", Status(FAILED, Cause.EXIT_CODE, 3), answered(live=says("COMPLETED")),
        FAILED, Cause.EXIT_CODE, 3),
]  # fmt: skip
ROWS = [*ENDS, *KILLED, *GOING_ON, *AT_LENGTH, *FINAL]


@pytest.mark.parametrize("row", ROWS, ids=[row.what for row in ROWS])
def test_what_is_known_after(row: Row) -> None:
    after = settle(row.before, row.evidence)
    assert (after.state, after.cause, after.exit_code) == (row.state, row.cause, row.exit_code), after
    assert row.raw is None or after.raw == row.raw


def test_a_node_that_failed_has_the_batch_systems_name_and_the_attempt_its_number() -> None:
    """The host may call itself otherwise, and it is the batch system's name by which it can be stayed away from."""
    before = Status(JobState.RUNNING, retries=2)
    told = answered(end=end(143, "TERM", node="n1.site.org"), live=says("NODE_FAIL", node="n1"))
    after = settle(before, told)
    assert (after.cause, after.node, after.retries) == (Cause.NODE_FAILURE, "n1", 2)
    ended = settle(before, answered(end=end(3, node="n1.site.org"), live=says("FAILED", node="n1")))
    assert (ended.node, ended.retries) == ("n1.site.org", 2)
