"""Small campaigns with faults drawn from a seed: lost connections, lost and changed replies, restarted and
concurrent clients, a polluted environment, wrappers of the submit command, jobs that are cancelled while the outcome of
their submission is unknown; on a machine without a batch system and on real Slurm.

`SCHEDULER_SOAK_CAMPAIGNS` and `SCHEDULER_SOAK_SEED` set how many, and from which seed on (`make soak`).
"""

from __future__ import annotations

import os
import random
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from scheduler import BatchError, Job, JobState, Runner, TransportError
from scheduler.engine.connect import transport_to
from scheduler.transports.base import Program, Transport
from scheduler.transports.local.transport import LocalTransport
from tests.fakepbs_host import LocalFakePbs
from tests.testcluster import Cluster

from .campaign import FAILS, USUAL, Campaign, Counts, Task, campaign_at, drive, local_site, run_program
from .conditions import LATE, POLLUTED, WRAPPERS, SiteWrapper, Submitting
from .conftest import Check
from .faulty_transport import FaultyTransport, RandomFaults

_SEED = int(os.environ.get("SCHEDULER_SOAK_SEED", "0"))
_CAMPAIGNS = int(os.environ.get("SCHEDULER_SOAK_CAMPAIGNS", "150"))
ON_SLURM = _CAMPAIGNS // 6
ON_PBS = _CAMPAIGNS // 30
AT_ONCE = 6
_MIXES: tuple[tuple[Task, ...], ...] = (
    USUAL,
    (Task(),),
    (Task(), FAILS),
    (Task(minutes=6), Task(), FAILS, Task(minutes=7)),
)


def _tasks(seed: int) -> tuple[Task, ...]:
    """The tasks of a campaign; if it is cancelled in doubt, with one more to be cancelled, in the array or alone."""
    draw = random.Random(f"what {seed}")
    tasks = draw.choice(_MIXES)
    if _is_cancelled_in_doubt(seed):
        cancelled = Task(state=JobState.CANCELLED, ends=0, output=False, cancelled=True, minutes=draw.choice((5, 8)))
        tasks = (*tasks, cancelled)
    return tasks


def _is_cancelled_in_doubt(seed: int) -> bool:
    return random.Random(f"cancelled {seed}").random() < 0.2


def _conditioned(campaign: Campaign, seed: int) -> Transport:
    """The campaign's transport, in half of the campaigns with a condition of real sites."""
    draw, transport = random.Random(f"where {seed}"), campaign.transport
    if draw.random() < 0.3:
        transport = SiteWrapper(transport, POLLUTED)
    if _is_cancelled_in_doubt(seed):
        return Submitting(transport, LATE, runs=campaign.runs)
    if draw.random() < 0.4:
        transport = Submitting(transport, draw.choice(WRAPPERS), runs=campaign.runs)
    return transport


def _cancelled_in_doubt(campaign: Campaign, seed: int) -> Counts:
    """Cancel a job whose submission has no known outcome; the batch system accepts it afterwards."""
    faults = RandomFaults(seed, left=3)
    jobs = campaign.jobs
    with _runner(campaign, FaultyTransport(_conditioned(campaign, seed), faults)) as runner:
        with suppress(TransportError, BatchError):
            runner.submit(jobs)
        chosen = [job for job, task in zip(jobs, campaign.tasks, strict=True) if task.cancelled]
        while not _is_cancelled(runner, chosen):
            pass
        run_program(campaign.transport, _ACCEPT, campaign.runs)
        drive(runner, jobs)
        names = " ".join(row.name for row in runner.ledger.chosen())
        for _ in range(3):  # a machine without a batch system starts what is in its queue
            with suppress(TransportError):
                runner.poll()
            run_program(campaign.transport, _QUIET, campaign.runs, names)
    return campaign.counts(jobs, faults=faults.injected)


def _is_cancelled(runner: Runner, jobs: Sequence[Job]) -> bool:
    """Whether the site has heard of it: a job that it starts before that may run."""
    try:
        runner.cancel(jobs)
    except TransportError:
        return False
    return True


_ACCEPT = Program("accept", 'touch "$1/accept"')
_QUIET = Program(
    "quiet",
    """cd "$1" || exit
lines() { cat "$1" 2>/dev/null | wc -l; }
until [ "$(lines accept.calls)" -le "$(lines accept.done)" ]; do sleep 0.1; done
command -v squeue >/dev/null 2>&1 || { sleep 0.3; exit 0; }
for name in $2; do while [ -n "$(squeue -h -a -n "$name" -o %i)" ]; do sleep 0.2; done; done""",
)
"""Waits until everything that was submitted has left the queue."""


def _faulted(campaign: Campaign, seed: int) -> Counts:
    """Run one campaign with faults; in some, each error restarts the client, in some there are two clients."""
    if _is_cancelled_in_doubt(seed):
        return _cancelled_in_doubt(campaign, seed)
    faults = RandomFaults(seed)
    draw = random.Random(f"how {seed}")
    way = draw.choice(("one client", "one client", "restarted", "two clients"))
    transport = FaultyTransport(_conditioned(campaign, seed), faults)
    if way == "two clients":
        other = threading.Thread(
            target=_second, args=(campaign, FaultyTransport(campaign.transport, RandomFaults(-seed - 1)))
        )
        other.start()
    for _ in range(20 if way == "restarted" else 1):
        jobs = campaign.make_jobs()
        with _runner(campaign, transport) as runner:
            try:
                drive(runner, jobs, between=_restart if way == "restarted" else None)
                break
            except _Restarted:
                faults.injected += 1
    if way == "two clients":
        other.join()
    return campaign.counts(jobs, faults=faults.injected)


class _Restarted(Exception):
    """The client has ended after an error; a new one knows nothing but the ledger."""


def _restart() -> None:
    raise _Restarted


def _runner(campaign: Campaign, transport: FaultyTransport) -> Runner:
    return campaign.runner(transport, campaign="one")


def _second(campaign: Campaign, transport: FaultyTransport) -> None:
    with _runner(campaign, transport) as runner:
        drive(runner, campaign.make_jobs())


def _all(make: Callable[[int], Campaign], seeds: range, *, keyword: str) -> Counts:
    """Run the campaigns, a few at a time. A failure prints the command that repeats that campaign."""

    def one(seed: int) -> Counts:
        try:
            counts = _faulted(make(seed), seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r}; repeat it with\n  {_command(seed, keyword)}") from error
        if not counts.clean:
            print(f"seed {seed}: {counts}; repeat it with\n  {_command(seed, keyword)}")
        return counts

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(pool.map(one, seeds), Counts())


def _command(seed: int, keyword: str) -> str:
    variables = f"SCHEDULER_SOAK_SEED={seed} SCHEDULER_SOAK_CAMPAIGNS=1"
    return f"{variables} .venv/bin/pytest tests/faults/test_random_campaigns.py -k {keyword}"


@pytest.mark.slow
@pytest.mark.timeout(1800 + 20 * _CAMPAIGNS)
def test_local_campaigns_reach_their_true_end_whatever_fails(tmp_path: Path, check_counts: Check) -> None:
    def make(seed: int) -> Campaign:
        folder = tmp_path / str(seed)
        return campaign_at(local_site(folder), LocalTransport(), folder, _tasks(seed))

    count = max(1, _CAMPAIGNS - ON_SLURM)
    check_counts(_all(make, range(_SEED, _SEED + count), keyword="local"))
    assert not list(tmp_path.rglob(".*.part"))  # no partial download is left


@pytest.mark.slow
@pytest.mark.timeout(1800 + 20 * _CAMPAIGNS)
def test_campaigns_on_pbs_reach_their_true_end_whatever_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check_counts: Check
) -> None:
    """On the fake PBS: its wrappers print more, fail after submitting, or accept a batch late."""

    def make(seed: int) -> Campaign:
        folder = tmp_path / str(seed)
        return campaign_at(local_site(folder, scheduler="pbs"), LocalTransport(), folder, _tasks(seed))

    with tempfile.TemporaryDirectory(prefix="pbs-") as folder:
        pbs = LocalFakePbs.started(Path(folder))
        monkeypatch.setenv("PATH", pbs.path)
        try:
            check_counts(_all(make, range(_SEED, _SEED + max(1, ON_PBS)), keyword="pbs"))
        finally:
            pbs.stop()


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.timeout(1800 + 40 * _CAMPAIGNS)
def test_campaigns_on_slurm_reach_their_true_end_whatever_fails(
    cluster: Cluster, tmp_path: Path, check_counts: Check
) -> None:
    site = cluster.site("random", limits={"poll_seconds": 0.5})
    transport = transport_to(site)

    def make(seed: int) -> Campaign:
        return campaign_at(site, transport, tmp_path / str(seed), _tasks(seed))

    check_counts(_all(make, range(_SEED, _SEED + max(1, ON_SLURM)), keyword="slurm"))
    transport.close()
