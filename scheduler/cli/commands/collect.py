"""``scheduler collect``: downloads the outputs of finished jobs without waiting for unfinished ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scheduler.cli import follow, report
from scheduler.cli.screen import console, format
from scheduler.cli.selection import Selection
from scheduler.ledger.ledger import Ledger


def collect(
    selection: Selection, *, show: Sequence[str], json: bool, again: bool = False, to: Path | None = None
) -> int:
    """Download outputs of finished jobs, and print the results of all selected jobs. Returns the exit code.

    Args:
        show: results that get a column in the table.
        again: download the outputs of collected jobs once more.
        to: the folder for these, instead of the working_dirs of the jobs.
    """
    ledger = Ledger()
    if again or to is not None:
        jobs = [job for job in selection.rows(ledger) if job.collected]
        with console.on_interrupt("Interrupted. Downloaded files are kept."):
            no_errors = follow.collect_again(jobs, ledger, to=None if to is None else to.absolute())
        jobs = ledger.of_keys([job.key for job in jobs])
        report.print_results(jobs, show=show, json=json)
        return report.exit_code(jobs if to is None else [], no_errors=no_errors)
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
