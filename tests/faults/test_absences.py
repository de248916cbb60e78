"""A client that was asleep, has no name server or an expired certificate: no job fails because of it."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler import Cause, JobState, Runner, WaitTimeout
from scheduler.engine.connect import transport_to
from scheduler.engine.poll.settle import SILENT_POLLS, SILENT_SECONDS
from scheduler.errors import LoginError
from scheduler.transports.base import Reply
from scheduler.transports.local.transport import LocalTransport
from tests.testcluster import Cluster

from .broken_cluster import wait_for
from .campaign import FAILS, USUAL, Campaign, Task, campaign_at, drive, local_site
from .conftest import Check
from .faulty_transport import Fault, FaultyTransport

_DAY = 86400.0


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    site = local_site(tmp_path, limits={"poll_seconds": 0.01, "running": 4})
    return campaign_at(site, LocalTransport(), tmp_path / "campaign", USUAL)


def _silent(reply: Reply) -> Reply:
    kept = [line for line in reply.stdout.splitlines(keepends=True) if line.startswith((b"clock", b"live"))]
    return replace(reply, stdout=b"".join(kept))


def _sleep_a_day(campaign: Campaign) -> None:
    """Let every time in the ledger be a day earlier."""
    with sqlite3.connect(campaign.folder / "ledger" / "ledger.sqlite") as db:
        db.execute("UPDATE sites SET polled_at = polled_at - ?", (_DAY,))
        db.execute("UPDATE jobs SET silent_since = silent_since - ?", (_DAY,))
    db.close()


def test_after_a_sleep_of_the_laptop_a_silent_job_is_not_lost(campaign: Campaign, check_counts: Check) -> None:
    """In ten polls the queue knows none of the jobs; the two days of sleep between them do not count as polled."""
    transport = FaultyTransport(campaign.transport, lambda name, _: Fault(change=_silent) if name == "poll" else None)
    with campaign.runner(transport) as runner:
        runner.submit(campaign.jobs)
        for number in range(10):
            if number in (1, 4):
                _sleep_a_day(campaign)
            time.sleep(0.02)
            runner.poll()
        assert {job.state for job in campaign.jobs} == {JobState.QUEUED}
        rows = runner.ledger.chosen()
        assert all(row.silent == 10 for row in rows)
    jobs = campaign.make_jobs()
    wait_with_a_new_runner(campaign, jobs)
    check_counts(campaign.counts(jobs))


def wait_with_a_new_runner(campaign: Campaign, jobs: list) -> None:  # type: ignore[type-arg]
    """Wait for all jobs of the ledger, as a later process does."""
    with campaign.runner() as runner:
        keys = [row.key for row in runner.ledger.chosen()]
        runner.session.wait(keys, timeout=600)
        by_id = {row.job_id: row for row in runner.ledger.of_keys(keys)}
        for job in jobs:
            job.observe(by_id[job.job_id].status)


def test_an_expired_certificate_ends_the_waiting_and_no_job(campaign: Campaign, check_counts: Check) -> None:
    def plan(name: str, _: int) -> Fault | None:
        raise LoginError("the certificate expired an hour ago; get a new one")

    with campaign.runner() as runner:
        runner.submit(campaign.jobs)
    with (
        campaign.runner(FaultyTransport(campaign.transport, plan)) as away,
        pytest.raises(LoginError, match="certificate"),
    ):
        away.session.wait([row.key for row in away.ledger.chosen()])
    jobs = campaign.make_jobs()
    wait_with_a_new_runner(campaign, jobs)
    check_counts(campaign.counts(jobs))


@pytest.mark.cluster
def test_without_a_name_server_waiting_reports_it_and_continues_later(
    cluster: Cluster, tmp_path: Path, check_counts: Check
) -> None:
    site = cluster.site("away", limits={"poll_seconds": 0.3})
    plain = transport_to(site)
    campaign = campaign_at(site, plain, tmp_path / "campaign", (Task(), FAILS))
    with campaign.runner() as runner:
        runner.submit(campaign.jobs)
        nowhere = transport_to(cluster.site("away", host="no-such-host.invalid"))
        away = Runner(site, ledger=runner.ledger, transport=nowhere, sleep=lambda _: time.sleep(0.1))
        keys = runner.keys(campaign.jobs)
        with pytest.raises(WaitTimeout):
            away.session.wait(keys, timeout=3.0)
        assert "no-such-host.invalid" in away.trouble
        assert all(not row.status.final for row in runner.ledger.of_keys(keys))
        nowhere.close()
        wait_for(lambda: "1.ended" in campaign.recorded())
        drive(runner, campaign.jobs)
    plain.close()
    check_counts(campaign.counts())


def _lose(campaign: Campaign) -> None:
    """Poll a filtered queue, which has none of the jobs, until all are lost and collected, and a user has seen it."""
    transport = FaultyTransport(campaign.transport, lambda name, _: Fault(change=_silent) if name == "poll" else None)
    with campaign.runner(transport) as runner:
        runner.submit(campaign.jobs)
        for _ in range(SILENT_POLLS + 1):
            time.sleep(campaign.site.limits.poll_seconds or 0)
            runner.poll()
            with runner.ledger.database.writing() as db:
                db.execute("UPDATE jobs SET silent_since = silent_since - ?", (SILENT_SECONDS,))
        runner.collect()
        assert {job.status.cause for job in campaign.jobs} == {Cause.LOST}
        assert all(row.collected for row in runner.ledger.chosen()) and all(job.stdout for job in campaign.jobs)


def test_jobs_that_were_lost_and_are_not_are_followed_to_their_true_ends(
    campaign: Campaign, check_counts: Check
) -> None:
    _lose(campaign)
    jobs = campaign.make_jobs()
    wait_with_a_new_runner(campaign, jobs)
    check_counts(campaign.counts(jobs))


@pytest.mark.cluster
def test_so_are_those_of_a_slurm_with_a_filtered_queue_and_none_is_retried_while_it_runs(
    cluster: Cluster, tmp_path: Path, check_counts: Check
) -> None:
    site = cluster.site("filtered", limits={"poll_seconds": 0.2})
    plain = transport_to(site)
    campaign = campaign_at(site, plain, tmp_path / "campaign", (Task(seconds=4), FAILS))
    _lose(campaign)
    with campaign.runner() as runner:
        keys = [row.key for row in runner.ledger.chosen()]
        time.sleep(0.3)  # no site is polled faster than its floor
        runner.session.poll()
        assert runner.ledger.of_keys(keys)[0].status.cause is not Cause.LOST
        assert runner.session.dispatcher.retry(keys[:1]) or campaign.recorded()["0.ended"] == 1
    jobs = campaign.make_jobs()
    wait_with_a_new_runner(campaign, jobs)
    plain.close()
    check_counts(campaign.counts(jobs))
