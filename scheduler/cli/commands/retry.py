"""``scheduler retry``: submits a new attempt of jobs that finished without completing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from scheduler.batch.shown_id import shown_id
from scheduler.campaign.jobfile import read_job_file
from scheduler.cli import campaigns, follow, report
from scheduler.cli.screen import console, format
from scheduler.cli.screen.columns import column, print_columns
from scheduler.cli.selection import Selection
from scheduler.engine.submit.local_copies import changed_since
from scheduler.job.state import Cause, JobState
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow

_MISSING = (Cause.MISSING_OUTPUT, Cause.LOST)


def retry(
    selection: Selection, *, failed: bool, missing: bool, memory: str | None, walltime: str | None, force: bool,
    json: bool, file: Path | None = None,
) -> int:  # fmt: skip  # fmt: skip
    """Submit a new attempt of jobs, and print of each whether it was retried or why not. Returns the exit code.

    Args:
        failed: of the selected jobs, only those that failed.
        missing: of the selected jobs, only those that are lost or whose outputs are missing.
        memory: the memory that the new attempts request, with a unit; None requests what the last ones did.
        walltime: likewise.
        force: also jobs of which the attempt before may still run.
        file: a job file: its jobs that ended without completing are retried, with the content that they have now.
    """
    if file is not None:
        return _retry_from(file, selection, force=force, json=json)
    if not (selection.job_ids or failed or missing):
        raise typer.BadParameter("select jobs by their ids, or with --failed or --missing")
    ledger = Ledger()
    jobs = [job for job in selection.rows(ledger) if not (failed or missing) or _matches(job, failed=failed)]
    selection.refuse_ambiguous(jobs)
    if not jobs:
        which = "failed" if failed else "is lost or has missing outputs"
        return report.no_jobs(f"Nothing to retry: no selected job {which}.", json=json)
    if force:
        _warn_of_lost(jobs)
    _print_changed(jobs, ledger)
    refused, no_errors = follow.retry(jobs, ledger, memory=memory, walltime=walltime, force=force)
    return _print_outcome(jobs, refused, ledger, no_errors=no_errors, json=json)


def _retry_from(file: Path, selection: Selection, *, force: bool, json: bool) -> int:
    job_file, ledger = read_job_file(file), Ledger()
    jobs = {job.job_id: job for job in job_file.jobs()}
    campaign = campaigns.run_of(ledger, campaigns.campaign_of(job_file, selection.campaign), again=False)
    rows = {row.job_id: row for row in ledger.chosen(sites=selection.sites(ledger), campaign=campaign)}
    chosen = [row for row in rows.values() if row.job_id in (selection.job_ids or jobs) and row.job_id in jobs]
    ended = [row for row in chosen if row.status.final and row.status.state is not JobState.COMPLETED]
    if not ended:
        return report.no_jobs("Nothing to retry: no job of the file ended without completing.", json=json)
    refused, no_errors = follow.resubmit(ended, jobs, ledger, campaign=campaign, force=force)
    return _print_outcome(ended, refused, ledger, no_errors=no_errors, json=json)


def _print_outcome(
    jobs: Sequence[JobRow], refused: dict[int, str], ledger: Ledger, *, no_errors: bool, json: bool
) -> int:
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


def _print_changed(jobs: Sequence[JobRow], ledger: Ledger) -> None:
    """Report local files that differ from the copies that a retry uses."""
    if changed := changed_since(jobs, ledger):
        which = "" if len(changed) == 1 else f" and {len(changed) - 1} more"
        verb = "has" if len(changed) == 1 else "have"
        console.print_message(
            f"{console.printable(changed[0])}{which} {verb} changed; the retry uses what was submitted. To use what is "
            "here now: scheduler retry --from FILE",
            "yellow",
        )


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
