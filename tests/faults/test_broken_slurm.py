"""A real Slurm whose controller freezes, dies or forgets jobs, whose accounting is down or off, whose nodes fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler import Cause, JobState, Runner
from scheduler.batch.shown_id import shown_id
from scheduler.engine.connect import transport_to
from scheduler.transports.base import Reply
from tests.testcluster import Cluster

from .broken_cluster import BrokenCluster, broken_cluster, wait_for
from .campaign import FAILS, USUAL, Campaign, Task, campaign_at, drive
from .conftest import Check
from .faulty_transport import Fault, FaultyTransport, Plan

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

PAIR = (Task(), FAILS)
CANCELLED = Task(seconds=3600, state=JobState.CANCELLED, ends=0)
Start = Callable[..., Campaign]


@pytest.fixture
def broken(cluster: Cluster) -> Iterator[BrokenCluster]:
    with broken_cluster(cluster) as services:
        yield services


@pytest.fixture
def start(cluster: Cluster, tmp_path: Path) -> Iterator[Start]:
    """Makes campaigns on Slurm."""
    site = cluster.site("broken", limits={"poll_seconds": 0.3})
    transport = transport_to(site)
    numbers = iter(range(100))

    def make(tasks: tuple[Task, ...] = USUAL, **resources: object) -> Campaign:
        return campaign_at(site, transport, tmp_path / str(next(numbers)), tasks, **resources)

    yield make
    transport.close()


def _id(campaign: Campaign, job: int = 0) -> str:
    """Slurm's id of a job."""
    with campaign.runner() as runner:
        return shown_id(runner.ledger.chosen(job_id=f"job {job}")[0])


def _history(runner: Runner) -> str:
    return "\n".join(text for row in runner.ledger.chosen() for _, text in runner.ledger.history(row.key))


def _polled(runner: Runner) -> Runner:
    runner.poll()
    return runner


def _begun(campaign: Campaign, job: int = 0, times: int = 1) -> None:
    wait_for(lambda: campaign.recorded().get(f"{job}.begun", 0) >= times)


def test_a_frozen_controller_that_reports_a_failure_and_runs_the_job_runs_it_once(
    start: Start, broken: BrokenCluster, check_counts: Check
) -> None:
    """sbatch prints "Socket timed out on send/recv operation" with exit code 1, and the job runs nevertheless."""
    campaign = start(PAIR)
    runner, jobs = campaign.runner(), campaign.jobs
    broken.freeze("slurmctld")
    runner.submit(jobs)
    assert {job.state for job in jobs} == {JobState.SUBMITTING} and "timed out" in jobs[0].status.reason
    broken.thaw("slurmctld")
    runner.wait(jobs, timeout=600)
    assert {row.batch_id is not None for row in runner.ledger.chosen()} == {True}
    runner.close()
    check_counts(campaign.counts())


def test_a_batch_without_any_trace_is_submitted_a_second_time_and_still_runs_once(
    start: Start, cluster: Cluster, check_counts: Check
) -> None:
    """The worst case: accepted, the reply lost, no trace in three polls. Slurm then has two jobs of one name."""
    campaign = start((Task(seconds=2), Task(seconds=2)))
    transport = FaultyTransport(campaign.transport, _blind(polls=4))
    runner, jobs = campaign.runner(transport), campaign.jobs
    runner.submit(jobs)
    folder = runner.ledger.chosen()[0].folder
    cluster.enter("rm", f"{folder}/batches/0/id")
    runner.wait(jobs, timeout=600)
    name = runner.ledger.chosen()[0].name
    runner.close()
    twice = set(cluster.enter("squeue", "-h", "-t", "all", "-n", name, "-o", "%F").split())
    assert len(twice) == 2  # Slurm has the batch twice; its payloads run once
    wait_for(lambda: not cluster.enter("squeue", "-h", "-n", name, "-o", "%T").strip())
    check_counts(campaign.counts())


def _blind(*, polls: int) -> Plan:
    """The reply to the first submission is lost, and so many polls find no trace of it."""
    left = {"submit": 1, "poll": polls}

    def plan(name: str, _: int) -> Fault | None:
        if left.get(name, 0) <= 0:
            return None
        left[name] -= 1
        return Fault(change=_doubtful if name == "submit" else _forgetful)

    return plan


def _doubtful(reply: Reply) -> Reply:
    folder = reply.stdout.splitlines(keepends=True)[0]
    return replace(reply, stdout=folder + b"0\t1\tsbatch: error: Batch job submission failed: Socket timed out\n")


def _forgetful(reply: Reply) -> Reply:
    kept = [line for line in reply.stdout.splitlines(keepends=True) if line.startswith((b"clock", b"live", b"history"))]
    return replace(reply, stdout=b"".join(kept))


def test_a_controller_that_is_restarted_changes_no_state(
    start: Start, broken: BrokenCluster, check_counts: Check
) -> None:
    campaign = start((Task(seconds=3), Task(seconds=3), FAILS))
    runner, jobs = campaign.runner(), campaign.jobs
    runner.submit(jobs)
    _begun(campaign, 0)
    runner.poll()
    before = [job.status for job in jobs]
    broken.stop("slurmctld")
    runner.ledger.sites.claim_poll(runner.site.name, 0.0)
    wait_for(lambda: _polled(runner).trouble)
    assert "contact" in runner.trouble.lower() or "connect" in runner.trouble.lower()
    for job, status in zip(jobs, before, strict=True):
        assert job.status == status or job.final  # its own end file proves the end
    broken.repair()
    drive(runner, jobs)
    runner.close()
    check_counts(campaign.counts())


def test_without_the_accounting_database_jobs_are_still_followed(
    start: Start, broken: BrokenCluster, cluster: Cluster, check_counts: Check
) -> None:
    campaign = start((*USUAL, CANCELLED))
    runner, jobs = campaign.runner(), campaign.jobs
    broken.kill("slurmdbd")
    runner.submit(jobs)
    _begun(campaign, 4)
    cluster.enter("scancel", _id(campaign, 4))
    drive(runner, jobs)
    runner.close()
    check_counts(campaign.counts())


def test_ends_are_known_without_accounting_and_with_a_queue_that_forgets_at_once(
    start: Start, broken: BrokenCluster, cluster: Cluster, check_counts: Check
) -> None:
    broken.configure(
        "s/^AccountingStorageType=.*/AccountingStorageType=accounting_storage\\/none/",
        "/^AccountingStorageEnforce/d",
        "s/^MinJobAge=.*/MinJobAge=2/",
    )
    campaign = start((*USUAL, CANCELLED))
    runner, jobs = campaign.runner(), campaign.jobs
    runner.submit(jobs)
    _begun(campaign, 4)
    cluster.enter("scancel", _id(campaign, 4))
    drive(runner, jobs)
    runner.close()
    check_counts(campaign.counts())


def test_a_requeued_job_keeps_its_id_and_a_held_one_waits_for_its_release(
    start: Start, cluster: Cluster, check_counts: Check
) -> None:
    campaign = start((Task(first_seconds=3600), Task(first_seconds=3600, minutes=6)))
    runner, jobs = campaign.runner(), campaign.jobs
    runner.submit(jobs)
    for job in (0, 1):
        _begun(campaign, job)
    runner.poll()
    ids = [_id(campaign, job) for job in (0, 1)]
    for command, one in zip(("requeue", "requeuehold"), ids, strict=True):
        cluster.enter("scontrol", "update", f"jobid={one}", "requeue=1")
        cluster.enter("scontrol", command, one)
    wait_for(lambda: _polled(runner) and [job.state for job in jobs] == [JobState.QUEUED, JobState.HELD])
    wait_for(lambda: "PENDING" in cluster.enter("squeue", "-h", "-j", ids[0], "-o", "%T"))
    # Slurm fails a job that starts again before its first run is cleaned up; without StartTime=now it waits 2 min.
    wait_for(lambda: not cluster.enter("squeue", "-h", "-j", ",".join(ids), "-t", "completing", "-o", "%i").strip())
    time.sleep(3)
    for one in ids:
        cluster.enter("scontrol", "update", f"jobid={one}", "StartTime=now")
    cluster.enter("scontrol", "release", ids[1])
    drive(runner, jobs)
    assert [job.status.requeues for job in jobs] == [1, 1], _history(runner)
    assert ids == [_id(campaign, job) for job in (0, 1)]
    assert campaign.recorded()["0.begun"] == campaign.recorded()["1.begun"] == 2
    runner.close()
    check_counts(campaign.counts())


def test_a_node_that_goes_down_fails_its_job_and_no_other(
    start: Start, broken: BrokenCluster, cluster: Cluster, check_counts: Check
) -> None:
    failed = Task(seconds=3600, state=JobState.FAILED, ends=0)
    hit = start((failed,), native=["--nodelist=node2"])
    spared = start((Task(seconds=2), FAILS), native=["--nodelist=node1"])
    runners = [one.runner() for one in (hit, spared)]
    for runner, one in zip(runners, (hit, spared), strict=True):
        runner.submit(one.jobs)
    _begun(hit)
    cluster.enter("scontrol", "update", "nodename=node2", "state=down", "reason=on-purpose")
    for runner, one in zip(runners, (hit, spared), strict=True):
        drive(runner, one.jobs)
        runner.close()
    assert hit.jobs[0].status.cause is Cause.NODE_FAILURE
    check_counts(hit.counts())
    check_counts(spared.counts())
