"""poll.sh over there, with a queue that says what it is told: what is printed, and what is not even looked at."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scheduler.engine import programs
from tests.unpacked import SHELLS, installed

Ask = Callable[..., list[str]]
END = "{} {} exit={} signal={} started=1 ended=2 host=n id=1 missing= cannot="


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A bundle with an array of four."""
    folder = tmp_path / "it's a work" / "tok"
    for name in ("ends", "guards", "batches/0"):
        (folder / name).mkdir(parents=True)
    return folder


@pytest.fixture(params=SHELLS)
def ask(request: pytest.FixtureRequest, tmp_path: Path, work: Path) -> Ask:
    """Asks after that array; gives the lines, but for the clock, and "history" if that was asked after something."""
    if not installed(request.param):
        pytest.skip(f"{request.param} is not installed")
    commands = tmp_path / "programs"
    commands.mkdir()
    for name, does in {"squeue": 'cat "$QUEUE"', "sacct": "echo '10_0|x.tok-0|FAILED|1:0|n|1|2||'"}.items():
        (commands / name).write_text(f"#!/bin/sh\n{does}\n")
        (commands / name).chmod(0o755)

    def asked(*queue: str, indices: str = "0-3", kind: str = "array", batch_id: str = "10") -> list[str]:
        (tmp_path / "queue").write_text("".join(f"{line}\n" for line in queue))
        question = f"0\t{work}\tx.tok-0\t{batch_id}\t0\t{indices}\t{kind}\n"
        done = subprocess.run(
            [*SHELLS[request.param], "-c", programs.program("poll", "slurm").text, "poll", "yes"], input=question,
            env=os.environ | {"PATH": f"{commands}:{os.environ['PATH']}", "QUEUE": str(tmp_path / "queue")},
            capture_output=True, text=True, timeout=600, check=True,
        )  # fmt: skip
        assert done.stderr == ""
        return [line for line in done.stdout.splitlines() if not line.startswith(("clock", "live 0", "history 0"))]

    return asked


def test_of_an_array_that_waits_only_its_line_is_said(ask: Ask) -> None:
    assert ask("x.tok-0|0-3%2|10|PENDING||1795703378|Priority", "another's|N/A|9|RUNNING|n|1|None") == [
        "l x.tok-0|0-3%2|10|PENDING|||Priority"
    ]


def test_what_the_queue_does_not_have_the_history_is_asked_after(ask: Ask, work: Path) -> None:
    (work / "guards/1").symlink_to("somewhere")
    said = ask("x.tok-0|2-3|10|PENDING||N/A|Priority")
    assert said == ["l x.tok-0|2-3|10|PENDING|||Priority", "h 10_0|x.tok-0|FAILED|1:0|n|1|2||", "b 0 1"]


def test_ends_of_those_that_are_asked_after_are_said_the_newest_attempt_last(ask: Ask, work: Path) -> None:
    for element, attempt, code in ((0, 0, 0), (1, 0, 1), (1, 10, 7), (1, 9, 2), (3, 0, 0)):
        (work / f"ends/{element}.{attempt}").write_text(END.format(element, attempt, code, "") + "\n")
    (work / "ends/1.0.tmp").write_text("half of an end")
    queue = [f"x.tok-0|{n}|10|RUNNING|n|5|None" for n in range(1, 4)]
    ends = [f"e 0 {END.format(1, attempt, code, '')}" for attempt, code in ((0, 1), (9, 2), (10, 7))]
    assert ask(*queue, indices="1-2") == [*(f"l {line}" for line in queue), *ends]


def test_a_log_is_read_only_of_those_of_which_it_matters(ask: Ask, work: Path) -> None:
    """A site may write its greeting into the log of every job."""
    for n in range(4):
        (work / f"batches/0/log.{n}").write_text("Welcome\nCANCELLED AT\n")
    (work / "ends/2.0").write_text(END.format(2, 0, 143, "TERM") + "\n")
    (work / "ends/3.0").write_text(END.format(3, 0, 0, "") + "\n")
    queue = ["x.tok-0|0|10|PENDING||N/A|Priority", "x.tok-0|1|10|COMPLETING|n|5|None", "x.tok-0|2|10|RUNNING|n|5|None"]
    said = ask(*queue)
    assert sorted(line for line in said if line[0] == "g") == [
        "g 0 1 CANCELLED AT", "g 0 1 Welcome", "g 0 2 CANCELLED AT", "g 0 2 Welcome",
    ]  # fmt: skip


def test_an_end_that_was_killed_outlasts_an_earlier_one_that_was_not(ask: Ask, work: Path) -> None:
    (work / "ends/0.0").write_text(END.format(0, 0, 0, "") + "\n")
    (work / "ends/0.1").write_text(END.format(0, 1, 143, "TERM") + "\n")
    assert "h 10_0|x.tok-0|FAILED|1:0|n|1|2||" in ask(indices="0", kind="one")


@pytest.mark.parametrize(("alone", "said"), [(True, "alone"), (False, "together")])
def test_jobs_that_share_a_node_have_logs_of_their_own(ask: Ask, work: Path, *, alone: bool, said: str) -> None:
    (work / "batches/0/log.0").write_text("together\n")
    if alone:
        (work / "batches/0/member.2").write_text("alone\n")
    (work / "ends/2.0").write_text(END.format(2, 0, 143, "TERM") + "\n")
    assert ask("x.tok-0|N/A|10|RUNNING|n|5|None", kind="pack")[-1] == f"g 0 2 {said}"


def test_the_id_of_a_batch_is_said_to_whoever_does_not_know_it(ask: Ask, work: Path) -> None:
    (work / "batches/0/id").write_text("10\n")
    assert ask("x.tok-0|0-3|10|PENDING||N/A|Priority", batch_id="-")[-1].rstrip() == "i 0 0 10"


def test_a_folder_that_is_missing_is_said(ask: Ask, work: Path) -> None:
    (work / "ends").rmdir()
    assert ask("x.tok-0|0-3|10|PENDING||N/A|Priority")[0] == "missing 0"
