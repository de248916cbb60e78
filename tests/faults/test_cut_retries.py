"""The connection is lost at random points while jobs are retried: each attempt is submitted exactly once."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from scheduler import Job, JobType, Resources, Retry, Runner, Site
from scheduler.engine.connect import transport_to
from scheduler.ledger.ledger import Ledger
from scheduler.transports.base import Program, Transport
from scheduler.transports.local.transport import LocalTransport
from tests.amount import amount
from tests.testcluster import Cluster

from .campaign import drive
from .faulty_transport import FaultyTransport, RandomFaults

_PAYLOAD = """#!/bin/sh
echo "$1" >>"$RUNS/$1"
[ "$(wc -l <"$RUNS/$1")" -gt "$2" ] || exit 7
"""
_FAILS = (0, 1, 2, 1, 2)
"""How often each job fails before it completes. The last one has another walltime, and is not in the array."""
_MAKE = Program("make", 'mkdir -p "$1" && cd "$1" && pwd -P')
_COUNT = Program("count", 'cd "$1" && for f in *; do wc -l <"$f"; done')


def _run(site: Site, transport: Transport, folder: Path, runs: str, faults: RandomFaults) -> list[str]:
    """Run one campaign; return what is wrong with it."""
    folder.mkdir()
    script = folder / "payload.sh"
    script.write_text(_PAYLOAD)
    jobs = [
        Job(f"job {n}", JobType.SCRIPT, script_path=script, arguments=[n, fails], env_vars={"RUNS": runs},
            working_dir=folder / f"local {n}", retry=Retry(times=2, exit_codes=[7]),
            resources=Resources(walltime="6m" if n == len(_FAILS) - 1 else "5m"))
        for n, fails in enumerate(_FAILS)
    ]  # fmt: skip
    ledger = Ledger(folder / "ledger")
    drive(Runner(site, ledger=ledger, transport=FaultyTransport(transport, faults), sleep=lambda _: None), jobs)
    ledger.close()
    ran = [int(word) for word in transport.run(_COUNT, [runs]).out.split()]
    ended = [(job.is_completed(), job.status.retries) for job in jobs]
    well = ran == [n + 1 for n in _FAILS] and ended == [(True, n) for n in _FAILS]
    return [] if well else [f"seed {faults.seed}: ran {ran}, ended {ended}"]


def test_local_jobs_make_each_attempt_once_wherever_the_connection_is_lost(tmp_path: Path) -> None:
    wrong: list[str] = []
    injected = 0
    campaigns = amount(8, soak=25)
    for seed in range(campaigns):
        folder = tmp_path / str(seed)
        runs = LocalTransport().run(_MAKE, [str(tmp_path / f"runs {seed}")]).out.strip()
        keys = {"transport": "local", "scheduler": "shell", "work_dir": str(folder / "work")}
        site = Site.from_mapping({**keys, "limits": {"poll_seconds": 0.05, "running": 4}}, name=f"local-{seed}")
        faults = RandomFaults(seed, left=6)
        wrong += _run(site, LocalTransport(), folder, runs, faults)
        injected += faults.injected
    print(f"\nlost connections in retries: {campaigns} campaigns, {injected} faults, {len(wrong)} wrong")
    assert not wrong
    assert injected > 2 * campaigns


@pytest.mark.cluster
def test_jobs_on_slurm_make_each_attempt_once_wherever_the_connection_is_lost(cluster: Cluster, tmp_path: Path) -> None:
    wrong: list[str] = []
    injected = 0
    campaigns = amount(3, soak=5)
    for seed in range(campaigns):
        site = cluster.site(f"again-{seed}", limits={"poll_seconds": 0.2})
        transport = transport_to(site)
        runs = transport.run(_MAKE, [f"/tmp/runs of {uuid.uuid4().hex}"]).out.strip()
        faults = RandomFaults(2000 + seed, left=6)
        wrong += _run(site, transport, tmp_path / str(seed), runs, faults)
        injected += faults.injected
        transport.close()
    print(f"\nlost connections in retries on Slurm: {campaigns} campaigns, {injected} faults, {len(wrong)} wrong")
    assert not wrong
    assert injected > 2 * campaigns
