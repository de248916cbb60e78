"""Full and read-only disks on either side, outputs that change or cannot be kept, clocks that are wrong."""

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

from scheduler import BatchError, LedgerError, OutputError, WaitTimeout
from scheduler.transports.base import Expanded, Program, Reply
from scheduler.transports.local.transport import LocalTransport
from tests.wrapped import Streams, Wrapped

from .campaign import FAILS, USUAL, Campaign, Task, campaign_at, drive, is_whole, site_here
from .conftest import Judge
from .cutting import CuttingTransport, Fault

if TYPE_CHECKING:
    from typing_extensions import Unpack

Mount = Callable[[Path, str], None]


@pytest.fixture
def tmpfs() -> Iterator[Mount]:
    """Mounts a small file system of memory, with options."""
    mounted: list[Path] = []

    def mount(at: Path, options: str) -> None:
        if os.geteuid() != 0:
            pytest.skip("mounting a small file system needs root")
        at.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(at)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
        mounted.append(at)

    yield mount
    for at in mounted:
        subprocess.run(["umount", "-l", str(at)], check=True)


@contextmanager
def _full(folder: Path, *, but: int) -> Iterator[None]:
    """The file system of a folder has only so many bytes left."""
    free = os.statvfs(folder)
    filler = folder / "filler"
    filler.write_bytes(b"x" * max(0, free.f_bavail * free.f_frsize - but))
    try:
        yield
    finally:
        filler.unlink()


@pytest.fixture
def here(tmp_path: Path) -> Campaign:
    return campaign_at(site_here(tmp_path), LocalTransport(), tmp_path / "campaign", USUAL)


def test_a_work_folder_that_is_full_at_each_step_of_a_submission_runs_nothing_twice(
    tmp_path: Path, tmpfs: Mount, judge: Judge
) -> None:
    """One campaign is submitted with more and more space, so that the disk is full a step later each time."""
    tmpfs(tmp_path / "disk", "size=2m")
    site = site_here(tmp_path, work_dir=str(tmp_path / "disk" / "work"), limits={"poll_seconds": 0.1, "running": 1})
    campaign = campaign_at(site, LocalTransport(), tmp_path / "campaign", (Task(), FAILS, Task(minutes=6)))
    said, faults = [], 0
    with campaign.runner() as runner:
        for pages in range(0, 40, 2):
            with _full(tmp_path / "disk", but=pages * 4096):
                try:
                    runner.submit(campaign.jobs)
                except BatchError as error:
                    said.append(str(error))
                    faults += 1
                else:
                    break
        assert said, "the disk was never full"
        print(*said, sep="\n")
        drive(runner, campaign.jobs)
    judge(campaign.counts(faults=faults))


def test_a_ledger_that_cannot_be_written_is_told_before_anything_is_sent(tmp_path: Path, tmpfs: Mount) -> None:
    sent: list[str] = []

    def plan(name: str, _: int) -> Fault | None:
        sent.append(name)
        return None

    campaign = campaign_at(site_here(tmp_path), LocalTransport(), tmp_path / "campaign", (Task(),))
    tmpfs(campaign.folder / "ledger", "size=1m")
    with campaign.runner(CuttingTransport(campaign.transport, plan)) as runner:
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


def test_an_output_that_cannot_be_kept_here_holds_no_sibling_up(here: Campaign, judge: Judge) -> None:
    home = Path(here.jobs[1].working_dir)
    far = replace_homes(here)
    with far.runner() as runner:
        runner.submit(far.jobs)
        home.write_text("a file where a folder should be")
        with pytest.raises(OutputError, match="home 1"):
            runner.wait(far.jobs, timeout=600)
        assert all(is_whole(job, n) for n, job in enumerate(far.jobs) if n != 1)
        assert [row.collected for row in runner.ledger.chosen()].count(False) == 1
        home.unlink()
        drive(runner, far.jobs)
    judge(far.counts())


def replace_homes(campaign: Campaign) -> Campaign:
    """The same, at a machine whose jobs do not run in their homes: a work folder reached by a transport of its own."""
    campaign.site = campaign.site.model_copy(update={"transport": "ssh", "host": "nowhere"})
    return campaign


def test_an_output_that_changes_while_it_is_fetched_is_fetched_again(here: Campaign, judge: Judge) -> None:
    far = replace_homes(here)
    out: list[Path] = []

    def plan(name: str, _: int) -> Fault | None:
        if name == "fetch" and not out:
            out.extend(Path(os.path.expandvars(far.site.work_dir)).rglob("out.txt"))
            with out[0].open("ab") as file:
                file.write(b"more")
        return None

    with far.runner(CuttingTransport(far.transport, plan)) as runner:
        runner.submit(far.jobs)
        while not all(row.status.final for row in runner.ledger.chosen()):
            time.sleep(0.05)
            runner.session.poll()
        with suppress(OutputError, WaitTimeout):
            runner.wait(far.jobs, timeout=120)
        assert [row.collected for row in runner.ledger.chosen()].count(False) == 1
        with out[0].open("r+b") as file:
            file.truncate(out[0].stat().st_size - 4)
        drive(runner, far.jobs)
    judge(far.counts())


class Skewed(Wrapped):
    """A machine on which `date` is wrong, in jobs or outside of them."""

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
    tmp_path: Path, judge: Judge, seconds: int, in_jobs: bool
) -> None:
    line = Skewed(tmp_path / "bin", seconds, in_jobs=in_jobs)
    campaign = campaign_at(site_here(tmp_path), LocalTransport(), tmp_path / "campaign", USUAL)
    with campaign.runner(line) as runner:
        drive(runner, campaign.jobs)
    ended = campaign.jobs[0].status.ended
    assert ended is not None and (abs(ended.timestamp() - time.time()) > 40) is in_jobs
    judge(campaign.counts())


def test_a_bundle_that_is_neither_here_nor_there_is_lost_and_says_so(here: Campaign) -> None:
    with here.runner() as runner:
        runner._record(here.jobs)
        token = runner.ledger.chosen()[0].bundle
        runner.ledger.spool(token).unlink()
        runner.session.poll()
        assert {row.status.cause.word for row in runner.ledger.chosen()} == {"lost"}
        assert here.recorded() == {}


def test_a_submission_that_never_arrived_is_taken_back_by_cancel(here: Campaign) -> None:
    with here.runner() as runner:
        runner._record(here.jobs)
        keys = [row.key for row in runner.ledger.chosen()]
        runner.session.cancel(keys)
        assert {str(row.status) for row in runner.ledger.of_keys(keys)} == {"cancelled"}
        runner.session.poll()
    assert here.recorded() == {}
