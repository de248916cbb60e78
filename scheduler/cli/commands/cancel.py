"""``scheduler cancel``: has the batch systems cancel jobs, or withdraws jobs whose site no longer exists."""

from __future__ import annotations

import sys

import typer

from scheduler.cli import report
from scheduler.cli.screen import console
from scheduler.cli.selection import Selection
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow


def cancel(selection: Selection, *, everything: bool, yes: bool, json: bool) -> int:
    """Request the batch systems to cancel unfinished jobs. Returns the exit code.

    Args:
        everything: all unfinished jobs may be selected, after a confirmation.
        yes: do not ask for confirmation.
    """
    from scheduler.cli import follow

    ledger = Ledger()
    jobs = _unfinished(selection, ledger, everything=everything)
    if not jobs:
        return report.no_jobs("Nothing to cancel: no selected job is unfinished.", json=json)
    if everything and not yes:
        sites = console.join_with_and(sorted({job.site for job in jobs}))
        _confirm(f"Cancel {console.number_of(len(jobs), 'job')} on {sites}?")
    with console.on_interrupt(
        "Interrupted. Some jobs may already be cancelled. Run the same command again to cancel the others."
    ):
        no_errors = follow.cancel(jobs, ledger)
    if json:
        report.print_json(ledger.of_keys([job.key for job in jobs]))
    elif no_errors:
        console.print_message(
            f"cancellation of {console.number_of(len(jobs), 'job')} requested; to see the result: scheduler status"
        )
    return 0 if no_errors else 1


def forget(selection: Selection, *, everything: bool, yes: bool, json: bool) -> int:
    """Record unfinished jobs as lost without contacting their site. Returns the exit code.

    Args:
        everything: all unfinished jobs may be selected.
        yes: do not ask for confirmation.
    """
    from scheduler.engine import withdraw

    ledger = Ledger()
    jobs = _unfinished(selection, ledger, everything=everything)
    if jobs and not yes:
        _confirm(f"Record {console.number_of(len(jobs), 'job')} as lost? They may still run on the cluster.")
    withdraw.forget(jobs, ledger)
    if json:
        report.print_json(ledger.of_keys([job.key for job in jobs]))
    console.print_message(f"{console.number_of(len(jobs), 'job')} recorded as lost; nothing was changed on the cluster")
    return 0


def _unfinished(selection: Selection, ledger: Ledger, *, everything: bool) -> list[JobRow]:
    if not selection.job_ids and not selection.campaign and not everything:
        raise typer.BadParameter("select jobs by their ids, by --campaign, or with --all")
    jobs = [job for job in selection.rows(ledger) if not job.status.final]
    selection.refuse_ambiguous(jobs)
    return jobs


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("cannot ask for confirmation: standard input is not a terminal; use --yes")
    typer.confirm(question, abort=True, err=True)
