"""``scheduler status``, ``wait``, ``collect`` and ``cancel``: jobs that any process has submitted, by the ledger."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import typer

from scheduler.cli import selection
from scheduler.cli.screen import console, format, tables
from scheduler.errors import SchedulerError
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow

_LATELY_SECONDS = 86400.0
_NO_JOBS = "No jobs yet. scheduler run FILE.yaml --site local submits some."


@dataclass(frozen=True)
class Which:
    """The jobs that somebody means: all that fit what is given."""

    job_ids: Sequence[str] = ()
    site: str | None = None
    campaign: str | None = None

    @property
    def everything(self) -> bool:
        """Nothing is given."""
        return not (self.job_ids or self.site or self.campaign)

    def of(self, ledger: Ledger) -> list[JobRow]:
        """Those jobs."""
        return selection.named(ledger, self.job_ids, site=self.site, campaign=self.campaign)

    def words(self) -> str:
        """As a person would type it."""
        options = [("--campaign", self.campaign), ("--site", self.site)]
        given = [word for name, value in options if value for word in (name, value)]
        ids = ["--", *self.job_ids] if any(one.startswith("-") for one in self.job_ids) else self.job_ids
        return shlex.join([*given, *ids])


def status(which: Which, *, everything: bool, refresh: bool, json: bool) -> int:
    """Where jobs stand."""
    ledger = Ledger()
    jobs = _lately(ledger, which) if not (everything or which.job_ids) else which.of(ledger)
    well = True
    still = [job for job in jobs if not job.status.final]
    if refresh and still:
        from scheduler.cli import follow

        with console.resumable(
            "Interrupted. The jobs go on; scheduler status --no-refresh shows them as they were last seen."
        ):
            well = follow.refresh(still, ledger)
        jobs = ledger.of_keys([job.key for job in jobs])
    nothing = "" if jobs else _nothing(ledger, which)
    if json:
        console.print_json([format.as_json(job) for job in jobs])
    elif jobs:
        tables.status(jobs)
        _say_what_is_not_home(jobs)
    else:
        console.say(nothing)
    return 0 if well else 1


def wait(which: Which, *, timeout: float | None, show: Sequence[str], json: bool) -> int:
    """Wait until jobs have ended and are home."""
    from scheduler.cli import follow
    from scheduler.cli.commands.submit import exit_code, show_results

    ledger = Ledger()
    jobs = ledger.chosen(not_done=True) if which.everything else which.of(ledger)
    if not jobs:
        return nobody("Nothing to wait for: every job has ended and is home.", json=json)
    title = which.campaign or console.number_of(len(jobs), "job")
    try:
        well = follow.wait(jobs, ledger, title=title, timeout=timeout)
    except SchedulerError as error:
        console.complain(str(error))
        well = False
    except KeyboardInterrupt:
        console.say(f"The jobs go on without us. To wait for them again:\n  scheduler wait {which.words()}".rstrip())
        raise
    jobs = ledger.of_keys([job.key for job in jobs])
    show_results(jobs, show=show, json=json)
    return exit_code(jobs, well=well)


def collect(which: Which, *, show: Sequence[str], json: bool) -> int:
    """Bring home what has ended by now."""
    from scheduler.cli import follow
    from scheduler.cli.commands.submit import exit_code, show_results

    ledger = Ledger()
    jobs = ledger.chosen(not_done=True) if which.everything else which.of(ledger)
    if not jobs:
        return nobody("Nothing to bring home: every job has ended and is home.", json=json)
    with console.resumable(
        "Interrupted. What is home stays, and the jobs go on; scheduler collect goes on where it was."
    ):
        well = follow.collect([job for job in jobs if not format.done_with(job)], ledger)
    jobs = ledger.of_keys([job.key for job in jobs])
    show_results(jobs, show=show, json=json)
    going_on = sum(not job.status.final for job in jobs)
    if going_on and not json:
        console.say(f"{console.number_of(going_on, 'job')} still {'goes' if going_on == 1 else 'go'} on", "dim")
    return exit_code(jobs, well=well)


def cancel(which: Which, *, everything: bool, sure: bool, json: bool) -> int:
    """Ask the batch systems to end jobs."""
    from scheduler.cli import follow

    ledger = Ledger()
    jobs = _to_end(which, ledger, everything=everything)
    if not jobs:
        return nobody("Nothing to cancel: none of these jobs goes on.", json=json)
    if everything and not sure:
        _ask(f"Cancel {console.number_of(len(jobs), 'job')} on {console.listed(sorted({job.site for job in jobs}))}?")
    with console.resumable("Interrupted. Some may have been asked to end; scheduler cancel asks all of them again."):
        well = follow.cancel(jobs, ledger)
    if json:
        console.print_json([format.as_json(job) for job in ledger.of_keys([job.key for job in jobs])])
    elif well:
        console.say(f"{console.number_of(len(jobs), 'job')} asked to end; scheduler status tells when they have")
    return 0 if well else 1


def forget(which: Which, *, everything: bool, sure: bool, json: bool) -> int:
    """Give up jobs whose site cannot be asked any more."""
    from scheduler.engine import withdraw

    ledger = Ledger()
    jobs = _to_end(which, ledger, everything=everything)
    if jobs and not sure:
        _ask(f"Give up {console.number_of(len(jobs), 'job')}, which may still run over there?")
    withdraw.forget(jobs, ledger)
    if json:
        console.print_json([format.as_json(job) for job in ledger.of_keys([job.key for job in jobs])])
    console.say(f"{console.number_of(len(jobs), 'job')} given up; what is over there stays as it is")
    return 0


def _to_end(which: Which, ledger: Ledger, *, everything: bool) -> list[JobRow]:
    if not which.job_ids and not which.campaign and not everything:
        raise typer.BadParameter("name jobs, or a campaign (--campaign C), or all of them (--all)")
    jobs = [job for job in which.of(ledger) if not job.status.final]
    refuse_namesakes(which, jobs)
    return jobs


def _lately(ledger: Ledger, which: Which) -> list[JobRow]:
    """Not done with, or changed in the last day."""
    since = time.time() - _LATELY_SECONDS
    return ledger.chosen(site=which.site, campaign=which.campaign, not_done=True, since=since)


def _nothing(ledger: Ledger, which: Which) -> str:
    """Why there is nothing to show.

    Raises:
        SchedulerError: there is no such campaign.
    """
    older = ledger.count() if which.everything else len(which.of(ledger))
    if not older:
        return _NO_JOBS if which.everything else "No jobs there."
    return f"Nothing goes on, and nothing has ended in the last day. scheduler status --all shows {older} older jobs."


def nobody(sentence: str, *, json: bool) -> int:
    console.say(sentence)
    if json:
        console.print_json([])
    return 0


def _say_what_is_not_home(jobs: Sequence[JobRow]) -> None:
    waiting = sum(job.status.final and not job.collected for job in jobs)
    if waiting:
        console.say(f"{console.number_of(waiting, 'job')} ended and not home yet: scheduler collect", "dim")


def refuse_namesakes(which: Which, jobs: Sequence[JobRow]) -> None:
    """Cancelling more than was meant, or trying it again, cannot be taken back."""
    seen: dict[str, JobRow] = {}
    for job in jobs if which.job_ids else ():
        other = seen.setdefault(job.job_id, job)
        if other is not job:
            both = console.listed(f"{one.campaign or 'no campaign'} on {one.site}" for one in (other, job))
            raise SchedulerError(f"{job.job_id!r} is in {both}; say which with --campaign or --site")


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here; say --yes")
    typer.confirm(question, abort=True, err=True)
