"""A job that was declared lost is looked at again by the polls of the next days, and changes only on evidence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.engine.withdraw import forget
from scheduler.job.state import Cause, JobState, Status
from scheduler.ledger.polls import LOST_SECONDS, News

from .test_poll import RUNNING, Desk, _end

LOST = Status(JobState.FAILED, Cause.LOST, reason="it left no end file")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Job 1 is lost and collected, as `wait` leaves it; all others have completed."""
    opened = Desk(tmp_path)
    keys = opened.keys
    opened.ledger.observe(dict.fromkeys(keys, Status(JobState.COMPLETED, exit_code=0)) | {keys[1]: LOST}, {})
    opened.ledger.record_results({key: {"error": "lost"} for key in keys})
    opened.ledger.polls.record(News(silence={keys[1]: (6, 1.0, 0)}), version=0)
    opened.replies()
    yield opened
    opened.ledger.close()


def _age(desk: Desk, seconds: float) -> None:
    with desk.ledger.database.writing() as db:
        db.execute("UPDATE jobs SET updated = updated - ?", (seconds,))


FOUND = {
    "it ended with 0": (_end(1), "completed"),
    "it ended with 3": (_end(1, code=3), "failed: exit code 3"),
    "it was killed": (_end(1, code=139), "failed: signal"),
    "it is in the queue": (RUNNING[1], "running"),
    "it waits": ("l x.tok-0|1|10|PENDING|||Priority", "queued"),
    "the history has it": ("history 0 \nh 10_1|x.tok-0|NODE_FAIL|0:0|n1|1|2||", "failed: node failure"),
}


@pytest.mark.parametrize(("line", "state"), FOUND.values(), ids=list(FOUND))
def test_a_lost_job_becomes_what_the_evidence_shows_and_is_collected_anew(desk: Desk, line: str, state: str) -> None:
    desk.poll()
    assert desk.states()[1] == "failed: lost"
    desk.replies(line)
    for _ in range(8):
        desk.poll()
    assert desk.states() == ["completed", state, *["completed"] * 6]
    row = desk.ledger.of_keys(desk.keys)[1]
    assert not row.collected and row.results is None
    assert desk.ledger.history(row.key)[0][1].startswith("not lost: ")
    assert sum(one.collected for one in desk.ledger.chosen()) == 7


def test_only_lost_jobs_are_looked_at_and_a_poll_without_evidence_writes_nothing(desk: Desk) -> None:
    assert all(desk.poll() == {"read"} for _ in range(3))
    assert desk.line.request == "0\t/w/tok\tx.tok-0\t10\t0\t1\tarray\n"
    assert [row.silent for row in desk.ledger.chosen()] == [0, 6, *[0] * 6]


def test_a_job_that_runs_again_can_be_lost_a_second_time(desk: Desk) -> None:
    desk.replies(RUNNING[1])
    desk.poll()
    assert desk.states()[1] == "running"
    desk.replies()
    desk.poll()
    assert desk.ledger.of_keys(desk.keys)[1].silent == 1
    assert desk.states()[1] == "running"


def test_a_queue_without_an_answer_is_no_evidence(desk: Desk) -> None:
    desk.replies(answered="live 1 slurm_load_jobs error")
    desk.poll()
    assert desk.states()[1] == "failed: lost"


def test_after_some_days_it_is_not_looked_at_any_more(desk: Desk) -> None:
    assert len(desk.ledger.lost()) == 1
    _age(desk, LOST_SECONDS)
    desk.line.request = "no poll"
    desk.poll()
    assert desk.line.request == "no poll" and not desk.ledger.lost()


def test_a_job_that_its_user_has_forgotten_stays_forgotten(desk: Desk) -> None:
    with desk.ledger.database.writing() as db:
        db.execute("UPDATE jobs SET state = 'running', cause = '', collected = 0 WHERE key = ?", (desk.keys[1],))
    forget(desk.ledger.of_keys(desk.keys[1:2]), desk.ledger)
    desk.line.request = "no poll"
    desk.replies(_end(1))
    desk.poll()
    assert desk.line.request == "no poll" and desk.states()[1] == "failed: lost" and not desk.ledger.lost()


def test_a_retry_that_another_process_records_meanwhile_is_not_touched(desk: Desk) -> None:
    key = desk.keys[1]
    with desk.ledger.database.writing() as db:
        db.execute("UPDATE jobs SET retries = 1, state = 'submitting', cause = '' WHERE key = ?", (key,))
    found = News(statuses={key: Status(JobState.COMPLETED, exit_code=0)}, reopened={key}, observations={key: "ended"})
    desk.ledger.polls.record(found, version=desk.ledger.polls.version())
    assert desk.states()[1] == "submitting" and desk.ledger.of_keys([key])[0].collected
