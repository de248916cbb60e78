"""Full and read-only disks, local and remote, outputs that change or cannot be written, clocks that are wrong."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scheduler import BatchError, LedgerError, OutputError
from scheduler.engine.identity import Rules
from scheduler.transports.base import Expanded, Program, Reply
from scheduler.transports.local.transport import LocalTransport
from tests.wrapped import Streams, Wrapped

from .campaign import FAILS, USUAL, Campaign, Task, campaign_at, drive, is_complete, local_site
from .conftest import Check
from .faulty_transport import Fault, FaultyTransport

if TYPE_CHECKING:
    from typing_extensions import Unpack

Mount = Callable[[Path, str], None]


@pytest.fixture
def tmpfs() -> Iterator[Mount]:
    """Mounts a small file system in memory, with options."""
    mounted: list[Path] = []

    def mount(at: Path, options: str) -> None:
        if os.geteuid() != 0:
            pytest.skip("mounting a small file system needs root")
        at.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(at)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no small file system can be mounted on this machine: {done.stderr.strip()}")
        mounted.append(at)

    yield mount
    for at in mounted:
        subprocess.run(["umount", "-l", str(at)], check=True)


@contextmanager
def _full(folder: Path, *, but: int) -> Iterator[None]:
    """Fill the file system of a folder until `but` bytes are left."""
    free = os.statvfs(folder)
    filler = folder / "filler"
    filler.write_bytes(b"x" * max(0, free.f_bavail * free.f_frsize - but))
    try:
        yield
    finally:
        filler.unlink()


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    return campaign_at(local_site(tmp_path), LocalTransport(), tmp_path / "campaign", USUAL)


def test_a_work_folder_that_is_full_at_each_step_of_a_submission_runs_nothing_twice(
    tmp_path: Path, tmpfs: Mount, check_counts: Check
) -> None:
    """One campaign is submitted with more and more free space, so that the disk is full one step later each time."""
    tmpfs(tmp_path / "disk", "size=2m")
    site = local_site(tmp_path, work_dir=str(tmp_path / "disk" / "work"), limits={"poll_seconds": 0.1, "running": 1})
    campaign = campaign_at(site, LocalTransport(), tmp_path / "campaign", (Task(), FAILS, Task(minutes=6)))
    messages, faults = [], 0
    with campaign.runner() as runner:
        for pages in range(0, 40, 2):
            with _full(tmp_path / "disk", but=pages * 4096):
                try:
                    runner.submit(campaign.jobs)
                except BatchError as error:
                    messages.append(str(error))
                    faults += 1
                else:
                    break
        assert messages, "the disk was never full"
        print(*messages, sep="\n")
        drive(runner, campaign.jobs)
    check_counts(campaign.counts(faults=faults))


def test_a_ledger_that_cannot_be_written_is_an_error_before_anything_is_sent(tmp_path: Path, tmpfs: Mount) -> None:
    sent: list[str] = []

    def plan(name: str, _: int) -> Fault | None:
        sent.append(name)
        return None

    campaign = campaign_at(local_site(tmp_path), LocalTransport(), tmp_path / "campaign", (Task(),))
    tmpfs(campaign.folder / "ledger", "size=1m")
    with campaign.runner(FaultyTransport(campaign.transport, plan)) as runner:
        with (
            _full(campaign.folder / "ledger", but=0),
            pytest.raises(LedgerError, match=r"disk full|No space|nothing was"),
        ):
            runner.submit(campaign.jobs)
        assert sent == [] and not list((campaign.folder / "ledger" / "spool").iterdir())
        drive(runner, campaign.jobs)
    subprocess.run(["mount", "-o", "remount,ro", str(campaign.folder / "ledger")], check=True)
    with pytest.raises(LedgerError, match=r"read-only.*SCHEDULER_STATE_DIR"):
        campaign.runner()
    assert campaign.counts().clean


def test_an_output_that_cannot_be_written_locally_delays_no_other_job(campaign: Campaign, check_counts: Check) -> None:
    folder = Path(campaign.jobs[1].working_dir)
    remote = on_a_remote_host(campaign)
    with remote.runner() as runner:
        runner.submit(remote.jobs)
        folder.write_text("a file where a folder should be")
        with pytest.raises(OutputError, match="local 1"):
            runner.wait(remote.jobs, timeout=600)
        assert all(is_complete(job, n) for n, job in enumerate(remote.jobs) if n != 1)
        assert [row.collected for row in runner.ledger.chosen()].count(False) == 1
        folder.unlink()
        drive(runner, remote.jobs)
    check_counts(remote.counts())


def on_a_remote_host(campaign: Campaign) -> Campaign:
    """The same campaign on a site that is not local: its jobs run in the work folder, and outputs are downloaded."""
    campaign.site = campaign.site.model_copy(update={"transport": "ssh", "host": "nowhere"})
    return campaign


def test_an_output_that_changes_during_its_download_is_downloaded_again(
    campaign: Campaign, check_counts: Check
) -> None:
    remote = on_a_remote_host(campaign)
    out: list[Path] = []

    def plan(name: str, _: int) -> Fault | None:
        if name == "fetch" and not out:
            out.extend(Path(os.path.expandvars(remote.site.work_dir)).rglob("out.txt"))
            with out[0].open("ab") as file:
                file.write(b"more")
        return None

    with remote.runner(FaultyTransport(remote.transport, plan)) as runner:
        runner.submit(remote.jobs)
        while not all(row.status.final for row in runner.ledger.chosen()):
            time.sleep(0.05)
            runner.session.poll()
        with suppress(OutputError):
            runner.collect(remote.jobs)
        assert [row.collected for row in runner.ledger.chosen()].count(False) == 1
        with out[0].open("r+b") as file:
            file.truncate(out[0].stat().st_size - 4)
        drive(runner, remote.jobs)
    check_counts(remote.counts())


class Skewed(Wrapped):
    """A machine on which `date` is wrong: in jobs, or everywhere else."""

    def __init__(self, folder: Path, seconds: int, *, in_jobs: bool) -> None:
        test = "-n" if in_jobs else "-z"
        folder.mkdir()
        date = folder / "date"
        date.write_text(
            f'#!/bin/sh\n[ {test} "$SCHEDULER_ELEMENT" ] && set -- -d "{seconds} seconds" "$@"\nexec /bin/date "$@"\n'
        )
        date.chmod(0o755)
        super().__init__(LocalTransport())
        self.folder = folder

    def run(self, program: Program, args: Sequence[str | Expanded] = (), **streams: Unpack[Streams]) -> Reply:
        path = f"PATH='{self.folder}':$PATH; export PATH\n"
        return super().run(replace(program, text=path + program.text), args, **streams)


@pytest.mark.parametrize("seconds", [60, -60])
@pytest.mark.parametrize("in_jobs", [True, False], ids=["of the node", "of the login node"])
def test_a_clock_that_is_a_minute_wrong_changes_no_end(
    tmp_path: Path, check_counts: Check, seconds: int, in_jobs: bool
) -> None:
    transport = Skewed(tmp_path / "bin", seconds, in_jobs=in_jobs)
    campaign = campaign_at(local_site(tmp_path), LocalTransport(), tmp_path / "campaign", USUAL)
    with campaign.runner(transport) as runner:
        drive(runner, campaign.jobs)
    ended = campaign.jobs[0].status.ended
    assert ended is not None and (abs(ended.timestamp() - time.time()) > 40) is in_jobs
    check_counts(campaign.counts())


def test_a_bundle_that_exists_neither_locally_nor_remotely_is_lost(campaign: Campaign) -> None:
    with campaign.runner() as runner:
        runner._submitter.record(campaign.jobs, Rules())
        token = runner.ledger.chosen()[0].bundle
        runner.ledger.spool(token).unlink()
        runner.session.poll()
        assert {row.status.cause.word for row in runner.ledger.chosen()} == {"lost"}
        assert campaign.recorded() == {}


def test_a_submission_that_never_arrived_is_withdrawn_by_cancel(campaign: Campaign) -> None:
    with campaign.runner() as runner:
        runner._submitter.record(campaign.jobs, Rules())
        keys = [row.key for row in runner.ledger.chosen()]
        runner.session.cancel(keys)
        assert {str(row.status) for row in runner.ledger.of_keys(keys)} == {"cancelled"}
        runner.session.poll()
    assert campaign.recorded() == {}
