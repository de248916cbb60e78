"""``scheduler collect``: downloads the outputs of finished jobs without waiting for unfinished ones."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.cli import follow, report
from scheduler.cli.screen import console, format
from scheduler.cli.selection import Selection
from scheduler.ledger.ledger import Ledger


def collect(selection: Selection, *, show: Sequence[str], json: bool) -> int:
    """Download outputs of finished jobs, and print the results of all selected jobs. Returns the exit code.

    Args:
        show: results that get a column in the table.
    """
    ledger = Ledger()
    jobs = ledger.chosen(not_done=True) if selection.empty else selection.rows(ledger)
    if not jobs:
        return report.no_jobs("Nothing to collect: all jobs are finished and collected.", json=json)
    with console.on_interrupt("Interrupted. Downloaded files are kept. To resume the download: scheduler collect"):
        no_errors = follow.collect([job for job in jobs if not format.finished_and_collected(job)], ledger)
    jobs = ledger.of_keys([job.key for job in jobs])
    report.print_results(jobs, show=show, json=json)
    unfinished = sum(not job.status.final for job in jobs)
    if unfinished and not json:
        console.print_message(f"{console.number_of(unfinished, 'job')} not finished yet", "dim")
    return report.exit_code(jobs, no_errors=no_errors)
