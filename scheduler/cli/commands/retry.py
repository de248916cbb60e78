"""``scheduler retry``: jobs that ended without completing are submitted again, by hand."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from scheduler.cli import follow
from scheduler.cli.commands.jobs import Which, nobody, refuse_namesakes
from scheduler.cli.screen import console, format
from scheduler.cli.screen.columns import column, print_columns
from scheduler.job.state import Cause, JobState
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow

_MISSING = (Cause.MISSING_OUTPUT, Cause.LOST)


def retry(which: Which, *, failed: bool, missing: bool, memory: str | None, walltime: str | None, json: bool) -> int:
    """Submit them again, and say of each what became of that."""
    if not (which.job_ids or failed or missing):
        raise typer.BadParameter("name jobs, or say --failed or --missing (of a --campaign, or of a --site)")
    ledger = Ledger()
    jobs = [job for job in which.of(ledger) if not (failed or missing) or _is_meant(job, failed=failed)]
    refuse_namesakes(which, jobs)
    if not jobs:
        return nobody("Nothing to try again: none of these jobs has failed like that.", json=json)
    _warn_of_the_lost(jobs)
    refused, well = follow.retry(jobs, ledger, memory=memory, walltime=walltime)
    after = {job.key: job for job in ledger.of_keys([job.key for job in jobs])}
    if json:
        console.print_json([_as_json(job, after[job.key], refused.get(job.key, "")) for job in jobs])
    else:
        _table(jobs, after, refused)
    return 0 if well and not refused else 1


def _is_meant(job: JobRow, *, failed: bool) -> bool:
    return job.status.state is JobState.FAILED and (failed or job.status.cause in _MISSING)


def _warn_of_the_lost(jobs: Sequence[JobRow]) -> None:
    lost = sum(job.status.cause is Cause.LOST for job in jobs)
    if lost:
        console.say(
            f"{console.number_of(lost, 'job')} had been lost sight of: should one run still, it runs twice", "yellow"
        )


def _is_again(before: JobRow, after: JobRow) -> bool:
    return after.tries > before.tries


def _table(jobs: Sequence[JobRow], after: dict[int, JobRow], refused: dict[int, str]) -> None:
    now = [after[job.key] for job in jobs]
    pairs = list(zip(jobs, now, strict=True))
    print_columns([
        column("JOB", [job.job_id for job in jobs]),
        column("WAS", [str(job.status) for job in jobs]),
        column("NOW", [str(job.status) if _is_again(before, job) else "as it was" for before, job in pairs]),
        column("ATTEMPT", map(format.attempt, now), right=True),
        column("BATCH ID", [job.shown_id for job in now]),
        column("WHY NOT", [refused.get(job.key, "").removeprefix("not retried: ") for job in now], may_be_cut=True),
    ])  # fmt: skip
    again = sum(_is_again(job, after[job.key]) for job in jobs)
    console.print_line(f"{again} of {console.number_of(len(jobs), 'job')} submitted again", "bold")
    if again:
        console.say("scheduler wait   waits for them and brings their outputs home", "dim")


def _as_json(before: JobRow, after: JobRow, why_not: str) -> dict[str, object]:
    return {**format.as_json(after), "again": _is_again(before, after), "why_not": why_not or None}
