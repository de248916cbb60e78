"""``scheduler run`` and ``scheduler submit``: the jobs of a file go to a site, once."""

from __future__ import annotations

import hashlib
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import typer

from scheduler.campaign.jobfile import JobFile, read_job_file
from scheduler.cli import follow, selection
from scheduler.cli.screen import console, format, tables
from scheduler.engine.connect import transport_to
from scheduler.errors import BatchError, SchedulerError, TransportError
from scheduler.job.job import Job
from scheduler.job.state import Cause
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow
from scheduler.runner import Runner
from scheduler.site.catalog import find_site


@dataclass
class Sending:
    """The jobs of a file on their way to a site.

    Attributes:
        refused: what the batch system said to those that it did not take; empty if it took all.
    """

    file: JobFile
    runner: Runner
    campaign: str
    jobs: list[Job] = field(default_factory=list)
    refused: str = ""

    @property
    def title(self) -> str:
        """What a person calls them."""
        return f"{self.campaign} on {self.runner.site.name}"

    def rows(self) -> list[JobRow]:
        """The jobs as the ledger has them now."""
        return self.runner.ledger.of_keys(self.runner.keys(self.jobs))


def run(file: Path, site: str, *, campaign: str | None, again: bool, timeout: float | None, show: Sequence[str],
        json: bool) -> int:  # fmt: skip
    """Submit, wait, bring home, show."""
    with _opened(file, site, campaign=campaign, again=again) as sending:
        _send(sending)
        if sending.refused and json:
            console.complain(sending.refused)
        try:
            follow.watch(sending.runner.session, _keys(sending), title=sending.title, timeout=timeout)
            well = True
        except SchedulerError as error:
            console.complain(str(error))
            _say_how_to_go_on(sending.campaign)
            well = False
        jobs = sending.rows()
    show_results(jobs, show=show, json=json)
    return exit_code(jobs, well=well)


def submit(file: Path, site: str, *, campaign: str | None, again: bool, json: bool) -> int:
    """Submit, and leave."""
    with _opened(file, site, campaign=campaign, again=again) as sending:
        _send(sending)
        jobs = sending.rows()
    if sending.refused:
        console.complain(sending.refused)
    if json:
        console.print_json([format.as_json(job) for job in jobs])
    else:
        widest = max(len(console.visible(job.job_id)) for job in jobs)
        for job in jobs:
            console.print_line(f"{console.visible(job.job_id):<{widest}}  {job.status!s:<10}  {job.shown_id}".rstrip())
    if any(not format.done_with(job) for job in jobs):
        console.say(f"{_wait_command(sending.campaign)}   waits for them and brings their outputs home", "dim")
    return 1 if sending.refused else 0


def show_results(jobs: Sequence[JobRow], *, show: Sequence[str], json: bool) -> None:
    """What came of jobs: a table or JSON on stdout, what failed jobs said on stderr."""
    if json:
        console.print_json([format.as_json(job) for job in jobs])
        return
    tables.results(jobs, show=show)


def exit_code(jobs: Sequence[JobRow], *, well: bool) -> int:
    """3 if one did not complete; 1 if something else went wrong."""
    return 3 if any(map(format.did_not_complete, jobs)) else 0 if well else 1


def campaign_of(file: JobFile, asked: str | None) -> str:
    """The campaign that was asked for, or the file's own, or one made of its name and place.

    The same file is the same campaign wherever it is called from, so that submitting it twice submits it once.
    """
    place = hashlib.sha256(str(file.path.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:6]
    return asked or file.campaign or f"{console.visible(file.path.stem)}-{place}"


@contextmanager
def _opened(file: Path, site: str, *, campaign: str | None, again: bool) -> Iterator[Sending]:
    """Jobs and runner, nothing sent. Ctrl-C is answered with what becomes of the jobs, and what goes on with them.

    Raises:
        SchedulerError: file or site are wrong.
    """
    job_file = read_job_file(file)
    jobs, place, ledger = job_file.jobs(), find_site(site), Ledger()
    name = selection.run_of(ledger, campaign_of(job_file, campaign), place.name, again=again)
    transport = transport_to(place, prompter=console.prompter())
    with Runner(place, campaign=name, ledger=ledger, transport=transport) as runner:
        try:
            yield Sending(job_file, runner, name, jobs)
        except KeyboardInterrupt:
            if ledger.of_campaign(name, place.name):
                _say_how_to_go_on(name)
            else:
                console.say("Nothing was submitted.")
            raise


def _send(sending: Sending) -> None:
    known = _known(sending)
    _say_what_is_known(sending, known)
    new, site = len(sending.jobs) - len(known), sending.runner.site.name
    silent = not new or console.is_plain(sys.stderr) or not console.talk().is_terminal
    try:
        with nullcontext() if silent else _spinner(f"submitting to {site}"):
            sending.runner.submit(sending.jobs)
    except BatchError as error:
        sending.refused = str(error)
        if not _refused(sending):
            raise
    except TransportError as error:
        console.complain(str(error))
        console.say("Nothing is lost: the same command goes on with these jobs.")
        raise typer.Exit(1) from None
    taken = new - len(_refused(sending))
    if taken:
        console.say(f"{console.number_of(taken, 'job')} submitted to {site}, campaign {sending.campaign}")


def _spinner(text: str) -> AbstractContextManager[None]:
    status = console.talk().status(text)
    return console.moving(status.start, status.stop)


def _refused(sending: Sending) -> list[JobRow]:
    return [row for row in sending.rows() if row.status.cause is Cause.REFUSED]


def _known(sending: Sending) -> list[JobRow]:
    """Those of the jobs that this campaign has submitted before, and that were taken."""
    ids = {job.job_id for job in sending.jobs}
    before = sending.runner.ledger.of_campaign(sending.campaign, sending.runner.site.name)
    newest = {row.job_id: row for row in before if row.job_id in ids and row.status.cause is not Cause.REFUSED}
    return list(newest.values())


def _say_what_is_known(sending: Sending, known: Sequence[JobRow]) -> None:
    if not known:
        return
    first = min(row.created for row in known)
    ago = format.age(time.time() - first)
    console.say(
        f"submitted before: {len(known)} of {console.number_of(len(sending.jobs), 'job')} ({ago} ago, campaign "
        f"{console.visible(sending.campaign)}); --again makes a new run"
    )
    if sending.file.path.stat().st_mtime > first:
        console.say(
            f"{console.visible(sending.file.path.name)} has changed since; those jobs are what it said then", "yellow"
        )


def _keys(sending: Sending) -> list[int]:
    return sending.runner.keys(sending.jobs)


def _wait_command(campaign: str) -> str:
    return f"scheduler wait --campaign {shlex.quote(campaign)}"


def _say_how_to_go_on(campaign: str) -> None:
    console.say(f"The jobs go on without us. To wait for them again:\n  {_wait_command(campaign)}")
