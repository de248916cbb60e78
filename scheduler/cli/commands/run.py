"""``scheduler run``: submits the jobs of a file, waits for them and prints their results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scheduler.cli import follow, report
from scheduler.cli.screen import console
from scheduler.cli.submission import file_submission, print_how_to_resume, submit_new_jobs, worth_waiting_for
from scheduler.engine.identity import Changed
from scheduler.errors import SchedulerError


def run(file: Path, site: str, *, campaign: str | None, again: bool, changed: Changed, failed: bool,
        timeout: float | None, show: Sequence[str], json: bool) -> int:  # fmt: skip
    """Submit the jobs of a file, wait, download outputs, print results. Returns the exit code.

    Args:
        changed: what happens to jobs that the campaign has with other content.
        failed: only the jobs that have not completed; those that ended get another attempt.
        timeout: seconds to wait at most; None waits without limit.
        show: results that get a column in the table.
    """
    with file_submission(file, site, campaign=campaign, again=again, changed=changed, retried=failed) as submission:
        if failed and (completed := submission.leave_completed()):
            console.print_message(f"{console.number_of(completed, 'completed job')} left as before")
            if not submission.jobs:
                return report.no_jobs("Nothing to run: every job of the file has completed.", json=json)
        submit_new_jobs(submission)
        if submission.refused and json:  # the table prints the message as the jobs' error
            console.print_error(submission.refused)
        title = f"{submission.campaign} on {submission.runner.site.name}"
        try:
            follow.wait_at_site(submission.runner.session, submission.keys(), title=title, timeout=timeout)
            no_errors = True
        except SchedulerError as error:
            console.print_error(str(error))
            if worth_waiting_for(submission.rows()):
                print_how_to_resume(submission.campaign)
            no_errors = False
        jobs = submission.rows()
    report.print_results(jobs, show=show, json=json)
    return report.exit_code(jobs, no_errors=no_errors)
