"""Facts of collected jobs: as text of the ledger and back, long ones, damaged ones, and those of older versions."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from scheduler import Job, LedgerError
from scheduler.cli.screen import format
from scheduler.job.outcome.facts import CollectedFile, Facts, RemoteOutput, ResultKind
from scheduler.job.state import JobState, Status
from scheduler.ledger import stored_facts
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow
from tests import CASES

from .test_slots import record

LOG = CollectedFile("stdout", "/o/job.stdout", "/r/stdout.0", 3, "ab", 5)
SHORT = Facts(("*.root",), [LOG], [CollectedFile("0", "/o/a.root", "/r/dir/a.root", 7, "cd", 9)], ResultKind.VALUE)
LONG = Facts(("*.root",), [LOG], [CollectedFile("0", f"/o/{n}.root", f"/r/{n}.root", n, "e", n) for n in range(9999)])
FAILED = Facts(("*.root",), [LOG], [], ResultKind.OBJECT, "failed", "Traceback …", "last", "stderr")


@pytest.mark.parametrize(
    "facts", [SHORT, LONG, FAILED, Facts(("*.root",), [], [])], ids=["short", "long", "failed", "none"]
)
def test_facts_are_read_as_they_were_stored(facts: Facts, tmp_path: Path) -> None:
    text = stored_facts.stored(facts, tmp_path, name="tok-0")
    found = stored_facts.read(text, tmp_path, patterns=("*.root",))
    assert (list(found.files), found.result) == (list(facts.files), facts.result)
    assert (found.outputs, found.remote_outputs, found.error) == (facts.outputs, facts.remote_outputs, facts.error)
    assert len(text) < 1000
    assert stored_facts.read(stored_facts.complete(text, tmp_path), Path("/nowhere"), patterns=("*.root",)) == facts


def test_a_list_of_files_that_is_lost_is_an_error_of_its_job_alone(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    keys = record(ledger, "tok", 2)
    with ledger.database.writing() as db:
        db.execute("""UPDATE jobs SET patterns = '["*.root"]'""")
    ledger.observe(dict.fromkeys(keys, Status(JobState.COMPLETED)), {})
    ledger.record_results({key: {} for key in keys}, facts={keys[0]: LONG, keys[1]: SHORT})
    ledger.recovery.backup(tmp_path / "copy")
    shutil.rmtree(tmp_path / "results")
    long, short = ledger.of_keys(keys)
    assert long.facts is not None
    with pytest.raises(LedgerError, match="the list of a job's outputs cannot be read from"):
        long.facts.outputs  # noqa: B018
    assert long.facts.log("stdout") == "/o/job.stdout"
    assert [row["outputs"] for row in map(format.as_json, (long, short))] == [None, {"*.root": ["/o/a.root"]}]
    ledger.close()
    (tmp_path / "restored").mkdir()
    shutil.copy(tmp_path / "copy", tmp_path / "restored/ledger.sqlite")
    restored = Ledger(tmp_path / "restored")
    facts = restored.of_keys(keys)[0].facts
    assert facts is not None and facts.remote_outputs[1] == RemoteOutput("/r/1.root", 1, "e")
    restored.close()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, JobRow]:
    """The jobs of a campaign that version 5 has run and recorded, by id."""
    folder = tmp_path_factory.mktemp("recorded")
    db = sqlite3.connect(folder / "ledger.sqlite")
    db.executescript((CASES / "ledger" / "recorded-5.sql").read_text())
    db.close()
    ledger = Ledger(folder)
    rows = {row.job_id: row for row in ledger.of_campaign("scan", "local")}
    ledger.close()
    return rows


@pytest.mark.parametrize(
    ("job_id", "results", "value"),
    [
        ("three", {"result": 3}, {"result": 3}),
        ("nothing", {"result": None}, {"result": None}),
        ("pair", {"x": 1.5, "error": 0.02}, {"x": 1.5, "error": 0.02}),
        ("own", {"mass": 0.5, "attempts": 7}, {"mass": 0.5, "attempts": 7}),
        ("twice", {"hits": 41}, {"hits": 41}),
        ("empty", {}, None),
    ],
)
def test_results_of_an_older_version_are_those_of_the_payload(
    job_id: str, results: object, value: object, recorded: dict[str, JobRow]
) -> None:
    row = recorded[job_id]
    job = Job(job_id, function=print, output_files=row.patterns)
    job.observe(row.status, row.results, facts=row.facts)
    assert (job.get_results(), job.result(), job.exit_code, job.error) == (results, value, 0, None)
    assert (job.stdout, job.stderr) == tuple(f"/home/anna/{job_id}/job.{kind}" for kind in ("stdout", "stderr"))
    assert job.attempts == (2 if job_id == "twice" else 1)
    assert row.facts is not None and row.facts.outputs == (
        {"*.root": ["/home/anna/own/a.root"]} if job_id == "own" else {}
    )
    assert job.remote_outputs == []


def test_errors_of_an_older_version_are_those_of_its_failed_jobs(recorded: dict[str, JobRow]) -> None:
    for job_id, results in (("bad", {}), ("fails", {"hits": 2})):
        row = recorded[job_id]
        assert row.facts is not None and row.results == {**results, "error": row.facts.error}
        assert str(row.facts.error).startswith(f"{row.status}: the payload ended with exit code ")


@pytest.mark.parametrize(
    "text",
    ["[1]", '{"files": 1}', '{"files": [1]}', '{"files": [["0"]]}', '{"logs": [["0", "/a"]]}',
     '{"files": [["7", "/a"]]}',
     '{"problem": 1}', '{"result": "no such"}', '{"files": [["0", "/a", "/b", 1, 2]]}', "@", "@name"],
)  # fmt: skip
def test_facts_that_make_no_sense_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, TypeError)):
        stored_facts.read(text, tmp_path, patterns=("*.root",))


def test_a_damaged_file_of_facts_is_refused(tmp_path: Path) -> None:
    text = stored_facts.stored(LONG, tmp_path, name="tok-0")
    next((tmp_path / "results").iterdir()).write_text(json.dumps([["9", "/a"]]))
    facts = stored_facts.read(text, tmp_path, patterns=("*.root",))
    with pytest.raises(LedgerError, match="belongs to no pattern"):
        facts.outputs  # noqa: B018
