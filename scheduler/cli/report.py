"""What a command prints about its jobs at the end, and its exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scheduler.cli.screen import console, format, tables
from scheduler.job.outcome.local_copies import changes, checked
from scheduler.job.state import JobState
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow

WAIT_HINT = "to wait and download outputs: "
"""Printed before the command that waits for the jobs."""


def print_results(jobs: Sequence[JobRow], *, show: Sequence[str], json: bool) -> None:
    """Print jobs with their results, as a table or JSON on stdout; with a table, errors of failed jobs on stderr.

    Args:
        show: the results that get a column in the table; without any, those that differ between the jobs.
    """
    if json:
        print_json(jobs)
        return
    tables.results(jobs, show=show)
    for job in jobs:
        if job.status.state is JobState.COMPLETED and job.facts is not None and (why := changes(job.facts.files)):
            console.print_message(console.printable(f"{job.job_id}: {why}"), "yellow")


def print_json(jobs: Sequence[JobRow]) -> None:
    """Print jobs as JSON on stdout."""
    console.print_json([format.as_json(job) for job in checked_locally(jobs)])


def checked_locally(jobs: Sequence[JobRow]) -> list[JobRow]:
    """The jobs, with what has happened to their outputs on this machine in the reasons of those that completed."""
    return [replace(job, status=checked(job.status, job.facts)) for job in jobs]


def warn_of_loss(ledger: Ledger) -> None:
    """Report submissions that were recorded in this state folder and are not in the ledger."""
    lost = ledger.recovery.lost()
    if lost:
        console.print_message(ledger.recovery.loss_message(lost), "yellow")


def no_jobs(message: str, *, json: bool) -> int:
    """Print why there is nothing to do, with `json` also an empty list. Returns the exit code 0."""
    console.print_message(message)
    if json:
        console.print_json([])
    return 0


def exit_code(jobs: Sequence[JobRow], *, no_errors: bool) -> int:
    """3 if a job finished without completing, else 1 if there were errors or outputs are not local any more, else 0."""
    if any(map(format.did_not_complete, jobs)):
        return 3
    are_local = not any(job.facts is not None and changes(job.facts.files) for job in jobs)
    return 0 if no_errors and are_local else 1
