"""Laws that every settled status obeys, whatever the evidence; and what it holds besides the state."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from scheduler.batch.slurm.states import STATES
from scheduler.batch.slurm.system import SYSTEM
from scheduler.engine.poll.settle import PATIENT_POLLS, settle
from scheduler.job.evidence import End, Evidence, Observation
from scheduler.job.state import Cause, JobState, Status

T0 = datetime(2026, 1, 1, tzinfo=timezone.utc)
TIMES = st.none() | st.integers(0, 20).map(lambda n: T0 + timedelta(minutes=n))
ENDS = st.builds(
    End, st.integers(0, 2), st.sampled_from([0, 1, 3, 72, 128, 137, 143, 255]), st.sampled_from(["", "TERM", "XCPU"]),
    TIMES, TIMES, cannot=st.sampled_from(["", "no image"]), missing=st.sampled_from(["", "*.root"]),
)  # fmt: skip
MEANINGS = st.sampled_from(
    [(word, *meaning) for word, meaning in STATES.items()] + [("DEFRAGMENTING", None, Cause.NONE)]
)
LINES = st.sampled_from(
    ["CANCELLED AT 2026", "CANCELLED AT 2026 DUE TO TIME LIMIT", "exceeded memory limit", "DUE TO JOB REQUEUE", "hello"]
)
OBSERVATIONS = st.builds(
    lambda meaning, started: Observation(meaning[0], meaning[1], meaning[2], started=started), MEANINGS, TIMES
)
EVIDENCE = st.builds(
    Evidence, st.none() | ENDS, st.none() | OBSERVATIONS, st.none() | OBSERVATIONS,
    st.lists(LINES, max_size=3).map(tuple), st.booleans(),
    st.sampled_from([None, True, False]), st.integers(1, 9), st.sampled_from([0.0, 299.0, 301.0, 1e5]),
    st.sampled_from([0.0, 59.0, 61.0, 1e5]),
).map(lambda evidence: replace(evidence, log_cause=SYSTEM.log_cause(evidence.log)))  # fmt: skip
UNFINISHED = [state for state in JobState if not state.final]
OPEN = st.builds(Status, st.sampled_from(UNFINISHED))
ENDED = st.sampled_from(
    [Status(JobState.COMPLETED), Status(JobState.CANCELLED, Cause.CANCELLED)]
    + [Status(JobState.FAILED, cause) for cause in Cause if cause not in (Cause.NONE, Cause.CANCELLED)]
)


def without_success(evidence: Evidence) -> Evidence:
    """The same, but without an end file that shows success."""
    end = evidence.end
    if end is None or end.exit_code or end.signal or end.missing or end.cannot:
        return evidence
    return replace(evidence, end=replace(end, exit_code=1))


@given(OPEN | ENDED.filter(lambda status: status.state is not JobState.COMPLETED), EVIDENCE)
def test_without_an_end_file_that_shows_success_no_job_is_completed(before: Status, evidence: Evidence) -> None:
    assert settle(before, without_success(evidence)).state is not JobState.COMPLETED


@given(OPEN | ENDED, EVIDENCE, st.booleans())
def test_failed_queries_change_nothing(before: Status, evidence: Evidence, ended_just_now: bool) -> None:
    silent = replace(evidence, queue_answered=False, live=None, history=None, log=(), log_cause=None)
    end = silent.end if ended_just_now and evidence.end and evidence.end.ended else None
    failed = replace(silent, end=end and replace(end, requeues=before.requeues), end_age_seconds=1.0)
    assert settle(before, failed) == before


@given(OPEN | ENDED)
def test_without_evidence_the_status_stays(before: Status) -> None:
    assert settle(before, Evidence()) == before


@given(OPEN | ENDED, EVIDENCE)
def test_a_failed_or_cancelled_status_has_a_cause_and_no_other_has(before: Status, evidence: Evidence) -> None:
    after = settle(before, evidence)
    assert (after.cause is Cause.NONE) == (not after.final or after.state is JobState.COMPLETED)
    assert (after.cause is Cause.CANCELLED) == (after.state is JobState.CANCELLED)


@given(OPEN | ENDED, EVIDENCE)
def test_settling_the_same_evidence_twice_gives_the_same_status(before: Status, evidence: Evidence) -> None:
    after = settle(before, evidence)
    again = settle(after, evidence)
    assert (again.state, again.cause, again.exit_code) == (after.state, after.cause, after.exit_code)


@given(OPEN, OBSERVATIONS, EVIDENCE)
def test_a_job_in_the_queue_is_not_final_without_its_end_file(
    before: Status, live: Observation, evidence: Evidence
) -> None:
    if live.active:
        assert not settle(before, replace(evidence, end=None, live=live, history=None)).final


@given(OPEN, EVIDENCE)
def test_an_unknown_state_is_shown_and_is_not_final(before: Status, evidence: Evidence) -> None:
    unknown = replace(evidence, end=None, live=Observation("DEFRAGMENTING", None), history=None)
    after = settle(before, unknown)
    assert (after.raw, after.final) == ("DEFRAGMENTING", False)


@given(EVIDENCE)
def test_a_job_that_was_never_sent_is_not_lost(evidence: Evidence) -> None:
    nothing = replace(evidence, end=None, live=None, history=None, log=(), log_cause=None)
    for state in (JobState.CREATED, JobState.SUBMITTING):
        assert settle(Status(state), nothing) == Status(state)


def requeued(state: JobState, **more: datetime) -> Evidence:
    live = Observation(state.name, state, started=more.get("started"), reason="BeginTime")
    return Evidence(End(0, 143, "TERM", T0, T0 + timedelta(minutes=5)), live, queue_answered=True)


def test_a_requeue_is_counted() -> None:
    waiting = settle(Status(JobState.RUNNING, started=T0), requeued(JobState.QUEUED))
    assert (waiting.requeues, waiting.started, waiting.reason) == (1, None, "BeginTime")
    running = settle(waiting, requeued(JobState.RUNNING, started=T0 + timedelta(minutes=8)))
    assert (running.requeues, running.started, running.reason) == (1, T0 + timedelta(minutes=8), "")


def test_the_final_status_has_the_run_times_and_node_of_the_end_file() -> None:
    end = End(2, 0, started=T0, ended=T0 + timedelta(minutes=1), node="node7")
    observed = Observation("COMPLETED", JobState.COMPLETED, node="node[7-8]", started=T0 - timedelta(seconds=1))
    after = settle(Status(JobState.RUNNING, requeues=1), Evidence(end, observed, queue_answered=True))
    assert (after.requeues, after.started, after.ended, after.node) == (2, end.started, end.ended, "node7")


def test_the_reason_of_a_killed_job_quotes_the_batch_system() -> None:
    line = "*** JOB 7 ON node1 CANCELLED AT 2026-01-01 DUE TO TIME LIMIT ***"
    after = settle(
        Status(JobState.RUNNING),
        Evidence(End(0, 143, "TERM"), log=[line], log_cause=Cause.TIME_LIMIT, queue_answered=True),
    )
    assert after.reason == f"{Cause.TIME_LIMIT.sentence} ({line})"


def test_the_reason_of_an_end_follows_from_its_end_file() -> None:
    ends = {
        "no declared output matches *.root": End(0, 0, missing="*.root"),
        "container image x does not exist": End(0, 72, cannot="container image x does not exist"),
        "the payload ended with exit code 3": End(0, 3),
        "the payload was ended by signal SEGV": End(0, 139),
        "the job received TERM; its sender is not known": End(0, 143, "TERM"),
    }
    for reason, end in ends.items():
        evidence = Evidence(end, queue_answered=True, silent_polls=PATIENT_POLLS)
        assert settle(Status(JobState.RUNNING), evidence).reason == reason
