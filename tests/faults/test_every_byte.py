"""The connection is lost after each k-th byte, in both directions, of each remote program."""

from __future__ import annotations

import contextlib
import itertools
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from scheduler import Runner, Site, TransportError
from scheduler.engine.connect import transport_to
from scheduler.transports.base import Reply
from scheduler.transports.local.transport import LocalTransport
from tests.amount import amount
from tests.testcluster import Cluster
from tests.transports.relay import Relay

from .campaign import USUAL, Campaign, campaign_at, drive, local_site
from .conftest import Check
from .faulty_transport import Fault, FaultyTransport, OneFault

Act = Callable[[], None]


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    site = local_site(tmp_path, limits={"poll_seconds": 0.001, "running": 4})
    return campaign_at(site, LocalTransport(), tmp_path / "campaign", USUAL)


def _ups(size: int, cuts: int) -> Iterable[Fault]:
    """Cuts of what is sent, at equal distances: so many in `make soak`, half as many in `make test`."""
    cuts = amount(cuts // 2, soak=cuts)
    return (Fault(up=k) for k in range(0, size + 1, max(1, size // cuts)))


def _downs(size: int, cuts: int) -> Iterable[Fault]:
    """Cuts of what is received."""
    cuts = amount(cuts // 2, soak=cuts)
    return (Fault(down=k) for k in range(0, size + 1, max(1, size // cuts)))


def _cut(fault_plan: OneFault, name: str, faults: Iterable[Fault], act: Act) -> None:
    for fault in faults:
        fault_plan.at(name, fault)
        with contextlib.suppress(TransportError):
            act()


def _all_ended(runner: Runner) -> bool:
    runner.session.poll()
    return all(row.status.final for row in runner.ledger.chosen())


def test_one_campaign_is_cut_at_every_few_bytes_of_submit_poll_and_collect(
    campaign: Campaign, check_counts: Check
) -> None:
    fault_plan = OneFault()
    runner = campaign.runner(FaultyTransport(campaign.transport, fault_plan), campaign="one")
    jobs = campaign.jobs
    _cut(fault_plan, "submit", [Fault(up=0)], lambda: runner.submit(jobs))
    _cut(fault_plan, "submit", _ups(fault_plan.sizes["submit"], 60), lambda: runner.submit(jobs))
    _cut(fault_plan, "submit", _downs(120, 60), lambda: runner.submit(jobs))
    runner.submit(jobs)
    _cut(fault_plan, "poll", [Fault(up=0)], runner.session.poll)
    _cut(fault_plan, "poll", _ups(fault_plan.sizes["poll"], 20), runner.session.poll)
    _cut(fault_plan, "poll", _downs(400, 40), runner.session.poll)
    while not _all_ended(runner):
        time.sleep(0.1)
    keys = [row.key for row in runner.ledger.chosen()]
    for name in ("manifest", "fetch"):
        _cut(fault_plan, name, [Fault(up=0)], lambda: runner.session.collect(keys))
        _cut(fault_plan, name, _ups(fault_plan.sizes[name], 15), lambda: runner.session.collect(keys))
        _cut(
            fault_plan,
            name,
            _downs(1500 if name == "manifest" else 4 * 71000, 25),
            lambda: runner.session.collect(keys),
        )
    drive(runner, jobs)
    runner.close()
    assert fault_plan.used > amount(110, soak=220)
    check_counts(campaign.counts(faults=fault_plan.used))


def test_one_campaign_is_cut_at_every_few_bytes_of_cancel(tmp_path: Path, check_counts: Check) -> None:
    from .killed_client import ENDLESS

    site = local_site(tmp_path, limits={"poll_seconds": 0.001, "running": 4})
    campaign = campaign_at(site, LocalTransport(), tmp_path / "campaign", ENDLESS)
    fault_plan = OneFault()
    runner = campaign.runner(FaultyTransport(campaign.transport, fault_plan))
    runner.submit(campaign.jobs)
    while "0.begun" not in campaign.recorded():
        time.sleep(0.1)
    _cut(fault_plan, "cancel", [Fault(up=0)], lambda: runner.cancel(campaign.jobs))
    _cut(fault_plan, "cancel", _ups(fault_plan.sizes["cancel"], 10), lambda: runner.cancel(campaign.jobs))
    _cut(fault_plan, "cancel", [Fault(down=0), Fault(down=1)], lambda: runner.cancel(campaign.jobs))
    runner.cancel(campaign.jobs)
    runner.wait(campaign.jobs, timeout=600)
    runner.close()
    check_counts(campaign.counts(faults=fault_plan.used))


@pytest.mark.parametrize("exit_code", [0, 74])
def test_a_truncated_reply_changes_no_job_that_is_not_in_it(
    campaign: Campaign, check_counts: Check, exit_code: int
) -> None:
    """Cut at any byte, with or without an error code of the remote program: what arrived is true."""
    fault_plan = OneFault()
    runner = campaign.runner(FaultyTransport(campaign.transport, fault_plan), campaign="one")
    runner.submit(campaign.jobs)
    while "2.ended" not in campaign.recorded():
        time.sleep(0.05)
    for k in range(0, 640, amount(32, soak=16)):
        fault_plan.at("poll", Fault(change=partial(_shortened, length=k, exit_code=exit_code)))
        runner.session.poll()
    drive(runner, campaign.jobs)
    runner.close()
    check_counts(campaign.counts(faults=fault_plan.used))


def _shortened(reply: Reply, *, length: int, exit_code: int) -> Reply:
    return replace(reply, stdout=reply.stdout[:length], exit_code=exit_code)


@pytest.mark.cluster
@pytest.mark.slow
def test_a_tcp_connection_to_slurm_that_ends_again_and_again(
    cluster: Cluster, tmp_path: Path, check_counts: Check
) -> None:
    """Twenty-five TCP connections end after some thousand bytes: in the greeting, a bundle, a reply or the outputs."""
    draw = random.Random(4)
    sizes = itertools.chain(
        (draw.choice((900, 3000, 5000, 7000, 9000, 14000)) for _ in range(25)), itertools.repeat(None)
    )
    with Relay(22, host=cluster.host, budget=lambda: next(sizes)) as relay:
        site = _through(relay, cluster, tmp_path)
        plain = transport_to(cluster.site("relayed"))
        campaign = campaign_at(site, plain, tmp_path / "campaign", USUAL)
        transport = transport_to(site)
        with campaign.runner(transport, campaign="one") as runner:
            drive(runner, campaign.jobs)
        plain_counts = campaign.counts(faults=relay.cuts)
        plain.close()
    assert relay.cuts == 25
    check_counts(plain_counts)


def _through(relay: Relay, cluster: Cluster, folder: Path) -> Site:
    """The cluster, through a relay on loopback."""
    key = (cluster.folder / "known_hosts").read_text().split(" ", 1)[1]
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{relay.port} {key}")
    ssh = {
        "user": "alice", "port": relay.port, "identity_file": str(cluster.folder / "id_ed25519"),
        "known_hosts": str(folder / "known_hosts"),
    }  # fmt: skip
    return cluster.site("relayed", host="127.0.0.1", ssh=ssh, limits={"poll_seconds": 0.2})
