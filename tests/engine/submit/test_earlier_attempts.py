"""A job is retried while its attempt before may still run: that one can never begin, or the retry is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scheduler import Job, JobError, JobType, Runner, Site
from scheduler.engine.withdraw import forget
from scheduler.job.state import Cause, JobState, Status
from scheduler.ledger.ledger import Ledger
from scheduler.transports.local.transport import LocalTransport
from tests.unpacked import until
from tests.wrapped import Counting

COUNTED = """\
echo run >>"$RUNS/$JOB_ID"
until [ -e "$RUNS/go" ]; do sleep 0.05; done
[ ! -e "$RUNS/fail.$(wc -l <"$RUNS/$JOB_ID" | tr -d ' ')" ]
"""


class World:
    """A machine that runs one or two jobs at a time, and jobs that run until a file exists."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs = folder, folder / "runs"
        self.runs.mkdir()
        (folder / "job.sh").write_text(COUNTED)

    def runner(self, running: int = 1, **options: Any) -> Runner:
        limits = {"poll_seconds": 0.05, "running": running}
        keys = {"transport": "local", "scheduler": "shell", "work_dir": str(self.folder / "work"), "limits": limits}
        return Runner(Site.from_mapping(keys, name="local"), ledger=Ledger(self.folder / "state"), **options)

    def job(self, job_id: str) -> Job:
        folder, variables = self.folder / "out" / job_id, {"RUNS": str(self.runs)}
        script = self.folder / "job.sh"
        return Job(job_id, JobType.SCRIPT, script_path=script, working_dir=folder, env_vars=variables)

    def ran(self, job_id: str) -> int:
        file = self.runs / job_id
        return len(file.read_text().splitlines()) if file.exists() else 0

    def go(self) -> None:
        (self.runs / "go").touch()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.go()


def lose(runner: Runner, job: Job) -> None:
    """The job counts as lost, whatever it does."""
    forget(runner.ledger.of_keys(runner.keys([job])), runner.ledger)


@pytest.mark.parametrize("verb", ["retry", "resubmit"])
def test_an_attempt_that_has_not_begun_never_begins_after_a_retry(world: World, verb: str) -> None:
    counting = Counting(LocalTransport())
    with world.runner(transport=counting, campaign="c") as runner:
        first, waiting = world.job("first"), world.job("waiting")
        runner.submit([first])
        until(lambda: world.ran("first") == 1)
        runner.submit([waiting])
        lose(runner, waiting)
        counting.take()
        getattr(runner, verb)([waiting])
        assert counting.take() == ["submit"]
        world.go()
        runner.wait([first, waiting], timeout=600)
        assert (str(waiting.status), waiting.status.retries, world.ran("waiting")) == ("completed", 1, 1)


def test_an_attempt_that_began_and_has_no_end_holds_the_next_one(world: World) -> None:
    with world.runner(running=2) as runner:
        job, other = world.job("a"), world.job("b")
        runner.submit([job])
        until(lambda: world.ran("a") == 1)
        lose(runner, job)
        with pytest.raises(JobError, match=r"attempt before may still run: it began as .* has no end.*--force"):
            runner.retry([job])
        assert (job.status.cause, job.status.retries, world.ran("a")) == (Cause.LOST, 0, 1)
        runner.submit([other])  # the held attempt is not in the way
        world.go()
        runner.wait([other], timeout=600)
        [row] = runner.ledger.of_keys(runner.keys([job]))
        folder = Path(str(row.folder))
        until(lambda: (folder / "ends" / "0.0").exists())
        runner.retry([job])  # it has ended by now
        runner.wait([job], timeout=600)
        assert (str(job.status), job.status.retries, world.ran("a")) == ("completed", 1, 2)


def test_with_force_it_runs_and_a_late_end_belongs_to_its_own_attempt(world: World) -> None:
    with world.runner(running=2) as runner:
        job = world.job("a")
        runner.submit([job])
        until(lambda: world.ran("a") == 1)
        lose(runner, job)
        runner.retry([job], force=True)
        until(lambda: world.ran("a") == 2)
        (world.runs / "fail.2").touch()  # both fail now, as both have written their line
        world.go()
        runner.wait([job], timeout=600)
        [row] = runner.ledger.of_keys(runner.keys([job]))
        [first] = runner.ledger.attempts.of([row.key])
        assert (job.status.exit_code, job.status.retries) == (1, 1)
        assert (first.status.cause, first.status.exit_code) == (Cause.LOST, None)


def test_of_an_array_only_the_jobs_that_may_still_run_are_held(world: World) -> None:
    with world.runner(running=1) as runner:
        jobs = [world.job(f"j{n}") for n in range(3)]
        runner.submit(jobs)
        until(lambda: sum(map(world.ran, ("j0", "j1", "j2"))) == 1)
        for job in jobs:
            lose(runner, job)
        with pytest.raises(JobError, match="1 of 3 jobs are not retried"):
            runner.retry(jobs)
        world.go()
        retried = [job for job in jobs if job.status.retries == 1]
        runner.wait(retried, timeout=600)
        assert len(retried) == 2 and {str(job.status) for job in retried} == {"completed"}
        assert [world.ran(job.job_id) for job in jobs] == [1, 1, 1]


def test_an_attempt_that_never_arrived_is_no_obstacle(world: World) -> None:
    with world.runner(campaign="c") as runner:
        job = world.job("a")
        runner.submit([job])
        runner.cancel([job])
        runner.wait([job], timeout=600)
        [row] = runner.ledger.of_keys(runner.keys([job]))
        lost = Status(JobState.FAILED, Cause.LOST, reason="lost")
        with runner.ledger.database.writing() as db:
            db.execute("UPDATE bundles SET folder = '/nowhere'")
            db.execute("UPDATE jobs SET state = 'failed', cause = 'lost', reason = 'lost'")
        assert str(runner.ledger.of_keys([row.key])[0].status) == str(lost)
        world.go()
        runner.resubmit([job])
        runner.wait([job], timeout=600)
        assert (str(job.status), job.status.retries) == ("completed", 1)
