"""Other jobs of the same user, an id that Slurm has reused, and jobs that are cancelled in their last second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scheduler import Cause, Job, JobState, JobType, Runner
from scheduler.batch.shown_id import shown_id
from scheduler.ledger.ledger import Ledger
from tests.testcluster import Cluster

pytestmark = pytest.mark.cluster


class Alice:
    """A user who works by hand on the cluster at the same time."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._ids = cluster, list[str]()

    def run(self, *command: str) -> str:
        full = ["runuser", "-u", "alice", "--", "sh", "-c", 'cd /home/alice && exec "$@"', "sh", *command]
        return self._cluster.enter(*full).strip()

    def submit(self, *options: str) -> str:
        """Submit a job that sleeps; return its id."""
        self._ids.append(self.run("sbatch", "--parsable", "-A", "eic", "--mem=100M", *options, "--wrap=sleep 3600"))
        return self._ids[-1]

    def state_of(self, job_id: str) -> str:
        return self.run("squeue", "-h", "-t", "all", "-j", job_id, "-o", "%T")

    def cancel_all(self) -> None:
        if self._ids:
            self.run("scancel", *self._ids)


@pytest.fixture
def alice(cluster: Cluster) -> Iterator[Alice]:
    user = Alice(cluster)
    yield user
    user.cancel_all()


@pytest.fixture
def runner(cluster: Cluster, tmp_path: Path) -> Iterator[Runner]:
    with Runner(cluster.site("others"), ledger=Ledger(tmp_path / "state")) as opened:
        yield opened
        opened.cancel(opened._tracked)


def job(folder: Path, name: str, text: str) -> Job:
    (folder / f"{name}.sh").write_text(text)
    return Job(name, JobType.SCRIPT, script_path=folder / f"{name}.sh", working_dir=folder / name)


def test_other_jobs_of_the_same_user_disturb_no_poll(alice: Alice, runner: Runner, tmp_path: Path) -> None:
    alice.submit("--hold", "--job-name=a|b|c d 'e'")
    held = alice.submit("--hold", "--array=0-3", "--job-name=%x\\n[1-9]")
    requeued = alice.submit("--requeue")
    until(lambda: alice.state_of(requeued) == "RUNNING")
    alice.run("scontrol", "requeuehold", requeued)
    mine = job(tmp_path, "mine", "sleep 1; exit 3")
    runner.submit([mine])
    runner.wait([mine], timeout=600)
    assert (mine.status.cause, mine.status.exit_code) == (Cause.EXIT_CODE, 3)
    assert "PENDING" in alice.state_of(held)


def test_another_job_with_a_reused_id_is_not_cancelled(alice: Alice, runner: Runner, tmp_path: Path) -> None:
    """As after a reset of the controller, which then counts its ids from the same number."""
    other = alice.submit("--job-name=other")
    mine = job(tmp_path, "mine", "sleep 3600")
    runner.submit([mine])
    (row,) = runner.ledger.chosen()
    until(lambda: alice.state_of(other) == "RUNNING")
    runner.ledger.record_ids(row.bundle, {row.first: other})
    runner.cancel([mine])
    time.sleep(2)
    assert alice.state_of(other) == "RUNNING"
    alice.run("scancel", f"--name={row.name}")


def test_the_states_of_jobs_that_are_cancelled_in_their_last_second_are_true(
    alice: Alice, runner: Runner, tmp_path: Path
) -> None:
    jobs = [job(tmp_path, f"late {n}", "sleep 2; echo over >&2") for n in range(8)]
    runner.submit(jobs)
    rows = {row.job_id: row for row in runner.ledger.chosen()}
    until(lambda: "RUNNING" in alice.state_of(shown_id(rows["late 0"])))
    time.sleep(1.2)
    for one in jobs:
        alice.run("scancel", shown_id(rows[one.job_id]))
        time.sleep(0.1)
    runner.wait(jobs, timeout=600)
    for one in jobs:
        over = Path(str(one.stderr)).read_text() == "over\n"
        assert one.status.state in (JobState.COMPLETED, JobState.CANCELLED), one.status
        assert over or not one.is_completed()
    assert {str(one.status) for one in jobs} <= {"completed", "cancelled"}


def until(happened: Callable[[], bool], seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.2)
