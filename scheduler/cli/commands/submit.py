"""``scheduler submit``: submits the jobs of a file and returns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scheduler.batch.shown_id import shown_id
from scheduler.cli import report
from scheduler.cli.screen import console
from scheduler.cli.submission import file_submission, submit_new_jobs, wait_command, worth_waiting_for
from scheduler.engine.identity import Changed
from scheduler.ledger.rows import JobRow


def submit(file: Path, site: str, *, campaign: str | None, again: bool, changed: Changed, json: bool) -> int:
    """Submit the jobs of a file, print a line for each job. Returns the exit code.

    Args:
        changed: what happens to jobs that the campaign has with other content.
    """
    with file_submission(file, site, campaign=campaign, again=again, changed=changed) as submission:
        submit_new_jobs(submission)
        jobs, unanswered = submission.rows(), submission.unanswered_rows()
    if submission.refused:
        console.print_error(submission.refused)
    if json:
        report.print_json(jobs)
    else:
        _print_lines(jobs)
    if worth_waiting_for(jobs):
        console.print_message(f"{report.WAIT_HINT}{wait_command(submission.campaign)}", "dim")
    return 1 if submission.refused or unanswered else 0


def _print_lines(jobs: Sequence[JobRow]) -> None:
    """``b0-1  queued      4711_1``: id, state, batch id."""
    widest = max(len(console.printable(job.job_id)) for job in jobs)
    for job in jobs:
        console.print_line(f"{console.printable(job.job_id):<{widest}}  {job.status!s:<10}  {shown_id(job)}".rstrip())
