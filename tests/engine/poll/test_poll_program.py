"""poll.sh with a scripted queue: what it prints, and what it does not even read."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scheduler.engine import programs
from tests import CASES
from tests.unpacked import SHELLS, installed

Query = Callable[..., list[str]]
END = "{} {} exit={} signal={} started=1 ended=2 host=n id=1 missing= cannot="


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A bundle with an array of four."""
    folder = tmp_path / "it's a work" / "tok"
    for name in ("ends", "guards", "batches/0"):
        (folder / name).mkdir(parents=True)
    return folder


@pytest.fixture(params=SHELLS)
def query(request: pytest.FixtureRequest, tmp_path: Path, work: Path) -> Query:
    """Runs poll.sh for that array. Returns the lines, without the clock and successful query results."""
    if not installed(request.param):
        pytest.skip(f"{request.param} is not installed")
    commands = tmp_path / "programs"
    commands.mkdir()
    for name, does in {"squeue": 'cat "$QUEUE"', "sacct": "echo '10_0|x.tok-0|FAILED|1:0|n|1|2||'"}.items():
        (commands / name).write_text(f"#!/bin/sh\n{does}\n")
        (commands / name).chmod(0o755)

    def lines(*queue: str, indices: str = "0-3", kind: str = "array", batch_id: str = "10") -> list[str]:
        (tmp_path / "queue").write_text("".join(f"{line}\n" for line in queue))
        request_line = f"0\t{work}\tx.tok-0\t{batch_id}\t0\t{indices}\t{kind}\n"
        done = subprocess.run(
            [*SHELLS[request.param], "-c", programs.program("poll", "slurm").text, "poll", "yes", "1"],
            input=request_line,
            env=os.environ | {"PATH": f"{commands}:{os.environ['PATH']}", "QUEUE": str(tmp_path / "queue")},
            capture_output=True, text=True, timeout=600, check=True,
        )  # fmt: skip
        assert done.stderr == ""
        return [line for line in done.stdout.splitlines() if not line.startswith(("clock", "live 0", "history 0"))]

    return lines


def test_of_a_waiting_array_only_its_line_of_the_queue_is_printed(query: Query) -> None:
    assert query("x.tok-0|0-3%2|10|PENDING||1795703378|Priority", "another's|N/A|9|RUNNING|n|1|None") == [
        "l x.tok-0|0-3%2|10|PENDING|||Priority"
    ]


def test_the_history_is_queried_about_jobs_that_are_not_in_the_queue(query: Query, work: Path) -> None:
    (work / "guards/1").symlink_to("somewhere")
    lines = query("x.tok-0|2-3|10|PENDING||N/A|Priority")
    assert lines == ["l x.tok-0|2-3|10|PENDING|||Priority", "h 10_0|x.tok-0|FAILED|1:0|n|1|2||", "b 0 1"]


def test_the_history_is_queried_about_a_failed_job_in_the_queue_only_if_it_left_no_end_file(
    query: Query, work: Path
) -> None:
    (work / "ends/1.0").write_text(END.format(1, 0, 3, "") + "\n")
    failed = [f"x.tok-0|{n}|10|FAILED|n|5|JobLaunchFailure" for n in (0, 1)]
    end = f"e 0 {END.format(1, 0, 3, '')}"
    assert query(*failed, indices="0-1") == [
        *(f"l {line}" for line in failed),
        end,
        "h 10_0|x.tok-0|FAILED|1:0|n|1|2||",
    ]
    assert query(*failed, indices="1") == [*(f"l {line}" for line in failed), end]


def test_which_tasks_of_a_waiting_array_are_held_is_asked_for_that_array_alone(query: Query, tmp_path: Path) -> None:
    recorded = json.loads((CASES / "slurm" / "live-array-tasks-held.json").read_text())
    calls, squeue = tmp_path / "calls", tmp_path / "programs/squeue"
    separate = f'cat "{tmp_path}/separate"'
    squeue.write_text(f'#!/bin/sh\necho "$*" >>"{calls}"\ncase "$*" in *-r*) {separate} ;; *) cat "$QUEUE" ;; esac\n')
    rename = [line.replace("rec.held-0", "x.tok-0") for line in (*recorded["joined"], *recorded["lines"])]
    (tmp_path / "separate").write_text("".join(f"{line}\n" for line in rename[1:]))
    other = "x.tok-0|5|10|RUNNING|n|5|None"
    assert query(rename[0], other) == [f"l {line}" for line in (*rename[1:], other)]
    first, second = calls.read_text().splitlines()
    assert " -r " not in first and " -r -j 4397 " in second
    for alone in ("JobHeldUser", "None", "ReqNodeNotAvail, UnavailableNodes:n1"):
        calls.unlink()
        assert query(f"x.tok-0|0-3|10|PENDING|||{alone}") == [f"l x.tok-0|0-3|10|PENDING|||{alone}"]
        assert len(calls.read_text().splitlines()) == 1


def test_if_the_held_tasks_cannot_be_listed_the_queue_has_not_answered_unless_the_array_is_gone(
    query: Query, tmp_path: Path
) -> None:
    squeue, row = tmp_path / "programs/squeue", "x.tok-0|0-3|10|PENDING|||None,JobHeldUser"
    for words, expected in (
        ("slurm_load_jobs error: Invalid job id specified", [f"l {row}"]),
        ("slurm_load_jobs error: Unable to contact", ["live 1 slurm_load_jobs error: Unable to contact "]),
    ):
        squeue.write_text(f'#!/bin/sh\ncase "$*" in *-r*) echo "{words}" >&2; exit 1 ;; *) cat "$QUEUE" ;; esac\n')
        assert [line for line in query(row) if line[0] == "l"] == expected


def test_end_files_of_requested_elements_are_printed_the_newest_run_last(query: Query, work: Path) -> None:
    for element, attempt, code in ((0, 0, 0), (1, 0, 1), (1, 10, 7), (1, 9, 2), (3, 0, 0)):
        (work / f"ends/{element}.{attempt}").write_text(END.format(element, attempt, code, "") + "\n")
    (work / "ends/1.0.tmp").write_text("an incomplete end file")
    queue = [f"x.tok-0|{n}|10|RUNNING|n|5|None" for n in range(1, 4)]
    ends = [f"e 0 {END.format(1, attempt, code, '')}" for attempt, code in ((0, 1), (9, 2), (10, 7))]
    assert query(*queue, indices="1-2") == [*(f"l {line}" for line in queue), *ends]


def test_a_run_that_has_begun_after_a_requeue_is_printed_and_makes_an_earlier_end_file_obsolete(
    query: Query, work: Path
) -> None:
    for name in ("0.run.1", "0.run.2", "1.run.10", "1.run.9", "2.run.x", "7.run.1"):
        (work / "ends" / name).touch()
    (work / "ends/0.0").write_text(END.format(0, 0, 3, "") + "\n")
    (work / "ends/1.10").write_text(END.format(1, 10, 3, "") + "\n")
    lines = query("x.tok-0|1|10|RUNNING|n|5|None", "x.tok-0|2-3|10|PENDING|||None")
    assert [line for line in lines if line[0] == "r"] == ["r 0 0 1", "r 0 0 2", "r 0 1 10", "r 0 1 9"]
    assert "h 10_0|x.tok-0|FAILED|1:0|n|1|2||" in lines  # the end file of 0 is of its first run
    (work / "ends/0.2").write_text(END.format(0, 2, 3, "") + "\n")
    assert "h 10_0|x.tok-0|FAILED|1:0|n|1|2||" not in query("x.tok-0|1-3|10|PENDING|||None")


def test_a_log_is_read_only_where_it_matters(query: Query, work: Path) -> None:
    """A site may print a greeting to the log of every job."""
    for n in range(4):
        (work / f"batches/0/log.{n}").write_text("Welcome\nCANCELLED AT\n")
    (work / "ends/2.0").write_text(END.format(2, 0, 143, "TERM") + "\n")
    (work / "ends/3.0").write_text(END.format(3, 0, 0, "") + "\n")
    queue = ["x.tok-0|0|10|PENDING||N/A|Priority", "x.tok-0|1|10|COMPLETING|n|5|None", "x.tok-0|2|10|RUNNING|n|5|None"]
    lines = query(*queue)
    assert sorted(line for line in lines if line[0] == "g") == [
        "g 0 1 CANCELLED AT", "g 0 1 Welcome", "g 0 2 CANCELLED AT", "g 0 2 Welcome",
    ]  # fmt: skip


def test_the_end_file_of_a_killed_run_replaces_that_of_an_earlier_run(query: Query, work: Path) -> None:
    (work / "ends/0.0").write_text(END.format(0, 0, 0, "") + "\n")
    (work / "ends/0.1").write_text(END.format(0, 1, 143, "TERM") + "\n")
    assert "h 10_0|x.tok-0|FAILED|1:0|n|1|2||" in query(indices="0", kind="one")


@pytest.mark.parametrize(("alone", "text"), [(True, "alone"), (False, "together")])
def test_jobs_of_a_pack_have_logs_of_their_own(query: Query, work: Path, *, alone: bool, text: str) -> None:
    (work / "batches/0/log.0").write_text("together\n")
    if alone:
        (work / "batches/0/member.2").write_text("alone\n")
    (work / "ends/2.0").write_text(END.format(2, 0, 143, "TERM") + "\n")
    assert query("x.tok-0|N/A|10|RUNNING|n|5|None", kind="pack")[-1] == f"g 0 2 {text}"


def test_the_id_of_a_batch_is_printed_if_the_request_does_not_have_it(query: Query, work: Path) -> None:
    (work / "batches/0/id").write_text("10\n")
    assert query("x.tok-0|0-3|10|PENDING||N/A|Priority", batch_id="-")[-1].rstrip() == "i 0 0 10"


def test_a_missing_folder_is_reported(query: Query, work: Path) -> None:
    (work / "ends").rmdir()
    assert query("x.tok-0|0-3|10|PENDING||N/A|Priority")[0] == "missing 0"
