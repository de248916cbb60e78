"""Hundreds of small campaigns with faults drawn from a seed: cut lines, lost and wrong answers, restarted and second
clients, on a plain machine and on real Slurm.

`SCHEDULER_SOAK_CAMPAIGNS` and `SCHEDULER_SOAK_SEED` ask for more of them, or for others (`make soak`).
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scheduler import Runner
from scheduler.engine.connect import transport_to
from scheduler.transports.local.transport import LocalTransport
from tests.testcluster import Cluster

from .campaign import FAILS, USUAL, Campaign, Counts, Task, campaign_at, drive, site_here
from .conftest import Judge
from .cutting import CuttingTransport, Dice

_SEED = int(os.environ.get("SCHEDULER_SOAK_SEED", "0"))
_CAMPAIGNS = int(os.environ.get("SCHEDULER_SOAK_CAMPAIGNS", "300"))
ON_SLURM = _CAMPAIGNS // 6
AT_ONCE = 6
_MIXES: tuple[tuple[Task, ...], ...] = (
    USUAL,
    (Task(),),
    (Task(), FAILS),
    (Task(minutes=6), Task(), FAILS, Task(minutes=7)),
)


def _faulted(campaign: Campaign, seed: int) -> Counts:
    """One campaign through its faults; in some the client is restarted after each error, in some there are two."""
    dice = Dice(seed)
    draw = random.Random(f"how {seed}")
    way = draw.choice(("one client", "one client", "restarted", "two clients"))
    line = CuttingTransport(campaign.transport, dice)
    if way == "two clients":
        other = threading.Thread(target=_second, args=(campaign, CuttingTransport(campaign.transport, Dice(-seed - 1))))
        other.start()
    for _ in range(20 if way == "restarted" else 1):
        jobs = campaign.make_jobs()
        with _runner(campaign, line) as runner:
            try:
                drive(runner, jobs, between=_restart if way == "restarted" else None)
                break
            except _Restarted:
                dice.injected += 1
    if way == "two clients":
        other.join()
    return campaign.counts(jobs, faults=dice.injected)


class _Restarted(Exception):
    """The client has ended after an error, and a new one knows nothing but the ledger."""


def _restart() -> None:
    raise _Restarted


def _runner(campaign: Campaign, line: CuttingTransport) -> Runner:
    return campaign.runner(line, campaign="one")


def _second(campaign: Campaign, line: CuttingTransport) -> None:
    with _runner(campaign, line) as runner:
        drive(runner, campaign.make_jobs())


def _all(make: Callable[[int], Campaign], seeds: range, *, command: str) -> Counts:
    """Run them, a few at once. A failure prints the command that runs that campaign again."""

    def one(seed: int) -> Counts:
        try:
            counts = _faulted(make(seed), seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r}; again with\n  {_again(seed, command)}") from error
        if not counts.clean:
            print(f"seed {seed}: {counts}; again with\n  {_again(seed, command)}")
        return counts

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(pool.map(one, seeds), Counts())


def _again(seed: int, command: str) -> str:
    variables = f"SCHEDULER_SOAK_SEED={seed} SCHEDULER_SOAK_CAMPAIGNS=1"
    return f"{variables} .venv/bin/pytest tests/faults/test_random_campaigns.py -k {command}"


@pytest.mark.slow
@pytest.mark.timeout(1800 + 20 * _CAMPAIGNS)
def test_campaigns_here_come_to_their_true_end_whatever_is_cut(tmp_path: Path, judge: Judge) -> None:
    def make(seed: int) -> Campaign:
        folder = tmp_path / str(seed)
        tasks = random.Random(f"what {seed}").choice(_MIXES)
        return campaign_at(site_here(folder), LocalTransport(), folder, tasks)

    count = max(1, _CAMPAIGNS - ON_SLURM)
    judge(_all(make, range(_SEED, _SEED + count), command="here"))
    assert not list(tmp_path.rglob(".*.part"))  # nothing half is left beside what came home


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.timeout(1800 + 40 * _CAMPAIGNS)
def test_campaigns_on_slurm_come_to_their_true_end_whatever_is_cut(
    cluster: Cluster, tmp_path: Path, judge: Judge
) -> None:
    site = cluster.site("random", limits={"poll_seconds": 0.5})
    transport = transport_to(site)

    def make(seed: int) -> Campaign:
        tasks = random.Random(f"what {seed}").choice(_MIXES)
        return campaign_at(site, transport, tmp_path / str(seed), tasks)

    judge(_all(make, range(_SEED, _SEED + max(1, ON_SLURM)), command="slurm"))
    transport.close()
