"""Jobs that somebody ends: by `cancel`, from outside, running, queued, or one of an array; and what is left of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scheduler import Cause, Job, JobState, Resources, Runner
from scheduler.transports.base import Program

from .kinds import kinds
from .sites import RUN, Place, alone
from .test_ends import KINDS
from .voyage import Jobs, in_folder, runner_in

SLOW_SECONDS = 60.0
_PROCESSES = 'for file in /proc/[0-9]*/environ; do grep -lzxF "JOB_ID=$1" "$file" 2>/dev/null; done | cut -d / -f 3'
"""Prints the processes of a job."""


class Cancelled:
    """Jobs of all kinds that run, until tests end them."""

    def __init__(self, place: Place, runner: Runner, jobs: Jobs) -> None:
        self.place, self.runner, self.jobs = place, runner, jobs

    def until(self, happened: Callable[[], bool]) -> None:
        """Poll until then."""
        deadline = time.monotonic() + SLOW_SECONDS
        while not happened():
            assert time.monotonic() < deadline, " ".join(f"{job.job_id}: {job.status}" for job in self.jobs.values())
            time.sleep(0.2)
            self.runner.poll()

    def processes(self, name: str) -> list[str]:
        """The numbers of a job's processes over there."""
        job_id = self.jobs[name].job_id
        return self.runner.transport.run(Program("look", _PROCESSES), [job_id]).out.split()

    def do(self, text: str, *arguments: str) -> None:
        """Run something over there, behind everybody's back."""
        reply = self.runner.transport.run(Program("do", text), arguments)
        assert reply.exit_code == 0, reply.err


@pytest.fixture(scope="module")
def going(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cancelled]:
    """A job of every kind runs, three elements of an array run, and one waits in the queue."""
    with in_folder(tmp_path_factory.mktemp("cancel")) as folder, runner_in(folder, place) as runner:
        going = Cancelled(place, runner, _endless(place))
        try:
            runner.submit(going.jobs.values())
            running = [job for name, job in going.jobs.items() if name != "queued"]
            going.until(lambda: all(job.is_running() for job in running))
            yield going
        finally:
            runner.cancel(job for job in going.jobs.values() if not job.final)


def _endless(place: Place) -> Jobs:
    makers = kinds(place)
    script = makers["script"]
    jobs = {
        kind: make(f"{kind} of {RUN}", "endless", resources=alone(n)) for n, (kind, make) in enumerate(makers.items())
    }
    jobs |= {f"element {n}": script(f"element {n} of {RUN}", "endless") for n in range(3)}
    for name in ("from outside", "killed", "as one"):
        jobs[name] = script(f"{name} of {RUN}", "endless", resources=alone(100 + len(jobs)))
    if place.site.scheduler == "slurm":
        jobs["queued"] = script("queued", "endless", resources=Resources(native=["--begin=now+1hour"]))
    elif place.site.limits.running:
        while len(jobs) < place.site.limits.running:
            jobs[f"filler {len(jobs)}"] = script(f"filler {len(jobs)}", "endless")
        jobs["queued"] = script("queued", "endless", resources=alone(900))
    return jobs


@pytest.fixture(scope="module")
def cancelled(going: Cancelled) -> Cancelled:
    """One job of each kind, one element and the queued one were cancelled together."""
    names = [name for name in (*KINDS, "element 1", "queued") if name in going.jobs]
    assert all(going.processes(name) for name in names if name != "queued")
    assert "queued" not in going.jobs or going.jobs["queued"].queued
    jobs = [going.jobs[name] for name in names]
    going.runner.cancel(jobs)
    going.runner.wait(jobs, timeout=SLOW_SECONDS)
    return going


@pytest.mark.parametrize("name", [*KINDS, "element 1", "queued"])
def test_a_cancelled_job_is_cancelled(cancelled: Cancelled, name: str) -> None:
    job = _job(cancelled, name)
    assert (job.status.state, job.status.cause) == (JobState.CANCELLED, Cause.CANCELLED)
    assert job.has_failed()
    assert job.get_results()["error"].startswith("cancelled")


@pytest.mark.parametrize("name", KINDS)
def test_of_a_cancelled_job_no_process_is_left_and_the_logs_are_home(cancelled: Cancelled, name: str) -> None:
    job = _job(cancelled, name)
    cancelled.until(lambda: not cancelled.processes(name))
    assert Path(job.get_results()["stdout"]).read_text() == f"out of {job.job_id}\n"


def test_the_siblings_of_a_cancelled_element_go_on(cancelled: Cancelled) -> None:
    cancelled.runner.poll()
    for name in ("element 0", "element 2"):
        assert cancelled.jobs[name].is_running()
        assert cancelled.processes(name)


def test_a_job_that_is_cancelled_behind_our_back_is_cancelled(cancelled: Cancelled) -> None:
    if cancelled.place.site.scheduler != "slurm":
        pytest.skip("there is no such command here")
    job = cancelled.jobs["from outside"]
    (row,) = [row for row in cancelled.runner.ledger.going_on(cancelled.place.site.name) if row.job_id == job.job_id]
    cancelled.do('scancel "$1"', row.shown_id)
    cancelled.runner.wait([job], timeout=SLOW_SECONDS)
    assert (job.status.state, job.status.cause) == (JobState.CANCELLED, Cause.CANCELLED)


def test_a_payload_that_is_killed_behind_our_back_is_a_signal(cancelled: Cancelled) -> None:
    job = cancelled.jobs["killed"]
    cancelled.do('kill -KILL "$@"', *cancelled.processes("killed"))
    cancelled.runner.wait([job], timeout=SLOW_SECONDS)
    assert (job.status.state, job.status.cause, job.status.exit_code) == (JobState.FAILED, Cause.SIGNAL, 137)


def test_the_one_job_way_cancels_too(cancelled: Cancelled) -> None:
    job = cancelled.jobs["as one"]
    job.set_runner(cancelled.runner)
    cancelled.runner.cancel_job(job)
    deadline = time.monotonic() + SLOW_SECONDS
    while not job.final and time.monotonic() < deadline:
        job.check_status()
        time.sleep(0.2)
    assert job.status.cause is Cause.CANCELLED
    assert job.get_results()["stdout"]


def test_cancelling_what_has_ended_asks_nothing_and_changes_nothing(cancelled: Cancelled) -> None:
    job = cancelled.jobs["script"]
    before = job.status
    cancelled.runner.cancel([job])
    cancelled.runner.poll()
    assert job.status == before


def _job(cancelled: Cancelled, name: str) -> Job:
    if name not in cancelled.jobs:
        pytest.skip(f"{cancelled.place.site.name} has no such job")
    return cancelled.jobs[name]
