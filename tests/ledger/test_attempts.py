"""A job moves to its next attempt at once or not at all, and what the earlier ones were stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scheduler import Cause, JobState, Status
from scheduler.ledger.attempts import Move
from scheduler.ledger.ledger import Ledger

FAILED = Status(JobState.FAILED, Cause.OUT_OF_MEMORY, 137, raw="OUT_OF_MEMORY", reason="too much", node="n1")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Three jobs of an array, of which the second has failed."""
    ledger = Ledger(tmp_path)
    jobs = [
        {"first": 0, "element": n, "job_id": f"j{n}", "campaign": "scan", "type": "script", "working_dir": f"/h/{n}",
         "patterns": "[]", "resources": '{"memory": "300M"}', "retry": '{"times": 2}', "template": None}
        for n in range(3)
    ]  # fmt: skip
    ledger.record_intent(
        token="aaa", site="here", site_json={}, python="", probe="", batches=[(0, 3, "x.aaa-0", False)], jobs=jobs
    )
    ledger.record_folder("aaa", "/far/aaa")
    ledger.record_ids("aaa", {0: "77"})
    ledger.record_sent("aaa")
    ledger.observe({2: FAILED}, {2: "queue: OUT_OF_MEMORY"})
    return ledger


def move(ledger: Ledger, token: str, key: int = 2) -> bool:
    """Record that a job is tried again, as it is now."""
    [row] = ledger.of_keys([key])
    one = Move(row, 0, 0, '{"memory": "450M"}', f"to {token}")
    return ledger.attempts.record(
        token=token, site="here", site_json={}, batches=[(0, 1, f"x.{token}-0", False)], moves=[one]
    )


def test_a_job_becomes_its_next_attempt_and_the_one_before_is_kept(ledger: Ledger) -> None:
    assert [row.job_id for row in ledger.failed("here")] == ["j1"]
    assert move(ledger, "bbb")
    [row] = ledger.of_keys([2])
    assert (row.bundle, row.first, row.element, row.folder, row.batch_id) == ("bbb", 0, 0, None, None)
    assert (row.status, row.resources) == (Status(JobState.SUBMITTING, retries=1), '{"memory": "450M"}')
    assert [bundle["token"] for bundle in ledger.unsent("here")] == ["bbb"]
    [one] = ledger.attempts.of([1, 2, 3])
    assert (one.job, one.retries, one.folder, one.element) == (2, 0, "/far/aaa", 1)
    assert (one.batch_id, one.index, one.in_array) == ("77", 1, True)
    assert (one.status, one.resources) == (FAILED, '{"memory": "300M"}')
    assert [said for _, said in ledger.history(2)] == ["queue: OUT_OF_MEMORY", "to bbb"]
    assert ledger.failed("here") == []
    assert [row.bundle for row in ledger.of_keys([1, 3])] == ["aaa", "aaa"]


def test_of_two_that_judged_the_same_end_only_one_moves_the_job(ledger: Ledger) -> None:
    [row] = ledger.of_keys([2])
    other = Ledger(ledger.folder)
    assert move(other, "bbb")
    late = ledger.attempts
    again = Move(row, 0, 0, "{}", "")
    assert not late.record(token="ccc", site="here", site_json={}, batches=[(0, 1, "x.ccc-0", False)], moves=[again])
    assert [bundle["token"] for bundle in ledger.unsent("here")] == ["bbb"]
    assert ledger.batches("ccc") == [] and len(late.of([2])) == 1


def test_a_job_of_which_more_is_known_by_now_is_not_moved(ledger: Ledger) -> None:
    [row] = ledger.of_keys([2])
    for better in (
        replace(FAILED, state=JobState.CANCELLED, cause=Cause.CANCELLED),
        replace(FAILED, cause=Cause.SIGNAL),
    ):
        ledger.observe({2: better}, {})
        one = Move(row, 0, 0, "{}", "")
        assert not ledger.attempts.record(
            token="b", site="here", site_json={}, batches=[(0, 1, "b", False)], moves=[one]
        )


def test_if_one_of_several_has_moved_on_none_is_moved(ledger: Ledger) -> None:
    ledger.observe({1: FAILED, 3: FAILED}, {})
    rows = ledger.of_keys([1, 2, 3])
    assert move(ledger, "bbb", key=3)
    moves = [Move(row, 0, n, "{}", "") for n, row in enumerate(rows)]
    attempts = ledger.attempts
    assert not attempts.record(token="ccc", site="here", site_json={}, batches=[(0, 3, "x", False)], moves=moves)
    assert [row.bundle for row in ledger.of_keys([1, 2, 3])] == ["aaa", "aaa", "bbb"]
    assert [one.job for one in attempts.of([1, 2, 3])] == [3]


def test_an_attempt_that_is_not_taken_leaves_the_job_what_it_was_with_its_results(ledger: Ledger) -> None:
    ledger.record_results({2: {"exit_code": 137}})
    [before] = ledger.of_keys([2])
    assert move(ledger, "bbb")
    [moved] = ledger.of_keys([2])
    assert not moved.collected and moved.results is None
    ledger.attempts.undo({2: "not tried again: the folder is gone"})
    [row] = ledger.of_keys([2])
    assert row == replace(before, retry="{}", updated=row.updated)
    assert ledger.attempts.of([2]) == []
    assert [said for _, said in ledger.history(2)][-1] == "not tried again: the folder is gone"
    assert move(ledger, "ccc")  # by hand


def test_the_last_of_several_attempts_alone_is_taken_back(ledger: Ledger) -> None:
    assert move(ledger, "bbb")
    second = Status(JobState.FAILED, Cause.TIME_LIMIT, retries=1)
    ledger.observe({2: second}, {})
    assert move(ledger, "ccc")
    ledger.attempts.undo({2: "no"})
    [row] = ledger.of_keys([2])
    assert (row.bundle, row.retries, row.status) == ("bbb", 1, replace(second, reason="no"))
    assert [one.retries for one in ledger.attempts.of([2])] == [0]


def test_what_is_never_to_be_tried_again_is_no_more_among_the_failed(ledger: Ledger) -> None:
    ledger.attempts.disable_retry([2])
    assert ledger.failed("here") == []


def test_what_is_home_is_not_tried_again_by_itself(ledger: Ledger) -> None:
    ledger.record_results({2: {}})
    assert ledger.failed("here") == []
