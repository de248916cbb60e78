"""Jobs in columns on stdout, and what failed jobs said on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from scheduler.batch.shown_id import shown_id
from scheduler.cli.screen import console, format
from scheduler.cli.screen.columns import Column, column, print_columns
from scheduler.job.state import JobState
from scheduler.ledger.rows import JobRow

_STYLES = {
    JobState.RUNNING: "cyan",
    JobState.COMPLETED: "green",
    JobState.FAILED: "red",
    JobState.CANCELLED: "yellow",
    JobState.HELD: "yellow",
    JobState.SUSPENDED: "yellow",
}
_MOST_LINES = 60
"""A terminal is shown no more jobs than this; what is no terminal is shown all."""
_MOST_RESULTS = 6
_MOST_ERRORS = 4
_LAST_LINES = 6


def results(jobs: Sequence[JobRow], *, show: Sequence[str]) -> None:
    """What came of jobs: a line each with results of their own, then what failed ones said, then the counts."""
    shown = _worth_showing(jobs)
    keys = list(show) or format.telling_results(jobs, most=_MOST_RESULTS)
    codes = [job.status.exit_code for job in shown]
    own = [format.own_scalars(job) for job in shown]
    values = {key: [format.shown_value(one[key]) if key in one else "" for one in own] for key in keys}
    print_columns([
        *_who_and_how(shown),
        column("EXIT", ["" if code is None else str(code) for code in codes], right=True),
        column("BATCH ID", map(shown_id, shown)),
        column("TIME", map(format.duration, shown), right=True),
        *(column(key, texts, right=True, spare=not show) for key, texts in values.items()),
    ])  # fmt: skip
    _errors(jobs)
    _summary(jobs)


def status(jobs: Sequence[JobRow]) -> None:
    """Where jobs stand: a line each, site and campaign only where they differ, then the counts."""
    shown = _worth_showing(jobs)
    sites, campaigns = {job.site for job in jobs}, {job.campaign for job in jobs}
    print_columns([
        *_who_and_how(shown),
        *([column("SITE", [job.site for job in shown])] if len(sites) > 1 else []),
        *([column("CAMPAIGN", [job.campaign or "" for job in shown])] if len(campaigns) > 1 else []),
        column("BATCH ID", map(shown_id, shown)),
        column("TIME", map(format.duration, shown), right=True),
        column("AGE", [format.age(time.time() - job.created) for job in shown], right=True, spare=True),
        column("WHY", map(format.reason, shown), may_be_cut=True, style="dim"),
    ])  # fmt: skip
    _summary(jobs)


def _who_and_how(jobs: Sequence[JobRow]) -> list[Column]:
    states = [console.cell(str(job.status), _STYLES.get(job.status.state, "")) for job in jobs]
    attempts = column("ATTEMPT", map(format.attempt, jobs), right=True)
    return [column("JOB", [job.job_id for job in jobs]), Column("STATE", states), attempts]


def _summary(jobs: Sequence[JobRow]) -> None:
    """``24 jobs of b0-scan on local: 20 completed, 4 running``."""
    campaigns, sites = {job.campaign for job in jobs}, {job.site for job in jobs}
    of = f" of {next(iter(campaigns))}" if len(campaigns) == 1 and None not in campaigns else ""
    on = f" on {next(iter(sites))}" if len(sites) == 1 else ""
    counts = ", ".join(f"{number} {word}" for word, number in format.counts(jobs).items())
    console.print_line(f"{console.number_of(len(jobs), 'job')}{of}{on}: {counts}", "bold")


def _errors(jobs: Sequence[JobRow]) -> None:
    """Why jobs did not complete, with the last lines that they said: one job of each kind of end."""
    kinds: dict[str, list[JobRow]] = {}
    for job in jobs:
        if job.status.state is JobState.FAILED:
            kinds.setdefault(str(job.status), []).append(job)
    for alike in list(kinds.values())[:_MOST_ERRORS]:
        first = alike[0]
        others = f" (and {len(alike) - 1} more)" if len(alike) > 1 else ""
        why = f": {first.status.reason}" if format.reason_of_its_own(first) else ""
        console.say("")
        console.say(console.visible(f"{first.job_id}{others}: {first.status}{why}"), "red")
        for line in _last_words(first):
            console.say(f"  {console.visible(line, keep=chr(9))}")
    hidden = sum(map(len, list(kinds.values())[_MOST_ERRORS:]))
    if hidden or any((job.results or {}).get("stderr") for alike in kinds.values() for job in alike):
        more = f"{console.number_of(hidden, 'more job')} failed otherwise; " if hidden else ""
        console.say(f"{more}scheduler logs JOB_ID --stderr shows what a job said\n", "dim")


def _last_words(job: JobRow) -> list[str]:
    """The end of its error, without the first line, which is its status."""
    lines = str((job.results or {}).get("error") or "").rstrip().splitlines()[1:]
    return lines if len(lines) <= _LAST_LINES + 1 else [lines[0], *lines[-_LAST_LINES:]]


def _worth_showing(jobs: Sequence[JobRow]) -> list[JobRow]:
    """All of them, unless a terminal would overflow: then those that need a look first, in the order submitted."""
    if len(jobs) <= _MOST_LINES or console.is_plain(sys.stdout) or not console.results().is_terminal:
        return list(jobs)
    order = {JobState.FAILED: 0, JobState.CANCELLED: 1, JobState.RUNNING: 2}
    first = sorted(jobs, key=lambda job: (order.get(job.status.state, 3), job.key))[:_MOST_LINES]
    rest = len(jobs) - len(first)
    console.say(f"{rest} of {len(jobs)} jobs are not shown here; a pager (… | less) shows all of them", "dim")
    return sorted(first, key=lambda job: job.key)
