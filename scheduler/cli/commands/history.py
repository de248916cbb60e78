"""``scheduler status --history``: all that was ever seen of a job, attempt by attempt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from scheduler.batch.shown_id import shown_id
from scheduler.cli.commands.jobs import Which
from scheduler.cli.screen import console
from scheduler.job.state import Status
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow


@dataclass(frozen=True)
class _Attempt:
    """An attempt, and what was seen while it was the last one."""

    number: int
    shown_id: str
    status: Status
    seen: list[tuple[float, str]]


def history(which: Which, *, json: bool) -> int:
    """Every observation of jobs."""
    ledger = Ledger()
    jobs = which.of(ledger)
    if json:
        told = [
            {"job_id": job.job_id, "site": job.site, "campaign": job.campaign, "attempt": one.number, "at": _iso(at),
             "said": said}
            for job in jobs for one in _attempts(job, ledger) for at, said in one.seen
        ]  # fmt: skip
        console.print_json(told)
        return 0
    for job in jobs:
        campaign = f", campaign {job.campaign}" if job.campaign else ""
        console.print_line(f"{job.job_id} on {job.site}{campaign}, submitted {_shown_moment(job.created)}", "bold")
        for one in _attempts(job, ledger):
            if job.tries:
                console.print_line(f"  {_title(one)}")
            for at, said in one.seen:
                console.print_line(f"  {_shown_moment(at)}  {said}")
    return 0


def _attempts(job: JobRow, ledger: Ledger) -> Iterator[_Attempt]:
    """Each with its own observations: those since the one before was over."""
    seen = ledger.history(job.key)
    for one in ledger.attempts.of([job.key]):
        yield _Attempt(one.tries + 1, shown_id(one), one.status, [(at, said) for at, said in seen if at < one.over])
        seen = [(at, said) for at, said in seen if at >= one.over]
    yield _Attempt(job.tries + 1, shown_id(job), job.status, seen)


def _title(one: _Attempt) -> str:
    """``attempt 1: 4711_0 on n1: failed: out of memory``."""
    place = " on ".join(filter(None, [one.shown_id, one.status.node]))
    return ": ".join(filter(None, [f"attempt {one.number}", place, str(one.status)]))


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")


def _shown_moment(seconds: float) -> str:
    """By the clock of whoever looks."""
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"
