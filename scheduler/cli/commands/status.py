"""``scheduler status``: prints the states of jobs, from the ledger after a poll of their sites."""

from __future__ import annotations

import time
from collections.abc import Sequence

from scheduler.cli import report
from scheduler.cli.screen import console, tables
from scheduler.cli.selection import Selection
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow

_RECENT_SECONDS = 86400.0


def status(selection: Selection, *, everything: bool, refresh: bool, json: bool) -> int:
    """Print the states of jobs. Returns the exit code: 1 if a site could not be polled.

    Args:
        everything: print also jobs that finished more than a day ago.
        refresh: poll the sites of unfinished and recently lost jobs first.
    """
    ledger = Ledger()
    report.warn_of_loss(ledger)
    jobs = selection.rows(ledger) if everything or selection.job_ids else _recent(ledger, selection)
    open_jobs = [job for job in jobs if not job.status.final] + ledger.lost(job.key for job in jobs)
    no_errors = True
    if refresh and open_jobs:
        from scheduler.cli import follow

        with console.on_interrupt("Interrupted. scheduler status --no-refresh prints the last known states."):
            one_site = len({job.site for job in open_jobs}) == 1
            no_errors = follow.poll(open_jobs, ledger, asked=one_site or not selection.empty)
        jobs = ledger.of_keys([job.key for job in jobs])
    why_none = "" if jobs else _why_none(ledger, selection)
    if json:
        report.print_json(jobs)
    elif jobs:
        tables.status(report.checked_locally(jobs))
        _print_uncollected(jobs)
    else:
        console.print_message(why_none)
    return 0 if no_errors else 1


def _recent(ledger: Ledger, selection: Selection) -> list[JobRow]:
    """The selected jobs that are unfinished or not collected, or have changed in the last 24 hours."""
    since = time.time() - _RECENT_SECONDS
    return ledger.chosen(sites=selection.sites(ledger), campaign=selection.campaign, not_done=True, since=since)


def _why_none(ledger: Ledger, selection: Selection) -> str:
    """The message for when no job matches.

    Raises:
        SchedulerError: there is no such campaign.
    """
    older = ledger.count() if selection.empty else len(selection.rows(ledger))
    if older:
        jobs = f"{console.number_of(older, 'job')} that finished earlier"
        return f"No unfinished jobs, and none that finished in the last 24 hours. scheduler status --all prints {jobs}."
    if selection.empty:
        return "No jobs yet. To submit some: scheduler run FILE.yaml --site local"
    return f"No jobs with {selection.arguments()}."


def _print_uncollected(jobs: Sequence[JobRow]) -> None:
    uncollected = sum(job.status.final and not job.collected for job in jobs)
    if uncollected:
        console.print_message(
            f"{console.number_of(uncollected, 'job')} finished and not collected; to download outputs: "
            "scheduler collect",
            "dim",
        )
