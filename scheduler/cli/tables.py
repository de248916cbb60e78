"""Jobs as tables on stdout, and what failed jobs said on stderr."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from scheduler.cli import rows, screen
from scheduler.job.state import JobState
from scheduler.ledger_rows import JobRow

_STYLES = {
    JobState.RUNNING: "cyan",
    JobState.COMPLETED: "green",
    JobState.FAILED: "bold red",
    JobState.CANCELLED: "yellow",
    JobState.HELD: "yellow",
    JobState.SUSPENDED: "yellow",
}
_MOST_LINES = 60
"""A terminal is shown no more jobs than this; what is no terminal is shown all."""
_MOST_ERRORS = 3
_MOST_ERROR_LINES = 12


def results(jobs: Sequence[JobRow], *, show: Sequence[str] = ()) -> None:
    """What came of jobs: a line each, with results of their own, then the count of each state."""
    shown = list(show) or rows.telling_results(jobs, most=3 if screen.results().is_terminal else 6)
    table = _table(["JOB", "STATE", ">EXIT", "BATCH ID", ">TIME", *(f">{screen.visible(key)}" for key in shown)])
    for job in _worth_showing(jobs):
        own = rows.own_scalars(job)
        code = job.status.exit_code
        table.add_row(
            screen.cell(job.job_id),
            _state(job),
            "" if code is None else str(code),
            screen.cell(job.shown_id),
            rows.duration(job),
            *(screen.cell(rows.shown_value(own[key])) if key in own else "" for key in shown),
        )
    _print(table)
    summary(jobs)


def status(jobs: Sequence[JobRow]) -> None:
    """Where jobs stand: a line each; site and campaign only where they differ."""
    where = [name for name in ("site", "campaign") if len({getattr(job, name) for job in jobs}) > 1]
    with_ids = any(job.shown_id for job in jobs)
    why = any(rows.reason(job) for job in jobs)
    heads = ["JOB", "STATE", *map(str.upper, where), *(["BATCH ID"] if with_ids else []), ">TIME", ">AGE"]
    table = _table([*heads, *(["WHY"] if why else [])])
    for job in _worth_showing(jobs):
        table.add_row(
            screen.cell(job.job_id),
            _state(job),
            *(screen.cell(getattr(job, name) or "") for name in where),
            *([screen.cell(job.shown_id)] if with_ids else []),
            rows.duration(job),
            rows.age(time.time() - job.created),
            *([screen.cell(rows.reason(job))] if why else []),
        )
    _print(table)
    summary(jobs)


def summary(jobs: Sequence[JobRow]) -> None:
    """``24 jobs of b0-scan on local: 20 completed, 4 running``."""
    campaigns, sites = {job.campaign for job in jobs}, {job.site for job in jobs}
    of = f" of {next(iter(campaigns))}" if len(campaigns) == 1 and None not in campaigns else ""
    on = f" on {next(iter(sites))}" if len(sites) == 1 else ""
    counts = ", ".join(f"{number} {word}" for word, number in rows.counts(jobs).items())
    screen.print_line(f"{screen.number_of(len(jobs), 'job')}{of}{on}: {counts}")


def errors(jobs: Sequence[JobRow]) -> None:
    """Why jobs did not complete, with the last lines that they said."""
    failed = [job for job in jobs if rows.did_not_complete(job) and job.status.state is not JobState.CANCELLED]
    for job in failed[:_MOST_ERRORS]:
        said = str((job.results or {}).get("error") or f"{job.status}: {job.status.reason}")
        screen.say(f"\n{screen.visible(job.job_id)}: {_shortened(said)}")
    if len(failed) > _MOST_ERRORS:
        rest = screen.number_of(len(failed) - _MOST_ERRORS, "more job")
        screen.say(f"\n{rest} failed; scheduler logs JOB_ID --stderr shows what each said")


def _shortened(text: str) -> str:
    """The first line, and the last ones."""
    lines = text.rstrip().splitlines()
    if len(lines) > _MOST_ERROR_LINES:
        lines = [*lines[:2], "…", *lines[3 - _MOST_ERROR_LINES :]]
    return "\n  ".join(lines)


def _worth_showing(jobs: Sequence[JobRow]) -> list[JobRow]:
    """All of them, unless a terminal would overflow: then those that need a look first, in the order submitted."""
    if not screen.results().is_terminal or len(jobs) <= _MOST_LINES:
        return list(jobs)
    order = {JobState.FAILED: 0, JobState.CANCELLED: 1, JobState.RUNNING: 2}
    first = sorted(jobs, key=lambda job: (order.get(job.status.state, 3), job.key))[:_MOST_LINES]
    rest = len(jobs) - len(first)
    screen.say(f"{rest} of {len(jobs)} jobs are not shown; all of them: --json, or through a pager (… | less)", "dim")
    return sorted(first, key=lambda job: job.key)


def _state(job: JobRow) -> Text:
    return screen.cell(str(job.status), _STYLES.get(job.status.state, ""))


def _table(heads: Sequence[str]) -> Table:
    """Columns; ``>`` before a head means that its column is flush right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, head in enumerate(heads):
        right = "right" if head.startswith(">") else "left"
        last = number == len(heads) - 1
        table.add_column(Text(head.lstrip(">")), justify=right, no_wrap=True, overflow="ellipsis", ratio=None)  # type: ignore[arg-type]
        table.columns[-1].min_width = 8 if last else None
    return table


def _print(table: Table) -> None:
    """Without the blanks that would fill the last column."""
    console = screen.results()
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        console.file.write(line.rstrip() + "\n")
    console.file.flush()
