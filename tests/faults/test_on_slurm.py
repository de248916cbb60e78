"""Faults around a real Slurm whose services run: full disks, wrong clocks, login files, changing outputs.

And a node that fails under a job with a retry.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scheduler import BatchError, JobState, OutputError, Runner
from scheduler.batch.shown_id import shown_id
from scheduler.engine.connect import transport_to
from scheduler.site.site import Site
from scheduler.transports.base import Expanded, Program, Reply, Transport
from tests.testcluster import Cluster
from tests.wrapped import Streams, Wrapped

from .broken_cluster import BrokenCluster, broken_cluster, wait_for
from .campaign import FAILS, USUAL, Campaign, Task, campaign_at, drive
from .conftest import Check
from .faulty_transport import Fault, FaultyTransport

if TYPE_CHECKING:
    from typing_extensions import Unpack

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
Start = Callable[..., Campaign]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Makes campaigns on sites of the cluster."""
    opened: list[Transport] = []

    def make(site: Site, tasks: Sequence[Task] = USUAL) -> Campaign:
        opened.append(transport_to(site))
        return campaign_at(site, opened[-1], tmp_path / f"campaign {len(opened)}", tasks)

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def broken(cluster: Cluster) -> Iterator[BrokenCluster]:
    with broken_cluster(cluster) as services:
        yield services


@pytest.fixture
def small_disk(cluster: Cluster) -> Iterator[str]:
    """A folder of alice on a file system of 3 MB."""
    folder = "/home/alice/small disk"
    mount = 'mkdir -p "$1" && mount -t tmpfs -o size=3m tmpfs "$1" && chown alice "$1"'
    cluster.enter("sh", "-c", mount, "sh", folder)
    yield folder
    cluster.enter("umount", "-l", folder)


@contextmanager
def full(cluster: Cluster, folder: str, *, but: int) -> Iterator[None]:
    """Fill the file system until `but` bytes are left."""
    fill = 'cd "$1" && head -c $(($(stat -f -c "%a * %S" .) - $2)) /dev/zero >filler; :'
    cluster.enter("sh", "-c", fill, "sh", folder, str(but))
    try:
        yield
    finally:
        cluster.enter("rm", "-f", f"{folder}/filler")


def test_a_work_folder_that_is_full_at_each_step_runs_nothing_twice(
    start: Start, cluster: Cluster, small_disk: str, check_counts: Check
) -> None:
    campaign = start(cluster.site("small", work_dir=f"{small_disk}/work"), (Task(), FAILS, Task(minutes=6)))
    faults = 0
    with campaign.runner() as runner:
        for pages in range(0, 60, 5):
            with full(cluster, small_disk, but=pages * 4096):
                try:
                    runner.submit(campaign.jobs)
                except BatchError:
                    faults += 1
                else:
                    break
        drive(runner, campaign.jobs)
    assert faults > 2
    check_counts(campaign.counts(faults=faults))


def test_a_login_file_that_prints_megabytes_hides_no_reply(start: Start, cluster: Cluster, check_counts: Check) -> None:
    chatter = "head -c 3000000 /dev/zero | tr '\\\\0' '\\n'; head -c 100000 /dev/zero | tr '\\\\0' x >&2"
    cluster.enter("sh", "-c", f'echo "{chatter}" >/home/bob/.bashrc')
    try:
        campaign = start(cluster.site("chatty", user="bob", account="other"))
        with campaign.runner() as runner:
            drive(runner, campaign.jobs)
        check_counts(campaign.counts())
    finally:
        cluster.enter("rm", "-f", "/home/bob/.bashrc")


def _wrong_date(folder: str, seconds: int) -> str:
    """Shell text that puts a `date` with a wrong clock before the others."""
    script = f'#!/bin/sh\\nexec /bin/date -d "{seconds} seconds" "$@"\\n'
    return (
        f'mkdir -p "{folder}"; printf \'{script}\' >"{folder}/date.$$"\n'
        f'chmod 700 "{folder}/date.$$"; mv "{folder}/date.$$" "{folder}/date"; PATH="{folder}:$PATH"; export PATH\n'
    )


class Skewed(Wrapped):
    """A login node on which `date` is wrong."""

    def __init__(self, inner: Transport, seconds: int) -> None:
        super().__init__(inner)
        self._date = _wrong_date("$HOME/skewed", seconds)

    def run(self, program: Program, args: Sequence[str | Expanded] = (), **streams: Unpack[Streams]) -> Reply:
        return super().run(replace(program, text=self._date + program.text), args, **streams)


@pytest.mark.parametrize("seconds", [60, -60])
def test_a_login_node_whose_clock_is_a_minute_wrong_changes_no_end(
    start: Start, cluster: Cluster, check_counts: Check, seconds: int
) -> None:
    campaign = start(cluster.site("skewed"))
    with campaign.runner(Skewed(campaign.transport, seconds)) as runner:
        drive(runner, campaign.jobs)
    check_counts(campaign.counts())


@pytest.mark.parametrize("seconds", [60, -60])
def test_nodes_whose_clocks_are_a_minute_wrong_change_no_end(
    start: Start, cluster: Cluster, check_counts: Check, tmp_path: Path, seconds: int
) -> None:
    template = tmp_path / "skewed.sh.j2"
    template.write_text(
        '{% extends "slurm.sh.j2" %}\n{% block attempt %}\n{{ super() }}'
        f"{_wrong_date('$bundle/$element/skewed', seconds)}{{% endblock %}}\n"
    )
    campaign = start(cluster.site("skewed", template=str(template)))
    with campaign.runner() as runner:
        drive(runner, campaign.jobs)
    ended = campaign.jobs[0].status.ended
    assert ended is not None and abs(ended.timestamp() - time.time()) > 20
    check_counts(campaign.counts())


def test_an_output_that_changes_during_its_download_is_downloaded_again(
    start: Start, cluster: Cluster, check_counts: Check
) -> None:
    campaign = start(cluster.site("changing"))
    changed: list[str] = []

    def plan(name: str, _: int) -> Fault | None:
        if name == "fetch" and not changed:
            row = runner.ledger.chosen(job_id="job 1")[0]
            changed.append(f"{row.folder}/{row.element}/dir/out.txt")
            cluster.enter("sh", "-c", 'printf more >>"$1"', "sh", changed[0])
        return None

    runner = campaign.runner(FaultyTransport(campaign.transport, plan))
    runner.submit(campaign.jobs)
    wait_for(lambda: _all_final(runner))
    with suppress(OutputError):
        runner.collect(campaign.jobs)
    assert [row.collected for row in runner.ledger.chosen()].count(False) == 1
    cluster.enter("truncate", "-s", "-4", changed[0])
    drive(runner, campaign.jobs)
    runner.close()
    check_counts(campaign.counts())


def _all_final(runner: Runner) -> bool:
    runner.poll()
    return all(row.status.final for row in runner.ledger.chosen())


def test_a_job_whose_node_fails_is_retried_on_another_node(
    start: Start, cluster: Cluster, broken: BrokenCluster, check_counts: Check
) -> None:
    campaign = start(cluster.site("retried", retry={"times": 1, "on": ["node failure"]}), (Task(first_seconds=3600),))
    (job,) = campaign.jobs
    with campaign.runner() as runner:
        runner.submit([job])
        wait_for(lambda: campaign.recorded().get("0.begun", 0) == 1)
        batch_id = shown_id(runner.ledger.chosen()[0])
        node = cluster.enter("squeue", "-h", "-j", batch_id, "-o", "%N").strip()
        cluster.enter("scontrol", "update", f"nodename={node}", "state=down", "reason=on-purpose")
        drive(runner, [job])
        assert (job.status.state, job.status.retries) == (JobState.COMPLETED, 1), runner.ledger.history(1)
        again = cluster.enter("sacct", "-n", "-X", "-P", "-j", shown_id(runner.ledger.chosen()[0]), "-o", "NodeList")
        assert again.strip() not in ("", node)
    assert campaign.recorded() == {"0.begun": 2, "0.ended": 1}
    check_counts(campaign.counts())
