"""Tables of jobs on stdout, and errors of failed jobs on stderr."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence

from scheduler.batch.shown_id import shown_id
from scheduler.cli.screen import console, format
from scheduler.cli.screen.columns import Column, column, print_columns
from scheduler.job.state import Cause, JobState
from scheduler.ledger.rows import JobRow

_STYLES = {
    JobState.RUNNING: "cyan",
    JobState.COMPLETED: "green",
    JobState.FAILED: "red",
    JobState.CANCELLED: "yellow",
    JobState.HELD: "yellow",
    JobState.SUSPENDED: "yellow",
}
_SHOWN_FIRST = {JobState.FAILED: 0, JobState.CANCELLED: 1, JobState.RUNNING: 2}
"""If a terminal cannot show all jobs, it shows jobs in these states first."""
_MOST_LINES = 60
"""A terminal shows at most this many jobs; files and pipes get all."""
_MOST_RESULTS = 6
_MOST_ERRORS = 4
_LAST_LINES = 6


def results(jobs: Sequence[JobRow], *, show: Sequence[str]) -> None:
    """Print a line with results for each job, then errors of failed jobs (on stderr), then the counts by state.

    Args:
        show: keys of the results to print; if empty, those that differ between jobs.
    """
    shown = _shown(jobs)
    keys = list(show) or format.distinguishing_results(jobs, most=_MOST_RESULTS)
    codes = [job.status.exit_code for job in shown]
    scalars = [format.payload_scalars(job) for job in shown]
    values = {key: [format.value_text(one[key]) if key in one else "" for one in scalars] for key in keys}
    print_columns([
        *_first_columns(shown),
        column("EXIT", ["" if code is None else str(code) for code in codes], right=True),
        column("BATCH ID", map(shown_id, shown)),
        column("TIME", map(format.duration, shown), right=True),
        *(column(key, texts, right=True, optional=not show) for key, texts in values.items()),
    ])  # fmt: skip
    _print_errors(jobs)
    _print_counts(jobs)


def status(jobs: Sequence[JobRow]) -> None:
    """Print a line for each job, then the counts by state. Site and campaign are columns if they differ."""
    shown = _shown(jobs)
    sites, campaigns = {job.site for job in jobs}, {job.campaign for job in jobs}
    print_columns([
        *_first_columns(shown),
        *([column("SITE", [job.site for job in shown])] if len(sites) > 1 else []),
        *([column("CAMPAIGN", [job.campaign or "" for job in shown])] if len(campaigns) > 1 else []),
        column("BATCH ID", map(shown_id, shown)),
        column("TIME", map(format.duration, shown), right=True),
        column("AGE", [format.age(time.time() - job.created) for job in shown], right=True, optional=True),
        column("REASON", map(format.reason, shown), may_be_cut=True, style="dim"),
    ])  # fmt: skip
    _print_counts(jobs)


def _first_columns(jobs: Sequence[JobRow]) -> list[Column]:
    states = [console.cell(str(job.status), _STYLES.get(job.status.state, "")) for job in jobs]
    attempts = column("ATTEMPT", map(format.attempt, jobs), right=True)
    return [column("JOB", [job.job_id for job in jobs]), Column("STATE", states), attempts]


def _print_counts(jobs: Sequence[JobRow]) -> None:
    """``24 jobs of b0-scan on local: 20 completed, 4 running``."""
    campaigns, sites = {job.campaign for job in jobs}, {job.site for job in jobs}
    of = f" of {next(iter(campaigns))}" if len(campaigns) == 1 and None not in campaigns else ""
    on = f" on {next(iter(sites))}" if len(sites) == 1 else ""
    counts = ", ".join(f"{number} {word}" for word, number in format.counts(jobs).items())
    console.print_line(f"{console.number_of(len(jobs), 'job')}{of}{on}: {counts}", "bold")


def _print_errors(jobs: Sequence[JobRow]) -> None:
    """For each different failure: the reason and the last lines of output of one of the jobs."""
    by_status: dict[tuple[str, str], list[JobRow]] = {}
    for job in jobs:
        if job.status.state is JobState.FAILED:
            by_status.setdefault((str(job.status), _what_differs(job)), []).append(job)
    groups = list(by_status.values())
    for group in groups[:_MOST_ERRORS]:
        first = group[0]
        others = f" (and {len(group) - 1} more)" if len(group) > 1 else ""
        reason = f": {first.status.reason}" if format.specific_reason(first) else ""
        console.print_message("")
        console.print_message(console.printable(f"{first.job_id}{others}: {first.status}{reason}"), "red")
        for line in _last_lines(first):
            console.print_message(f"  {console.printable(line, keep=chr(9))}")
    hidden = sum(map(len, groups[_MOST_ERRORS:]))
    if hidden or any(job.facts and job.facts.log("stderr") for group in groups for job in group):
        more = f"{console.number_of(hidden, 'more job')} failed with other errors; " if hidden else ""
        console.print_message(f"{more}to print a job's standard error: scheduler logs --stderr JOB_ID\n", "dim")


def _what_differs(job: JobRow) -> str:
    """What distinguishes a failure from others of the same cause: its reason, without the names of node and job and
    without numbers."""
    status = job.status
    if status.cause in (Cause.EXIT_CODE, Cause.SIGNAL):
        return ""
    reason = status.reason.replace(status.node or "\n", "").replace(job.job_id, "")
    return re.sub(r"[0-9]+", "", reason)


def _last_lines(job: JobRow) -> list[str]:
    """The end of the job's error, without its first line, which is the status."""
    error = job.facts.error if job.facts is not None else None
    lines = (error or "").rstrip().splitlines()[1:]
    return lines if len(lines) <= _LAST_LINES + 1 else [lines[0], *lines[-_LAST_LINES:]]


def _shown(jobs: Sequence[JobRow]) -> list[JobRow]:
    """The jobs to print, in the order submitted: all, or on a terminal at most `_MOST_LINES`."""
    if len(jobs) <= _MOST_LINES or console.is_plain(sys.stdout) or not console.stdout_console().is_terminal:
        return list(jobs)
    first = sorted(jobs, key=lambda job: (_SHOWN_FIRST.get(job.status.state, len(_SHOWN_FIRST)), job.key))[:_MOST_LINES]
    hidden = len(jobs) - len(first)
    console.print_message(f"{hidden} of {len(jobs)} jobs are not shown; to see all, add | less to the command", "dim")
    return sorted(first, key=lambda job: job.key)
