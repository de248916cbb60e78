"""The ledger: durable, shared by several processes, with clear errors."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scheduler import LedgerError
from scheduler.job.state import Cause, JobState, Status
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.tables import VERSION
from tests import CASES, ROOT


def _record(ledger: Ledger, token: str, count: int = 3, campaign: str | None = None) -> list[int]:
    jobs = [
        {"first": 0, "element": n, "job_id": f"job {n}", "campaign": campaign, "type": "script",
         "working_dir": f"/home/{n}", "patterns": '["*.root"]'}
        for n in range(count)
    ]  # fmt: skip
    return ledger.record_intent(
        token=token,
        site="hpc",
        site_json={},
        python="",
        probe="",
        batches=[(0, count, f"x.{token}-0", False)],
        jobs=jobs,
    )


def test_a_later_process_reads_what_was_recorded(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    keys = _record(ledger, "aaa", campaign="scan")
    assert ledger.slots.assign("hpc", None, owner=ledger.database.me()) == {"aaa": [0]}
    ledger.record_folder("aaa", "/far/aaa")
    ledger.record_ids("aaa", {0: "77"})
    status = Status(JobState.FAILED, Cause.TIME_LIMIT, exit_code=143, raw="TIMEOUT", reason="too long", node="n1")
    ledger.observe({keys[1]: status}, {keys[1]: "queue: TIMEOUT"})
    ledger.record_results({keys[1]: {"x": 1}})
    ledger.close()

    later = Ledger(tmp_path)
    rows = later.of_campaign("scan", "hpc")
    assert [row.job_id for row in rows] == ["job 0", "job 1", "job 2"]
    assert rows[1].status == status
    assert rows[1].results == {"x": 1}
    assert (rows[1].batch_id, rows[1].index, rows[1].in_array) == ("77", 1, True)
    assert rows[0].status.state is JobState.SUBMITTING
    assert [batch.keys for batch in later.polls.unfinished("hpc")] == [f"{keys[0]},{keys[2]}"]
    assert [text for _, text in later.history(keys[1])] == ["queue: TIMEOUT"]
    later.close()


def test_of_two_processes_in_one_campaign_only_the_first_records_a_job(tmp_path: Path) -> None:
    first, second = Ledger(tmp_path), Ledger(tmp_path)
    keys = _record(first, "aaa", campaign="scan")
    assert _record(second, "bbb", campaign="scan") == []
    assert [row.bundle for row in second.of_campaign("scan", "hpc")] == ["aaa"] * 3
    assert len(_record(second, "ccc", campaign="other")) == 3
    refused = Status(JobState.FAILED, Cause.REFUSED)
    first.observe(dict.fromkeys(keys, refused), {})
    assert len(_record(second, "ddd", campaign="scan")) == 3
    first.close()
    second.close()


def test_an_older_observation_does_not_overwrite_a_newer_one(tmp_path: Path) -> None:
    """Two processes follow one campaign: one may record its poll after the other has collected the jobs."""
    slow, fast = Ledger(tmp_path), Ledger(tmp_path)
    keys = _record(slow, "aaa")
    fast.observe({keys[0]: Status(JobState.RUNNING), keys[1]: Status(JobState.COMPLETED)}, {})
    fast.record_results({keys[1]: {"x": 1}})
    slow.observe(dict.fromkeys(keys, Status(JobState.QUEUED)), {}, was=JobState.SUBMITTING)
    assert [row.status.state for row in slow.of_keys(keys)] == [JobState.RUNNING, JobState.COMPLETED, JobState.QUEUED]
    slow.observe(dict.fromkeys(keys, Status(JobState.RUNNING)), {})
    slow.record_results({key: {"x": 2} for key in (keys[0], keys[2])})  # unfinished jobs cannot be collected
    rows = slow.of_keys(keys)
    assert [row.status.state for row in rows] == [JobState.RUNNING, JobState.COMPLETED, JobState.RUNNING]
    assert [row.results for row in rows] == [None, {"x": 1}, None]
    slow.close()
    fast.close()


def test_a_site_is_polled_by_one_process_at_a_time(tmp_path: Path) -> None:
    first, second = Ledger(tmp_path), Ledger(tmp_path)
    assert first.sites.claim_poll("hpc", 60)
    assert not second.sites.claim_poll("hpc", 60)
    assert second.sites.claim_poll("elsewhere", 60)
    time.sleep(0.05)
    assert second.sites.claim_poll("hpc", 0.01)
    first.close()
    second.close()


def test_a_clock_that_was_set_back_does_not_stop_polling(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    assert ledger.sites.claim_poll("hpc", 60)
    db = sqlite3.connect(tmp_path / "ledger.sqlite")
    db.execute("UPDATE sites SET polled_at = polled_at + 100000")
    db.commit()
    db.close()
    assert ledger.sites.claim_poll("hpc", 60)
    ledger.close()


def _write_many(folder: Path, name: str) -> None:
    ledger = Ledger(folder)
    for number in range(20):
        _record(ledger, f"{name}{number}", count=2)
    ledger.close()


def test_several_processes_write_at_the_same_time_and_nothing_is_lost(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(tmp_path, name)) for name in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    ledger = Ledger(tmp_path)
    assert len(ledger.chosen()) == 3 * 20 * 2
    ledger.close()


_ENDLESS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.ledger.test_ledger import _record
from scheduler.ledger.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
n = 0
while True:
    _record(ledger, f"t{n}")
    print(n, flush=True)
    n += 1
"""


@pytest.mark.parametrize("wait", [0.0, 0.05, 0.11])
def test_a_process_killed_while_writing_leaves_complete_records(tmp_path: Path, wait: float) -> None:
    command = [sys.executable, "-c", _ENDLESS, str(tmp_path), str(ROOT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(wait)
        os.kill(writer.pid, signal.SIGKILL)
        reported = [0, *(int(line) for line in writer.stdout.read().splitlines())]
    ledger = Ledger(tmp_path)
    for number in reported:  # what the process has reported as recorded is recorded completely
        assert [row.element for row in ledger.of_bundle(f"t{number}")] == [0, 1, 2]
    assert len(ledger.chosen()) % 3 == 0
    ledger.close()


def test_a_ledger_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    Ledger(tmp_path).close()
    db = sqlite3.connect(tmp_path / "ledger.sqlite")
    db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    with pytest.raises(LedgerError, match=r"ledger\.sqlite.*newer scheduler"):
        Ledger(tmp_path)


@pytest.mark.parametrize("version", range(1, VERSION))
def test_a_ledger_of_an_older_version_is_migrated_with_its_rows(tmp_path: Path, version: int) -> None:
    db = sqlite3.connect(tmp_path / "ledger.sqlite")
    db.executescript((CASES / "ledger" / f"version-{version}.sql").read_text())
    db.close()
    ledger, new = Ledger(tmp_path), Ledger(tmp_path / "new")
    assert [(row.job_id, row.batch_id, row.index, str(row.status)) for row in ledger.chosen()] == [
        ("a", "4711", 0, "running"), ("b", "4711", 1, "completed"),
    ]  # fmt: skip
    assert ledger.history(1) == [(1e9, "submit: accepted")]
    assert _columns(ledger.path) == _columns(new.path)
    ledger.close()
    new.close()
    Ledger(tmp_path).close()


def test_jobs_of_a_version_without_contents_are_kept_with_their_attempts(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "ledger.sqlite")
    db.executescript((CASES / "ledger" / "version-6.sql").read_text())
    db.close()
    ledger = Ledger(tmp_path)
    assert [row.content for row in ledger.of_campaign("scan")] == ["", ""]
    with ledger.database.reading() as db:
        [kept] = db.execute("SELECT type, working_dir, patterns, template, content FROM attempts").fetchall()
    assert tuple(kept) == ("script", "/home/b", "[]", None, "")
    ledger.attempts.undo({2: "refused"})
    [_, job] = ledger.of_campaign("scan")
    assert (str(job.status), job.retries, job.working_dir, job.site) == ("failed: unknown", 0, "/home/b", "hpc")
    ledger.close()


def _columns(path: Path) -> list[tuple[str, str, str]]:
    db = sqlite3.connect(path)
    rows = db.execute("SELECT m.name, c.name, c.type FROM sqlite_schema m, pragma_table_info(m.name) c ORDER BY 1, 2")
    found = rows.fetchall()
    rows = db.execute("SELECT type, name, sql FROM sqlite_schema WHERE type IN ('index', 'trigger') ORDER BY 1, 2")
    found += rows.fetchall()
    db.close()
    return found


def test_an_error_names_a_file_that_is_not_a_ledger(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_text("this is a text file, not a database\n" * 10)
    with pytest.raises(LedgerError, match=r"cannot .* the ledger .*ledger\.sqlite"):
        Ledger(tmp_path)


def test_an_error_names_a_folder_that_cannot_be_created_and_the_variable_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match=r"file/state.*SCHEDULER_STATE_DIR"):
        Ledger(tmp_path / "file" / "state")


def test_only_its_user_can_read_it(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "state")
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert ledger.path.stat().st_mode & 0o777 == 0o600
    ledger.close()


def test_thousands_of_keys_are_read_in_one_query(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    keys = _record(ledger, "big", count=5000)
    assert [row.key for row in ledger.of_keys(keys)] == keys
    ledger.close()
