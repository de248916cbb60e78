"""A PBS server that freezes or goes away while jobs are handed to it: each job runs once all the same."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler import Cause, Job, JobState, JobType, Resources, Runner, Site
from scheduler.ledger.ledger import Ledger
from tests.fakepbs_host import Here


@pytest.fixture(params=["history", "no history"])
def pbs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    """Its commands are on PATH, and nobody waits for an answer for longer than a second."""
    with tempfile.TemporaryDirectory(prefix="pbs-") as folder:
        pbs = Here.started(Path(folder, "pbs"), master=request.param == "history")
        if request.param == "no history":
            (pbs.prefix / "home" / "nohistory").touch()
        impatient = pbs.prefix / "bin" / "timeout"
        impatient.write_text('#!/bin/sh\nshift\nexec /usr/bin/timeout 1 "$@"\n')
        impatient.chmod(0o755)
        monkeypatch.setenv("PATH", pbs.path)
        yield pbs
        pbs.stop()


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    """The way to it."""
    values = {
        "transport": "local",
        "scheduler": "pbs",
        "work_dir": str(tmp_path / "work"),
        "limits": {"poll_seconds": 0.3},
    }
    with Runner(Site.from_mapping(values, name="pbs"), ledger=Ledger(tmp_path / "state")) as runner:
        yield runner


def jobs_in(folder: Path) -> list[Job]:
    """Three that become an array, and one alone; each leaves a line when it runs."""
    script = folder / "once.sh"
    script.write_text(f"#!/bin/sh\necho run >>'{folder}'/runs-$1\necho >out.txt\n")
    return [
        Job(
            f"j{n}", JobType.SCRIPT, script_path=script, arguments=[n], working_dir=folder / f"home{n}",
            output_files=["out.txt"], resources=Resources(walltime="5m" if n < 3 else "6m"),
        )
        for n in range(4)
    ]  # fmt: skip


def ran_once(jobs: list[Job], folder: Path) -> bool:
    """Each has completed, and left one line."""
    lines = [(folder / f"runs-{n}").read_text() for n in range(len(jobs))]
    return all(job.state is JobState.COMPLETED for job in jobs) and lines == ["run\n"] * len(jobs)


def test_jobs_that_a_frozen_server_takes_after_qsub_was_cut_off_are_found_and_run_once(
    pbs: Here, runner: Runner, tmp_path: Path
) -> None:
    jobs = jobs_in(tmp_path)
    os.kill(pbs.process.pid, signal.SIGSTOP)
    runner.submit(jobs)
    assert {job.state for job in jobs} == {JobState.SUBMITTING}
    runner.poll()
    assert "qstat did not answer" in runner.trouble
    os.kill(pbs.process.pid, signal.SIGCONT)
    runner.wait(jobs, timeout=60)
    assert ran_once(jobs, tmp_path)


def test_jobs_that_no_server_was_there_for_are_handed_over_when_it_is_back(
    pbs: Here, runner: Runner, tmp_path: Path
) -> None:
    jobs = jobs_in(tmp_path)
    down = pbs.prefix / "home" / "down"
    down.touch()
    while subprocess.run(["qstat"], capture_output=True).returncode == 0:
        time.sleep(0.05)
    runner.submit(jobs)
    runner.poll()
    assert "cannot connect to server" in runner.trouble
    assert {job.state for job in jobs} == {JobState.SUBMITTING}
    down.unlink()
    runner.wait(jobs, timeout=60)
    assert ran_once(jobs, tmp_path)


def test_jobs_that_run_while_the_server_is_away_are_not_touched_by_its_silence(
    pbs: Here, runner: Runner, tmp_path: Path
) -> None:
    script = tmp_path / "slow.sh"
    script.write_text("#!/bin/sh\nsleep 3\nexit 5\n")
    job = Job("slow", JobType.SCRIPT, script_path=script, working_dir=tmp_path / "home")
    runner.submit([job])
    while not job.is_running():
        runner.poll()
    os.kill(pbs.process.pid, signal.SIGSTOP)
    for _ in range(2):
        time.sleep(0.4)
        runner.poll()
        assert runner.trouble
        assert job.is_running()
    os.kill(pbs.process.pid, signal.SIGCONT)
    runner.wait([job], timeout=60)
    assert (job.status.cause, job.status.exit_code) == (Cause.EXIT_CODE, 5)
