"""Jobs that somebody ends: by `cancel`, from outside, running, queued, or one of an array; and what is left of them."""

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

from .kinds import kinds, why_not
from .sites import RUN, Place, alone
from .test_ends import KINDS
from .voyage import Jobs, in_folder, runner_in

LATER = ("from outside", "killed", "as one")
"""Jobs that are sent when others are gone: eight at a time are as many as a small machine has room for."""
_PROCESSES = 'for file in /proc/[0-9]*/environ; do grep -lzxF "JOB_ID=$1" "$file" 2>/dev/null; done | cut -d / -f 3'
"""Prints the processes of a job."""
_ENDED_BY_ANYBODY = {
    "slurm": 'scancel "$1"',
    "pbs": f'{PBS_FUNCTIONS}\nfind_pbs qdel && qdel "$1"',
}
"""How a person ends a job whom we know nothing of."""


class Cancelled:
    """Jobs of all kinds that run, until tests end them."""

    def __init__(self, place: Place, runner: Runner, jobs: Jobs) -> None:
        self.place, self.runner, self.jobs = place, runner, jobs
        self.heard: set[str] = set()

    @property
    def seen(self) -> bool:
        """Jobs run on the host that we log in to, so that their processes can be looked at."""
        return bool(self.processes("element 0"))

    def send(self, jobs: Jobs) -> None:
        """Submit more of them, and wait until their payloads run: what is ended before may leave no word of it."""
        self.jobs.update(jobs)
        self.runner.submit(jobs.values())
        names = [name for name in jobs if name != "queued"]
        self.until(lambda: all(jobs[name].is_running() and self.begun(name) for name in names))

    def until(self, happened: Callable[[], bool]) -> None:
        """Poll until then."""
        deadline = time.monotonic() + 2 * self.place.patience
        while not happened():
            assert time.monotonic() < deadline, " ".join(f"{job.job_id}: {job.status}" for job in self.jobs.values())
            time.sleep(0.2)
            self.runner.poll()

    def processes(self, name: str) -> list[str]:
        """The numbers of a job's processes over there."""
        job_id = self.jobs[name].job_id
        return self.runner.transport.run(Program("look", _PROCESSES), [job_id]).out.split()

    def begun(self, name: str) -> bool:
        """A job's payload has said its first words."""
        (row,) = self.runner.ledger.of_keys(self.runner.keys([self.jobs[name]]))
        words = [str(row.folder), str(row.element), "stdout", "1"]
        if name not in self.heard and self.runner.transport.run(programs.program("tail"), words).out:
            self.heard.add(name)
        return name in self.heard

    def do(self, text: str, *arguments: str) -> None:
        """Run something over there, behind everybody's back."""
        reply = self.runner.transport.run(Program("do", text), arguments)
        assert reply.exit_code == 0, reply.err


@pytest.fixture(scope="module")
def going(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cancelled]:
    """A job of every kind runs, three elements of an array run, and one waits in the queue."""
    with in_folder(tmp_path_factory.mktemp("cancel")) as folder, runner_in(folder, place) as runner:
        going = Cancelled(place, runner, {})
        try:
            going.send(_endless(place))
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
    if place.site.scheduler == "slurm":
        jobs["queued"] = script("queued", "endless", resources=Resources(native=["--begin=now+1hour"]))
    elif place.site.scheduler == "pbs":
        begin = datetime.now() + timedelta(days=2)
        jobs["queued"] = script("queued", "endless", resources=Resources(native=[f"-a {begin:%Y%m%d%H%M}"]))
    elif place.site.limits.running:
        while len(jobs) < place.site.limits.running:
            jobs[f"filler {len(jobs)}"] = script(f"filler {len(jobs)}", "endless")
        jobs["queued"] = script("queued", "endless", resources=alone(900))
    return jobs


@pytest.fixture(scope="module")
def cancelled(going: Cancelled) -> Cancelled:
    """One job of each kind, one element and the queued one were cancelled together. Others run now."""
    names = [name for name in (*KINDS, "element 1", "queued") if name in going.jobs]
    assert not going.seen or all(going.processes(name) for name in names if name != "queued")
    assert "queued" not in going.jobs or going.jobs["queued"].queued
    jobs = [going.jobs[name] for name in names]
    going.runner.cancel(jobs)
    going.runner.wait(jobs, timeout=going.place.patience)
    script = kinds(going.place)["script"]
    going.send({name: script(f"{name} of {RUN}", "endless", resources=alone(100 + n)) for n, name in enumerate(LATER)})
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
    cancelled.until(lambda: not cancelled.processes(name))  # none is seen, where jobs run elsewhere
    assert Path(job.get_results()["stdout"]).read_text() == f"out of {job.job_id}\n"


def test_the_siblings_of_a_cancelled_element_go_on(cancelled: Cancelled) -> None:
    cancelled.runner.poll()
    for name in ("element 0", "element 2"):
        assert cancelled.jobs[name].is_running()
        assert cancelled.processes(name) or not cancelled.seen


def test_a_job_that_is_cancelled_behind_our_back_is_cancelled(cancelled: Cancelled) -> None:
    """Where no history is kept, all that is known is that it was sent a signal."""
    site, ledger = cancelled.place.site, cancelled.runner.ledger
    if site.scheduler not in _ENDED_BY_ANYBODY:
        pytest.skip("there is no such command here")
    job = cancelled.jobs["from outside"]
    (row,) = [row for row in ledger.chosen(site=site.name) if row.job_id == job.job_id]
    cancelled.do(_ENDED_BY_ANYBODY[site.scheduler], shown_id(row))
    cancelled.runner.wait([job], timeout=cancelled.place.patience)
    if ledger.sites.history_of(site.name) == "none":
        assert (job.status.state, job.status.cause) == (JobState.FAILED, Cause.SIGNAL)
    else:
        assert (job.status.state, job.status.cause) == (JobState.CANCELLED, Cause.CANCELLED)


def test_a_payload_that_is_killed_behind_our_back_is_a_signal(cancelled: Cancelled) -> None:
    if not cancelled.seen:
        pytest.skip("jobs run on another host than the one that we log in to")
    job = cancelled.jobs["killed"]
    cancelled.do('kill -KILL "$@"', *cancelled.processes("killed"))
    cancelled.runner.wait([job], timeout=cancelled.place.patience)
    assert (job.status.state, job.status.cause, job.status.exit_code) == (JobState.FAILED, Cause.SIGNAL, 137)


def test_the_one_job_way_cancels_too(cancelled: Cancelled) -> None:
    job = cancelled.jobs["as one"]
    job.set_runner(cancelled.runner)
    cancelled.runner.cancel_job(job)
    deadline = time.monotonic() + cancelled.place.patience
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
        pytest.skip(why_not(name, cancelled.place) if name in KINDS else "nothing waits in the queue there")
    return cancelled.jobs[name]
