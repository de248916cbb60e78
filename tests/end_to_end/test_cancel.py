"""Jobs that are cancelled, by `cancel` or with the batch system's own command: running, queued, or an array task."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from scheduler import Cause, Job, JobState, Resources, Runner
from scheduler.batch.shown_id import shown_id
from scheduler.engine import programs
from scheduler.transports.base import Program
from tests.unpacked import PBS_FUNCTIONS

from .job_kinds import kinds, why_missing
from .running import Jobs, in_hostile_folder, runner_in
from .sites import RUN, Target, alone
from .test_ends import KINDS

LATER = ("from outside", "killed", "with cancel_job")
"""Jobs that are submitted when others are finished: a small machine runs eight at a time."""
_PROCESSES = 'for file in /proc/[0-9]*/environ; do grep -lzxF "JOB_ID=$1" "$file" 2>/dev/null; done | cut -d / -f 3'
"""Prints the process numbers of a job."""
_CANCEL_COMMANDS = {
    "slurm": 'scancel "$1"',
    "pbs": f'{PBS_FUNCTIONS}\nfind_pbs qdel && qdel "$1"',
}
"""The command with which a user cancels a job without this package."""


class RunningJobs:
    """Jobs that run until a test cancels them."""

    def __init__(self, target: Target, runner: Runner, jobs: Jobs) -> None:
        self.target, self.runner, self.jobs = target, runner, jobs
        self._begun: set[str] = set()

    @property
    def visible(self) -> bool:
        """The jobs run on the login host, so that the tests can list their processes."""
        return bool(self.processes("element 0"))

    def submit(self, jobs: Jobs) -> None:
        """Submit more jobs, and wait until their payloads run: a job cancelled before that may leave no output."""
        self.jobs.update(jobs)
        self.runner.submit(jobs.values())
        names = [name for name in jobs if name != "queued"]
        self.until(lambda: all(jobs[name].is_running() and self.begun(name) for name in names))

    def until(self, happened: Callable[[], bool]) -> None:
        """Poll until something has happened."""
        deadline = time.monotonic() + 2 * self.target.patience
        while not happened():
            assert time.monotonic() < deadline, " ".join(f"{job.job_id}: {job.status}" for job in self.jobs.values())
            time.sleep(0.2)
            self.runner.poll()

    def processes(self, name: str) -> list[str]:
        """The numbers of a job's processes on the login host."""
        job_id = self.jobs[name].job_id
        return self.runner.transport.run(Program("look", _PROCESSES), [job_id]).out.split()

    def begun(self, name: str) -> bool:
        """Whether the payload of a job has printed its first line."""
        (row,) = self.runner.ledger.of_keys(self.runner.keys([self.jobs[name]]))
        arguments = [str(row.folder), str(row.element), "stdout", "1"]
        if name not in self._begun and self.runner.transport.run(programs.program("tail"), arguments).out:
            self._begun.add(name)
        return name in self._begun

    def do(self, text: str, *arguments: str) -> None:
        """Run a shell command on the login host, not through the runner."""
        reply = self.runner.transport.run(Program("do", text), arguments)
        assert reply.exit_code == 0, reply.err


@pytest.fixture(scope="module")
def running(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningJobs]:
    """A job of every kind and three array tasks run, and one job waits in the queue."""
    with in_hostile_folder(tmp_path_factory.mktemp("cancel")) as folder, runner_in(folder, target) as runner:
        running = RunningJobs(target, runner, {})
        try:
            running.submit(_endless(target))
            yield running
        finally:
            runner.cancel(job for job in running.jobs.values() if not job.final)


def _endless(target: Target) -> Jobs:
    makers = kinds(target)
    script = makers["script"]
    jobs = {
        kind: make(f"{kind} of {RUN}", "endless", resources=alone(n)) for n, (kind, make) in enumerate(makers.items())
    }
    jobs |= {f"element {n}": script(f"element {n} of {RUN}", "endless") for n in range(3)}
    if target.site.scheduler == "slurm":
        jobs["queued"] = script("queued", "endless", resources=Resources(native=["--begin=now+1hour"]))
    elif target.site.scheduler == "pbs":
        begin = datetime.now() + timedelta(days=2)
        jobs["queued"] = script("queued", "endless", resources=Resources(native=[f"-a {begin:%Y%m%d%H%M}"]))
    elif target.site.limits.running:
        while len(jobs) < target.site.limits.running:
            jobs[f"filler {len(jobs)}"] = script(f"filler {len(jobs)}", "endless")
        jobs["queued"] = script("queued", "endless", resources=alone(900))
    return jobs


@pytest.fixture(scope="module")
def cancelled(running: RunningJobs) -> RunningJobs:
    """One job of each kind, one array task and the queued job were cancelled together. Others run now."""
    names = [name for name in (*KINDS, "element 1", "queued") if name in running.jobs]
    assert not running.visible or all(running.processes(name) for name in names if name != "queued")
    assert "queued" not in running.jobs or running.jobs["queued"].queued
    jobs = [running.jobs[name] for name in names]
    running.runner.cancel(jobs)
    running.runner.wait(jobs, timeout=running.target.patience)
    script = kinds(running.target)["script"]
    running.submit(
        {name: script(f"{name} of {RUN}", "endless", resources=alone(100 + n)) for n, name in enumerate(LATER)}
    )
    return running


@pytest.mark.parametrize("name", [*KINDS, "element 1", "queued"])
def test_a_cancelled_job_is_cancelled(cancelled: RunningJobs, name: str) -> None:
    job = _job(cancelled, name)
    assert (job.status.state, job.status.cause) == (JobState.CANCELLED, Cause.CANCELLED)
    assert job.has_failed()
    assert job.get_results()["error"].startswith("cancelled")


@pytest.mark.parametrize("name", KINDS)
def test_a_cancelled_job_leaves_no_process_and_its_logs_are_collected(cancelled: RunningJobs, name: str) -> None:
    job = _job(cancelled, name)
    cancelled.until(lambda: not cancelled.processes(name))  # always empty where jobs run on other hosts
    assert Path(str(job.stdout)).read_text() == f"out of {job.job_id}\n"


def test_the_other_tasks_of_an_array_keep_running_when_one_is_cancelled(cancelled: RunningJobs) -> None:
    cancelled.runner.poll()
    for name in ("element 0", "element 2"):
        assert cancelled.jobs[name].is_running()
        assert cancelled.processes(name) or not cancelled.visible


def test_a_job_that_is_cancelled_with_the_batch_systems_own_command_is_cancelled(cancelled: RunningJobs) -> None:
    """Without a history, the only evidence is that a signal ended the job."""
    site, ledger = cancelled.target.site, cancelled.runner.ledger
    if site.scheduler not in _CANCEL_COMMANDS:
        pytest.skip("this batch system has no command that cancels a job")
    job = cancelled.jobs["from outside"]
    (row,) = [row for row in ledger.chosen(sites=[site.name]) if row.job_id == job.job_id]
    cancelled.do(_CANCEL_COMMANDS[site.scheduler], shown_id(row))
    cancelled.runner.wait([job], timeout=cancelled.target.patience)
    if ledger.sites.history_of(site.name) == "none":
        assert (job.status.state, job.status.cause) == (JobState.FAILED, Cause.SIGNAL)
    else:
        assert (job.status.state, job.status.cause) == (JobState.CANCELLED, Cause.CANCELLED)


def test_a_payload_that_is_killed_by_hand_has_failed_by_a_signal(cancelled: RunningJobs) -> None:
    if not cancelled.visible:
        pytest.skip("jobs do not run on the login host")
    job = cancelled.jobs["killed"]
    cancelled.do('kill -KILL "$@"', *cancelled.processes("killed"))
    cancelled.runner.wait([job], timeout=cancelled.target.patience)
    assert (job.status.state, job.status.cause, job.status.exit_code) == (JobState.FAILED, Cause.SIGNAL, 137)


def test_cancel_job_cancels_one_job(cancelled: RunningJobs) -> None:
    job = cancelled.jobs["with cancel_job"]
    job.set_runner(cancelled.runner)
    cancelled.runner.cancel_job(job)
    deadline = time.monotonic() + cancelled.target.patience
    while not job.final and time.monotonic() < deadline:
        job.check_status()
        time.sleep(0.2)
    assert job.status.cause is Cause.CANCELLED
    assert job.stdout


def test_cancelling_a_finished_job_changes_nothing(cancelled: RunningJobs) -> None:
    job = cancelled.jobs["script"]
    before = job.status
    cancelled.runner.cancel([job])
    cancelled.runner.poll()
    assert job.status == before


def _job(cancelled: RunningJobs, name: str) -> Job:
    if name not in cancelled.jobs:
        pytest.skip(why_missing(name, cancelled.target) if name in KINDS else "no job waits in the queue of this site")
    return cancelled.jobs[name]
