"""An output that keeps changing while it is downloaded is given up after a while, if it is proved to change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scheduler import Job, JobType, Runner, Site
from scheduler.engine.collect.collect import CHANGING_SECONDS, _left_of
from scheduler.engine.collect.manifest import Manifest
from scheduler.engine.collect.output import CHANGING, Output
from scheduler.errors import OutputError
from scheduler.ledger.ledger import Ledger
from tests.hostile.test_replies import CannedReplies

WHY = f"'/w/a.root' has 7 bytes, but the manifest lists 5; it {CHANGING}"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    (tmp_path / "a.sh").write_text("true\n")
    site = Site.from_mapping({"transport": "local", "scheduler": "slurm", "work_dir": "/w"}, name="s")
    found, answer = Ledger(tmp_path / "state"), CannedReplies({"submit": b"folder\t/w/tok\n0\t0\t1\n"})
    jobs = [Job(name, JobType.SCRIPT, script_path=tmp_path / "a.sh", working_dir=tmp_path / name) for name in "ab"]
    Runner(site, ledger=found, transport=answer).submit(jobs)
    return found


def left_of(ledger: Ledger, *sizes: int, why: str = WHY) -> tuple[OutputError | None, Manifest]:
    """What is left of the error after lists with these sizes of the file, in all `CHANGING_SECONDS` apart."""
    (row, other) = ledger.chosen()
    error: OutputError | None = None
    for size in sizes:
        output = Output(row.key, "0", "/w/a.root", "/l/a.root", size, "0" * 64)
        listed = Manifest([output, replace(output, job=other.key)])
        with ledger.database.writing() as db:
            db.execute("UPDATE observations SET at = at - ?", (CHANGING_SECONDS / (len(sizes) - 1) + 1,))
        error = _left_of(OutputError(why, reasons={row.key: why, other.key: "cannot write"}), listed, ledger)
    return error, listed


def test_a_file_that_is_different_in_each_list_is_given_up(ledger: Ledger) -> None:
    (row, other) = ledger.chosen()
    error, listed = left_of(ledger, 1, 2, 3)
    assert error is not None and error.reasons == {other.key: "cannot write"} and not error.changing
    assert listed.bad == {row.key: WHY.replace(CHANGING, "has changed for 60 s since the job ended")}
    assert [text for _, text in ledger.history(other.key) if text == "collect: cannot write"]


@pytest.mark.parametrize("sizes", [(1, 2), (1, 1, 1, 1)])
def test_a_file_whose_list_stays_the_same_may_be_changed_by_the_connection(
    sizes: tuple[int, ...], ledger: Ledger
) -> None:
    (row, other) = ledger.chosen()
    error, listed = left_of(ledger, *sizes)
    assert error is not None and error.reasons == {row.key: WHY, other.key: "cannot write"} and not listed.bad
    assert OutputError(WHY, reasons={row.key: WHY}, changing=True).jobs == {row.key}


def test_another_error_is_never_given_up(ledger: Ledger) -> None:
    error, listed = left_of(ledger, 1, 2, 3, 4, why="cannot write '/l/a.root'")
    assert error is not None and len(error.reasons) == 2 and not listed.bad
