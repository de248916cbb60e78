"""Large results are in files of the state folder and are read when needed; results that are too deep are refused."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from scheduler.cli.screen import format
from scheduler.job.outcome.facts import CollectedFile, Facts
from scheduler.job.state import JobState, Status
from scheduler.ledger.large_results import MOST_DEPTH, LargeResults, is_deep
from scheduler.ledger.ledger import Ledger

from .test_slots import record

FACTS = Facts((), [CollectedFile("stdout", "/o/job.stdout"), CollectedFile("stderr", "/o/job.stderr")], [])
LARGE = {"values": list(range(100_000)), "mass": 0.5}
OLD_FACTS = {"exit_code": 0, "output_files": {}, "stdout": "/o/job.stdout", "stderr": "/o/job.stderr"}


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.fixture
def keys(tmp_path: Path) -> list[int]:
    """A ledger with two collected jobs, the first one with large results."""
    ledger = Ledger(tmp_path)
    keys = record(ledger, "tok", 2)
    ledger.observe(dict.fromkeys(keys, Status(JobState.COMPLETED)), {})
    ledger.record_results({keys[0]: LARGE, keys[1]: {"mass": 0.7}}, facts=dict.fromkeys(keys, FACTS))
    ledger.close()
    return keys


def test_large_results_are_in_a_private_file_and_only_read_when_needed(tmp_path: Path, keys: list[int]) -> None:
    ledger = Ledger(tmp_path)
    large, small = ledger.of_keys(keys)
    assert small.results == {"mass": 0.7}
    assert isinstance(large.results, LargeResults)
    [file] = (tmp_path / "results").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600 and ledger.path.stat().st_size < 200_000
    assert dict(large.results) == LARGE
    hidden = file.rename(tmp_path / "hidden")
    [later, _] = ledger.of_keys(keys)
    assert later.results is not None and later.facts is not None
    assert later.facts.log("stdout") == "/o/job.stdout"
    assert format.as_json(later)["exit_code"] is None
    assert "cannot be read from" in dict(later.results)["error"]
    hidden.rename(file)
    ledger.close()


def test_a_backup_has_the_large_results_in_it(tmp_path: Path, keys: list[int]) -> None:
    ledger = Ledger(tmp_path)
    ledger.recovery.backup(tmp_path / "copy")
    ledger.close()
    (tmp_path / "other").mkdir()
    shutil.copy(tmp_path / "copy", tmp_path / "other/ledger.sqlite")
    restored = Ledger(tmp_path / "other")
    assert [dict(row.results or {}) for row in restored.of_keys(keys)] == [LARGE, {"mass": 0.7}]
    restored.close()


def test_large_results_that_an_earlier_version_has_recorded_are_still_read(tmp_path: Path, keys: list[int]) -> None:
    db = sqlite3.connect(tmp_path / "ledger.sqlite")
    db.execute("UPDATE jobs SET results = ? WHERE key = ?", (json.dumps({**LARGE, **OLD_FACTS}), keys[0]))
    db.execute("UPDATE jobs SET facts = NULL")
    db.commit()
    db.close()
    ledger = Ledger(tmp_path)
    old = ledger.of_keys(keys)[0]
    assert old.results == LARGE and old.facts is not None and old.facts.log("stderr") == "/o/job.stderr"
    ledger.close()


@pytest.mark.parametrize("levels", [MOST_DEPTH + 1, 5000])
def test_results_that_are_too_deep_hide_no_other_job(tmp_path: Path, keys: list[int], levels: int) -> None:
    db = sqlite3.connect(tmp_path / "ledger.sqlite")
    text = f'{{"exit_code": 0, "x": {"[" * levels}{"]" * levels}}}'
    db.execute("UPDATE jobs SET results = ? WHERE key = ?", (text, keys[0]))
    db.commit()
    db.close()
    ledger = Ledger(tmp_path)
    found = {row.key: row.results for row in ledger.of_keys(keys)}
    assert found[keys[1]] == {"mass": 0.7}
    assert "deeper than" in str((found[keys[0]] or {}).get("error"))
    ledger.close()


def test_depth_counts_lists_and_mappings() -> None:
    assert not is_deep(deep(MOST_DEPTH))
    assert is_deep(deep(MOST_DEPTH + 1))
    assert not is_deep({"a": [1] * 1000})


@pytest.mark.parametrize("kind", ["missing", "pipe", "device", "directory", "huge", "no text", "no mapping", "deep"])
def test_a_file_of_results_that_is_lost_or_damaged_is_the_problem_of_its_job_alone(
    kind: str, tmp_path: Path, keys: list[int]
) -> None:
    [file] = (tmp_path / "results").iterdir()
    file.unlink()
    match kind:
        case "pipe":
            os.mkfifo(file)
        case "device":
            file.symlink_to("/dev/zero")
        case "directory":
            file.mkdir()
        case "huge":
            file.touch()
            os.truncate(file, 5 << 30)
        case "no text":
            file.write_bytes(b"\xff\xfe{")
        case "no mapping" | "deep":
            file.write_text(json.dumps(deep(1 if kind == "no mapping" else MOST_DEPTH + 1)))
    ledger = Ledger(tmp_path)
    large, small = ledger.of_keys(keys)
    assert large.results is not None and small.results == {"mass": 0.7}
    assert dict(large.results)["error"] and large.facts is not None and large.facts.log("stdout") == "/o/job.stdout"
    assert [row["job_id"] for row in map(format.as_json, (large, small))] == [large.job_id, small.job_id]
    ledger.recovery.backup(tmp_path / "copy")
    ledger.close()
    (tmp_path / "restored").mkdir()
    shutil.copy(tmp_path / "copy", tmp_path / "restored/ledger.sqlite")
    restored = Ledger(tmp_path / "restored")
    assert restored.of_keys(keys)[1].results == {"mass": 0.7}
    lost = restored.of_keys(keys)[0].facts
    assert lost is not None and lost.log("stdout") == "/o/job.stdout"
    restored.close()
