"""A PBS server with limits on each user's jobs and their resources: what waits, what is refused, and a lifted limit."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler import BatchError, Cause, Job, JobState, JobType, Resources, Runner, Site
from scheduler.ledger.ledger import Ledger
from tests.fakepbs_host import LocalFakePbs
from tests.unpacked import until

LONGEST_SECONDS = 240
"""Ends a test that hangs; no outcome depends on it."""


@pytest.fixture
def pbs(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalFakePbs]:
    """A fake PBS whose commands are on PATH."""
    with tempfile.TemporaryDirectory(prefix="pbs-") as folder:
        pbs = LocalFakePbs.started(Path(folder, "pbs"))
        monkeypatch.setenv("PATH", pbs.path)
        yield pbs
        pbs.stop()


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    """A runner for the fake PBS, with a ledger of its own."""
    values = {
        "transport": "local", "scheduler": "pbs", "work_dir": str(tmp_path / "work"), "limits": {"poll_seconds": 0.1},
    }  # fmt: skip
    with Runner(Site.from_mapping(values, name="pbs"), ledger=Ledger(tmp_path / "state")) as runner:
        yield runner


def job(folder: Path, name: str, *, cpus: int = 1) -> Job:
    """A job of its own batch, which ends once the file `go-NAME` exists."""
    script = folder / f"{name}.sh"
    script.write_text(f"until [ -e '{folder}/go-{name}' ]; do sleep 0.1; done\n")
    walltime = f"{600 + sum(name.encode())}s"
    return Job(name, JobType.SCRIPT, script_path=script, working_dir=folder / f"of-{name}",
               resources=Resources(cpus=cpus, walltime=walltime))  # fmt: skip


def polled_until_all_run(runner: Runner, jobs: list[Job]) -> None:
    """Poll until each job runs or has ended."""

    def all_run() -> bool:
        runner.poll()
        return all(one.is_running() or one.final for one in jobs)

    until(all_run, LONGEST_SECONDS)


def test_jobs_above_a_limit_wait_and_a_lifted_limit_is_noticed_when_no_job_of_ours_is_left(
    pbs: LocalFakePbs, runner: Runner, tmp_path: Path
) -> None:
    (pbs.home / "limits").write_text("jobs 1\n")
    jobs = [job(tmp_path, f"j{n}") for n in range(6)]
    runner.submit(jobs)
    waiting = [one for one in jobs if one.status.state is JobState.SUBMITTING]
    assert len(waiting) == 5
    assert all("would exceed complex's per-user limit" in one.status.reason for one in waiting)
    (pbs.home / "limits").unlink()
    (tmp_path / "go-j0").touch()
    polled_until_all_run(runner, jobs)  # none of the others has an end
    for one in jobs:
        (tmp_path / f"go-{one.job_id}").touch()
    runner.wait(jobs, timeout=LONGEST_SECONDS)
    assert all(one.is_completed() for one in jobs)


def test_what_exceeds_a_limit_alone_is_refused_and_a_limit_that_our_jobs_use_up_lets_others_wait(
    pbs: LocalFakePbs, runner: Runner, tmp_path: Path
) -> None:
    (pbs.home / "limits").write_text("jobs 2\n")
    (tmp_path / "t.sh").touch()
    array = [
        Job(f"t{n}", JobType.SCRIPT, script_path=tmp_path / "t.sh", working_dir=tmp_path / f"t{n}") for n in range(3)
    ]
    with pytest.raises(
        BatchError, match=r"complex's per-user limit\nno job of this user is in the queue.*limits\.queued"
    ):
        runner.submit(array)
    (pbs.home / "limits").write_text("ncpus 4\n")
    first, second, never = job(tmp_path, "a", cpus=4), job(tmp_path, "b", cpus=4), job(tmp_path, "c", cpus=8)
    with pytest.raises(BatchError, match=r"refused.*limit on resource ncpus in complex\nno job of this user"):
        runner.submit([never])
    assert never.status.cause is Cause.REFUSED
    runner.submit([first])
    runner.submit([second])
    assert second.status.state is JobState.SUBMITTING
    assert "per-user limit on resource ncpus in complex" in second.status.reason
    for name in "ab":
        (tmp_path / f"go-{name}").touch()
    runner.wait([first, second], timeout=LONGEST_SECONDS)
    assert first.is_completed() and second.is_completed()
