"""``scheduler retry``: submits a new attempt of jobs that finished without completing."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from scheduler.batch.shown_id import shown_id
from scheduler.cli import follow, report
from scheduler.cli.screen import console, format
from scheduler.cli.screen.columns import column, print_columns
from scheduler.cli.selection import Selection
from scheduler.job.state import Cause, JobState
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow

_MISSING = (Cause.MISSING_OUTPUT, Cause.LOST)


def retry(
    selection: Selection, *, failed: bool, missing: bool, memory: str | None, walltime: str | None, json: bool
) -> int:
    """Submit a new attempt of jobs, and print of each whether it was retried or why not. Returns the exit code.

    Args:
        failed: of the selected jobs, only those that failed.
        missing: of the selected jobs, only those that are lost or whose outputs are missing.
        memory: the memory that the new attempts request, with a unit; None requests what the last ones did.
        walltime: likewise.
    """
    if not (selection.job_ids or failed or missing):
        raise typer.BadParameter("select jobs by their ids, or with --failed or --missing")
    ledger = Ledger()
    jobs = [job for job in selection.rows(ledger) if not (failed or missing) or _matches(job, failed=failed)]
    selection.refuse_ambiguous(jobs)
    if not jobs:
        which = "failed" if failed else "is lost or has missing outputs"
        return report.no_jobs(f"Nothing to retry: no selected job {which}.", json=json)
    _warn_of_lost(jobs)
    refused, no_errors = follow.retry(jobs, ledger, memory=memory, walltime=walltime)
    after = {job.key: job for job in ledger.of_keys([job.key for job in jobs])}
    if json:
        console.print_json([_as_json(job, after[job.key], refused.get(job.key, "")) for job in jobs])
    else:
        _print_table(jobs, after, refused)
    return 0 if no_errors and not refused else 1


def _matches(job: JobRow, *, failed: bool) -> bool:
    return job.status.state is JobState.FAILED and (failed or job.status.cause in _MISSING)


def _warn_of_lost(jobs: Sequence[JobRow]) -> None:
    lost = sum(job.status.cause is Cause.LOST for job in jobs)
    if lost:
        count = console.number_of(lost, "job")
        warning = f"{count} recorded as lost; if one is still running on the cluster, it will run twice"
        console.print_message(warning, "yellow")


def _is_retried(before: JobRow, after: JobRow) -> bool:
    return after.retries > before.retries


def _print_table(jobs: Sequence[JobRow], after: dict[int, JobRow], refused: dict[int, str]) -> None:
    now = [after[job.key] for job in jobs]
    pairs = list(zip(jobs, now, strict=True))
    print_columns([
        column("JOB", [job.job_id for job in jobs]),
        column("WAS", [str(job.status) for job in jobs]),
        column("NOW", [str(job.status) if _is_retried(before, job) else "unchanged" for before, job in pairs]),
        column("ATTEMPT", map(format.attempt, now), right=True),
        column("BATCH ID", map(shown_id, now)),
        column("WHY NOT", [refused.get(job.key, "").removeprefix("not retried: ") for job in now], may_be_cut=True),
    ])  # fmt: skip
    retried = sum(_is_retried(before, job) for before, job in pairs)
    console.print_line(f"{retried} of {console.number_of(len(jobs), 'job')} retried", "bold")
    if retried:
        console.print_message(f"{report.WAIT_HINT}scheduler wait", "dim")


def _as_json(before: JobRow, after: JobRow, why_not: str) -> dict[str, object]:
    return {**format.as_json(after), "again": _is_retried(before, after), "why_not": why_not or None}
