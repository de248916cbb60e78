"""``scheduler status --history``: prints every recorded observation of a job, attempt by attempt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from scheduler.batch.shown_id import shown_id
from scheduler.cli.screen import console
from scheduler.cli.selection import Selection
from scheduler.job.state import Status
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow


@dataclass(frozen=True)
class _Attempt:
    """An attempt of a job.

    Attributes:
        number: from 1.
        observations: time (seconds since 1970) and text of what was recorded while this was the job's last attempt.
    """

    number: int
    shown_id: str
    status: Status
    observations: list[tuple[float, str]]


def history(selection: Selection, *, json: bool) -> int:
    """Print all observations of the selected jobs, as text or JSON. Returns the exit code."""
    ledger = Ledger()
    jobs = selection.rows(ledger)
    if json:
        console.print_json([
            {"job_id": job.job_id, "site": job.site, "campaign": job.campaign, "attempt": attempt.number,
             "at": _iso(at), "said": text}
            for job in jobs for attempt in _attempts(job, ledger) for at, text in attempt.observations
        ])  # fmt: skip
        return 0
    for job in jobs:
        campaign = f", campaign {job.campaign}" if job.campaign else ""
        console.print_line(f"{job.job_id} on {job.site}{campaign}, submitted {_local_time(job.created)}", "bold")
        for attempt in _attempts(job, ledger):
            if job.retries:
                console.print_line(f"  {_title(attempt)}")
            for at, text in attempt.observations:
                console.print_line(f"  {_local_time(at)}  {text}")
    return 0


def _attempts(job: JobRow, ledger: Ledger) -> Iterator[_Attempt]:
    """The attempts, oldest first, each with the observations between the end of the one before and its own end."""
    left = ledger.history(job.key)
    for row in ledger.attempts.of([job.key]):
        before = [(at, text) for at, text in left if at < row.replaced]
        yield _Attempt(row.retries + 1, shown_id(row), row.status, before)
        left = [(at, text) for at, text in left if at >= row.replaced]
    yield _Attempt(job.retries + 1, shown_id(job), job.status, left)


def _title(attempt: _Attempt) -> str:
    """``attempt 1: 4711_0 on n1: failed: out of memory``."""
    where = " on ".join(filter(None, [attempt.shown_id, attempt.status.node]))
    return ": ".join(filter(None, [f"attempt {attempt.number}", where, str(attempt.status)]))


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")


def _local_time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"
