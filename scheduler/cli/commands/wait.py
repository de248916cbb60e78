"""``scheduler wait``: waits for jobs that any process has submitted, and prints their results."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.cli import follow, report
from scheduler.cli.screen import console
from scheduler.cli.selection import Selection
from scheduler.errors import SchedulerError
from scheduler.ledger.ledger import Ledger


def wait(selection: Selection, *, timeout: float | None, show: Sequence[str], json: bool) -> int:
    """Wait until jobs are finished and collected, and print their results. Returns the exit code.

    Args:
        timeout: seconds to wait at most; None waits without limit.
        show: results that get a column in the table.
    """
    ledger = Ledger()
    report.warn_of_loss(ledger)
    if selection.empty and (lost := ledger.lost()):
        follow.poll(lost, ledger)  # a job that is not lost after all is waited for
    jobs = ledger.chosen(not_done=True) if selection.empty else selection.rows(ledger)
    if not jobs:
        return report.no_jobs("Nothing to wait for: all jobs are finished and collected.", json=json)
    title = selection.campaign or console.number_of(len(jobs), "job")
    resume = f"scheduler wait {selection.arguments()}".rstrip()
    try:
        with console.on_interrupt(f"Interrupted. The jobs are not affected. To resume waiting:\n  {resume}"):
            no_errors = follow.wait(jobs, ledger, title=title, timeout=timeout)
    except SchedulerError as error:
        console.print_error(str(error))
        no_errors = False
    jobs = ledger.of_keys([job.key for job in jobs])
    report.print_results(jobs, show=show, json=json)
    return report.exit_code(jobs, no_errors=no_errors)
