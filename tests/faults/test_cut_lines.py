"""The line is cut at random places of submit, poll and collect, on a plain machine and on real Slurm."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from testcluster import Cluster

from scheduler import Runner, Site
from scheduler.ledger import Ledger
from scheduler.reach import transport_to
from scheduler.transports.base import Program, Transport
from scheduler.transports.local import LocalTransport

from .campaign import count, drive, make_jobs
from .cutting import CuttingTransport, Faults


def _run(site: Site, transport: Transport, folder: Path, runs: str, faults: Faults) -> list[str]:
    """Drive one campaign; gives what is wrong with it."""
    folder.mkdir()
    jobs = make_jobs(folder, runs)
    ledger = Ledger(folder / "ledger")
    runner = Runner(site, ledger=ledger, transport=CuttingTransport(transport, faults), sleep=lambda _: None)
    drive(runner, jobs)
    ledger.close()
    reply = transport.run(_COUNT, [runs])
    recorded = {name: int(lines) for lines, name in (line.split() for line in reply.out.splitlines())}
    counts = count(jobs, recorded)
    return [] if counts.clean else [f"seed {faults.seed}: {counts}"]


_COUNT = Program("count", 'cd "$1" && for f in *; do printf "%s %s\\n" "$(wc -l <"$f")" "$f"; done')
_MAKE = Program("make", 'mkdir -p "$1" && cd "$1" && pwd -P')


@pytest.mark.timeout(600)
def test_jobs_here_run_once_and_come_home_whatever_is_cut(tmp_path: Path) -> None:
    wrong: list[str] = []
    injected = 0
    for seed in range(60):
        folder = tmp_path / str(seed)
        runs = LocalTransport().run(_MAKE, [str(tmp_path / f"runs {seed}")]).out.strip()
        site = Site.from_mapping(
            {"transport": "local", "scheduler": "shell", "work_dir": str(folder / "work"),
             "limits": {"poll_seconds": 0.05, "running": 4}},
            name=f"here-{seed}",
        )  # fmt: skip
        faults = Faults(seed)
        wrong += _run(site, LocalTransport(), folder, runs, faults)
        injected += faults.injected
    print(f"\ncut lines here: 60 campaigns, 240 jobs, {injected} faults, {len(wrong)} wrong")
    assert not wrong
    assert injected > 100


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_jobs_on_slurm_run_once_and_come_home_whatever_is_cut(cluster: Cluster, tmp_path: Path) -> None:
    wrong: list[str] = []
    injected = 0
    for seed in range(20):
        site = cluster.site(f"cut-{seed}", limits={"poll_seconds": 0.2})
        transport = transport_to(site)
        runs = transport.run(_MAKE, [f"/tmp/runs of {uuid.uuid4().hex}"]).out.strip()
        faults = Faults(1000 + seed)
        wrong += _run(site, transport, tmp_path / str(seed), runs, faults)
        injected += faults.injected
        transport.close()
    print(f"\ncut lines on Slurm: 20 campaigns, 80 jobs, {injected} faults, {len(wrong)} wrong")
    assert not wrong
    assert injected > 30
