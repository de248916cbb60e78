"""What follows on each end of a job: another attempt with what it asks for, none with the reason, or nothing at all."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scheduler import Cause, JobState, Resources, Retry, Status
from scheduler.job.retry_policy import Again, Bounds, Enough, difference, next_attempt, with_other

ALL = ("node failure", "preempted", "out of memory", "time limit")
EVERYTHING = Retry(times=3, on=ALL, memory_factor=1.5, walltime_factor=2, exit_codes=[65, 143])  # type: ignore[arg-type]
ASKED = Resources(cpus=2, memory="300M", walltime="1h", native=["--gres=disk:4G"])
WIDE = Bounds(memory_mib=1 << 20, walltime=timedelta(days=2))


def failed(cause: Cause, exit_code: int | None = None) -> Status:
    return Status(JobState.FAILED, cause, exit_code)


def after(
    status: Status, retry: Retry = EVERYTHING, *, retries: int = 0, resources: Resources = ASKED, bounds: Bounds = WIDE,
    failed_nodes: tuple[str, ...] = (),
) -> Again | Enough | None:  # fmt: skip
    return next_attempt(status, retry, retries=retries, resources=resources, bounds=bounds, failed_nodes=failed_nodes)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (failed(Cause.NODE_FAILURE), ASKED),
        (failed(Cause.PREEMPTED), ASKED),
        (failed(Cause.OUT_OF_MEMORY, 137), with_other(ASKED, memory="450M")),
        (failed(Cause.TIME_LIMIT, 143), with_other(ASKED, walltime="2h")),
        (failed(Cause.EXIT_CODE, 65), ASKED),
    ],
    ids=lambda value: str(value) if isinstance(value, Status) else "",
)
def test_a_cause_that_is_worth_it_brings_another_attempt(status: Status, expected: Resources) -> None:
    assert after(status) == Again(expected)


@pytest.mark.parametrize(
    "status",
    [
        *(failed(cause, 65) for cause in Cause if cause.word not in ("exit code", *ALL)),
        failed(Cause.EXIT_CODE, 66),
        failed(Cause.EXIT_CODE),
        Status(JobState.CANCELLED, Cause.CANCELLED, 143),
        Status(JobState.COMPLETED, exit_code=0),
        Status(JobState.RUNNING),
        Status(JobState.QUEUED, Cause.NODE_FAILURE),
    ],
    ids=lambda status: f"{status} {status.exit_code}",
)
def test_what_is_not_worth_it_or_may_still_run_is_left_alone(status: Status) -> None:
    assert after(status) is None


def test_by_default_nothing_is_tried_again() -> None:
    assert [after(failed(cause, 1), Retry()) for cause in Cause] == [None] * len(Cause)


def test_if_asked_for_without_more_words_it_is_what_the_machine_did() -> None:
    tried = [cause.word for cause in Cause if after(failed(cause, 1), Retry(times=1)) is not None]
    assert tried == ["node failure", "preempted"]


def test_there_are_no_more_attempts_than_were_asked_for() -> None:
    found = [after(failed(Cause.PREEMPTED), Retry(times=2), retries=retries) for retries in range(4)]
    assert found == [Again(ASKED), Again(ASKED), *(Enough(f"that was attempt {n}, and the last") for n in (3, 4))]


def test_memory_grows_up_to_what_the_site_allows_and_then_no_further() -> None:
    grown, asked, seen = Bounds(memory_mib=1000), ASKED, []
    for retries in range(3):
        following = after(failed(Cause.OUT_OF_MEMORY), retries=retries, resources=asked, bounds=grown)
        assert isinstance(following, Again)
        asked = following.resources
        seen.append(asked.memory)
    assert seen == ["450M", "675M", "1000M"]
    more = after(failed(Cause.OUT_OF_MEMORY), Retry(times=9, on=ALL), retries=3, resources=asked, bounds=grown)  # type: ignore[arg-type]
    assert more == Enough("not retried: it had all the memory that the site allows, 1000M")


def test_walltime_grows_up_to_what_the_site_allows_and_then_no_further() -> None:
    bounds = Bounds(walltime=timedelta(hours=3))
    first = after(failed(Cause.TIME_LIMIT), resources=with_other(ASKED, walltime="2h"), bounds=bounds)
    assert first == Again(with_other(ASKED, walltime="3h"))
    second = after(failed(Cause.TIME_LIMIT), retries=1, resources=with_other(ASKED, walltime="3h"), bounds=bounds)
    assert second == Enough("not retried: it had all the time that the site allows, 03:00:00")


@pytest.mark.parametrize(
    ("cause", "asked", "bounds", "words"),
    [
        (Cause.OUT_OF_MEMORY, Resources(), WIDE, "no memory that could be increased"),
        (Cause.OUT_OF_MEMORY, ASKED, Bounds(memory_is_asked_for=False), "no memory that could be increased"),
        (Cause.TIME_LIMIT, Resources(), WIDE, "no walltime that could be increased"),
    ],
)
def test_what_was_not_asked_for_cannot_be_made_more(cause: Cause, asked: Resources, bounds: Bounds, words: str) -> None:
    following = after(failed(cause), resources=asked, bounds=bounds)
    assert isinstance(following, Enough) and words in following.why


def test_without_a_bound_growth_ends_where_numbers_make_no_sense() -> None:
    large = Resources(memory=f"{(1 << 40) - 1}M", walltime="3600 days")
    assert after(failed(Cause.OUT_OF_MEMORY), resources=large, bounds=Bounds()) == Again(
        with_other(large, memory=f"{1 << 40}M")
    )
    assert after(failed(Cause.TIME_LIMIT), resources=large, bounds=Bounds()) == Again(
        with_other(large, walltime="3650 days")
    )


def test_nodes_that_failed_are_stayed_away_from_by_all_later_attempts() -> None:
    assert after(failed(Cause.NODE_FAILURE), failed_nodes=("n1", "n2", "n1")) == Again(ASKED, ("n1", "n2"))
    again = after(failed(Cause.OUT_OF_MEMORY), retries=1, failed_nodes=("n1",))
    assert again == Again(with_other(ASKED, memory="450M"), ("n1",))


@pytest.mark.parametrize("node", ["n[1-2]", "n1,n2", "", "-x", "n1\n#SBATCH --uid=0", "$(id)", "n 1"])
def test_of_several_nodes_none_is_and_of_what_is_no_name_neither(node: str) -> None:
    assert after(failed(Cause.NODE_FAILURE), failed_nodes=(node,)) == Again(ASKED)


def test_what_is_asked_for_otherwise_is_said() -> None:
    assert difference(ASKED, with_other(ASKED, memory="450M", walltime="2h")) == (
        "memory 300M → 450M, walltime 01:00:00 → 02:00:00"
    )
    assert difference(ASKED, ASKED) == ""
    assert difference(Resources(), Resources(memory="1 GB")) == "memory none → 1024M"
