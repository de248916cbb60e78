"""We were away: asleep, without a name server, with a certificate that has expired. No job fails because of it."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler import JobState, Runner, WaitTimeout
from scheduler.engine.connect import transport_to
from scheduler.errors import LoginError
from scheduler.transports.base import Reply
from scheduler.transports.local.transport import LocalTransport
from tests.testcluster import Cluster

from .breaking import wait_for
from .campaign import FAILS, USUAL, Campaign, Task, campaign_at, drive, site_here
from .conftest import Judge
from .cutting import CuttingTransport, Fault

_DAY = 86400.0


@pytest.fixture
def here(tmp_path: Path) -> Campaign:
    site = site_here(tmp_path, limits={"poll_seconds": 0.01, "running": 4})
    return campaign_at(site, LocalTransport(), tmp_path / "campaign", USUAL)


def _silent(reply: Reply) -> Reply:
    kept = [line for line in reply.stdout.splitlines(keepends=True) if line.startswith((b"clock", b"live"))]
    return replace(reply, stdout=b"".join(kept))


def _sleep_a_day(campaign: Campaign) -> None:
    """All that this process remembers by the clock is a day older."""
    with sqlite3.connect(campaign.folder / "ledger" / "ledger.sqlite") as db:
        db.execute("UPDATE sites SET polled_at = polled_at - ?", (_DAY,))
        db.execute("UPDATE jobs SET silent_since = silent_since - ?", (_DAY,))
    db.close()


def test_a_laptop_that_was_asleep_does_not_call_a_silent_job_lost(here: Campaign, judge: Judge) -> None:
    """Ten polls know nothing of the jobs, with two days of sleep between: nobody looked for five minutes."""
    line = CuttingTransport(here.transport, lambda name, _: Fault(change=_silent) if name == "poll" else None)
    with here.runner(line) as runner:
        runner.submit(here.jobs)
        for number in range(10):
            if number in (1, 4):
                _sleep_a_day(here)
            time.sleep(0.02)
            runner.poll()
        assert {job.state for job in here.jobs} == {JobState.QUEUED}
        rows = runner.ledger.chosen()
        assert all(row.silent == 10 for row in rows)
    jobs = here.make_jobs()
    drive_again(here, jobs)
    judge(here.counts(jobs))


def drive_again(campaign: Campaign, jobs: list) -> None:  # type: ignore[type-arg]
    """A process of the same ledger waits for what it finds there."""
    with campaign.runner() as runner:
        keys = [row.key for row in runner.ledger.chosen()]
        runner.session.wait(keys, timeout=600)
        by_id = {row.job_id: row for row in runner.ledger.of_keys(keys)}
        for job in jobs:
            job.observe(by_id[job.job_id].status)


def test_a_certificate_that_has_expired_ends_the_waiting_and_no_job(here: Campaign, judge: Judge) -> None:
    def plan(name: str, _: int) -> Fault | None:
        raise LoginError("the certificate expired an hour ago; get a new one")

    with here.runner() as runner:
        runner.submit(here.jobs)
    with here.runner(CuttingTransport(here.transport, plan)) as away, pytest.raises(LoginError, match="certificate"):
        away.session.wait([row.key for row in away.ledger.chosen()])
    jobs = here.make_jobs()
    drive_again(here, jobs)
    judge(here.counts(jobs))


@pytest.mark.cluster
def test_without_a_name_server_the_waiting_says_so_and_goes_on_later(
    cluster: Cluster, tmp_path: Path, judge: Judge
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
    judge(campaign.counts())
