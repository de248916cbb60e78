"""A value in a sound ledger that makes no sense: its row is reported and left out, and hides no other row."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from scheduler import Cause, Job, JobState, JobType, Runner, Site
from scheduler.batch.base import find
from scheduler.batch.shown_id import shown_id
from scheduler.engine.context import SiteContext
from scheduler.engine.poll.poll import poll
from scheduler.engine.submit.dispatch import Dispatcher
from scheduler.job.state import Status
from scheduler.ledger import soundness
from scheduler.ledger.ledger import Ledger
from tests.hostile.test_replies import CannedReplies

SETTINGS = ['{"times": "x"}', '{"no such": 1}', '{"settings": {"scheduler": "no such"}}', '{"settings": 5}']
JUNK: list[Any] = [
    *SETTINGS,
    "junk",
    "",
    "{",
    "[1]",
    "5",
    -7,
    10**18,
    1e300,
    -1e300,
    float("inf"),
    b"\xff\xfe",
    None,
    "٣",
]
COLUMNS = {
    "jobs": ["bundle", "first", "element", "job_id", "campaign", "site", "type", "working_dir", "patterns", "state",
             "cause", "exit_code", "raw", "reason", "node", "started", "ended", "requeues", "silent", "silent_since",
             "collected", "results", "facts", "created", "updated", "resources", "retry", "template", "retries"],
    "bundles": ["site_json", "folder", "sent", "owner", "python", "probe", "created"],
    "batches": ["count", "name", "batch_id", "packed", "slot", "full", "settled_digest"],
    "sites": ["polled_at", "history", "room", "full_at"],
}  # fmt: skip
ENDED = "0 exit=0 signal= started=1700000000 ended=1700000001 host=n id=7 missing= cannot="


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Two submissions, of one job each."""
    (tmp_path / "a.sh").write_text("true\n")
    keys = {"transport": "local", "scheduler": "slurm", "work_dir": "/w", "limits": {"poll_seconds": 0.001}}
    site, found = Site.from_mapping(keys, name="s"), Ledger(tmp_path / "state")
    for number in (1, 2):
        answer = CannedReplies({"submit": f"folder\t/w/tok{number}\n0\t0\t{number}\n".encode()})
        job = Job(f"j{number}", JobType.SCRIPT, script_path=tmp_path / "a.sh", working_dir=tmp_path / f"out{number}")
        Runner(site, ledger=found, transport=answer).submit([job])
    return found


def polled(ledger: Ledger) -> None:
    """A poll in which every job has ended."""
    site = Site.from_json(_site_json(ledger))
    lines = "live 0 \n" + "".join(f"e {n} 0 {ENDED}\n" for n in range(3))
    context = SiteContext(site, find("slurm"), ledger, CannedReplies({"poll": lines.encode()}))
    Dispatcher(context).plan_retries()
    poll(context)


def _site_json(ledger: Ledger) -> Any:
    import json

    with ledger.database.reading() as db:
        for row in db.execute("SELECT site_json FROM bundles ORDER BY created DESC"):
            return json.loads(row[0])


@pytest.mark.parametrize(
    ("table", "column"), [(table, column) for table, columns in COLUMNS.items() for column in columns]
)
def test_one_bad_value_hides_no_other_job(
    table: str, column: str, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    file = sqlite3.connect(ledger.path, isolation_level=None)
    (first, second) = ledger.chosen()
    where = {"jobs": "key = :key", "bundles": "token = :bundle", "batches": "bundle = :bundle", "sites": "1"}[table]
    named = {"key": first.key, "bundle": first.bundle}
    for junk in JUNK:
        soundness._reported.clear()
        caplog.clear()
        file.execute("SAVEPOINT before")
        try:
            file.execute(f"UPDATE {table} SET {column} = :junk WHERE {where}", {**named, "junk": junk})
        except sqlite3.IntegrityError:  # NOT NULL
            file.execute("ROLLBACK TO before")
            continue
        finally:
            file.execute("RELEASE before")
        with caplog.at_level(logging.WARNING):
            rows = {row.key: row for row in ledger.chosen()}
            assert second.key in rows
            for row in rows.values():
                assert isinstance(row.status.state, JobState)
            if first.key not in rows:
                assert [line for line in caplog.messages if "makes no sense and is left out" in line]
            ledger.of_keys([first.key, second.key])
            ledger.attempts.of([first.key])
            ledger.states(second.bundle)
            ledger.history(first.key)
            [shown_id(row) for row in rows.values()]
            ledger.observe({first.key: Status(JobState.FAILED, Cause.OUT_OF_MEMORY)}, {})
            if column not in ("site", "site_json"):
                ledger.observe({second.key: Status(JobState.QUEUED)}, {})
                polled(ledger)
                assert str({row.key: row for row in ledger.chosen()}[second.key].status) == "completed"
        file.execute("DELETE FROM observations")
    file.close()


def test_texts_of_a_reason_are_kept_and_causes_that_do_not_exist_are_not(ledger: Ledger) -> None:
    (first, _) = ledger.chosen()
    ledger.observe({first.key: Status(JobState.FAILED, Cause.UNKNOWN, reason="it's 5\n\x1b[2J")}, {})
    assert ledger.chosen()[0].status.reason == "it's 5\n\x1b[2J"


@pytest.mark.parametrize("table", ["batches", "bundles"])
def test_a_job_whose_batch_or_bundle_is_not_recorded_is_reported(
    table: str, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    (first, second) = ledger.chosen()
    with ledger.database.writing() as db:
        db.execute(f"DELETE FROM {table} WHERE {'bundle' if table == 'batches' else 'token'} = ?", (first.bundle,))
    soundness._reported.clear()
    with caplog.at_level(logging.WARNING):
        assert [row.key for row in ledger.chosen()] == [second.key]
    assert "record of job 'j1' (key 1) makes no sense" in caplog.text
    assert "its batch is not recorded" in caplog.text
    polled(ledger)
    assert [str(row.status) for row in ledger.chosen()] == ["completed"]
