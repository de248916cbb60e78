"""Jobs of the ledger as text or JSON: counts, times, reasons, results. Values in, values out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from scheduler.batch.shown_id import shown_id
from scheduler.errors import LedgerError
from scheduler.job.state import Cause, JobState
from scheduler.ledger.rows import JobRow

_LONGEST_VALUE = 24


def counts(rows: Sequence[JobRow]) -> dict[str, int]:
    """The number of jobs in each state, by the state's word, in the order of a job's life; without zeros."""
    found = Counter(row.status.state for row in rows)
    return {state.word: found[state] for state in JobState if found[state]}


def finished_and_collected(row: JobRow) -> bool:
    """The job is finished, and its outputs are downloaded. A job that was refused never has any."""
    return row.status.final and (row.collected or row.status.cause is Cause.REFUSED)


def did_not_complete(row: JobRow) -> bool:
    """The job is finished, in another state than completed."""
    return row.status.final and row.status.state is not JobState.COMPLETED


def duration(row: JobRow) -> str:
    """How long the job ran, or has been running: ``3:25``; empty if its start or its end is not known."""
    status = row.status
    if status.started is None or (status.final and status.ended is None):
        return ""
    until = status.ended or datetime.now(timezone.utc)
    return clock(max(0.0, (until - status.started).total_seconds()))


def clock(seconds: float) -> str:
    """``0:07``, ``3:25``, ``26:03:04``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def age(seconds: float) -> str:
    """``12 s``, ``5 min``, ``3 h``, ``4 d``."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def attempt(row: JobRow) -> str:
    """The number of the job's last attempt, from 1; empty if it has only one."""
    return str(row.retries + 1) if row.retries else ""


def specific_reason(job: JobRow) -> str:
    """The first line of the job's reason; empty if it only repeats the job's status.

    All lines while the job is unfinished: the first line of PBS's message may be ``Connection refused`` alone.
    """
    status = job.status
    lines = status.reason.strip().splitlines()
    first = " ".join(lines) if not status.final else next(iter(lines), "")
    general = status.cause.sentence if status.cause is not Cause.EXIT_CODE else f"exit code {status.exit_code}"
    return "" if first == status.cause.sentence or first.endswith(general) else first


def reason(job: JobRow) -> str:
    """`specific_reason`, and a note if the job is finished and its outputs are not downloaded yet."""
    uncollected = "not collected yet" if job.status.final and not finished_and_collected(job) else ""
    return "; ".join(filter(None, [specific_reason(job), uncollected]))


def payload_scalars(row: JobRow) -> dict[str, Any]:
    """The results of the payload that fit a cell of a table: neither lists nor mappings."""
    own = {key: value for key, value in (row.results or {}).items() if key != "error" or not did_not_complete(row)}
    return {key: value for key, value in own.items() if value is not None and not isinstance(value, dict | list)}


def value_text(value: Any) -> str:
    """A result as text for a cell: numbers with five digits, long text cut."""
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.5g}"
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def distinguishing_results(jobs: Sequence[JobRow], *, most: int) -> list[str]:
    """The keys of results that a table shows by default: those that differ between jobs, real numbers first.

    Args:
        most: how many keys at most.
    """
    found: dict[str, list[Any]] = {}
    for job in jobs:
        for key, value in payload_scalars(job).items():
            found.setdefault(key, []).append(value)
    differing = [key for key, values in found.items() if len(set(map(repr, values))) > 1] or list(found)
    best = sorted(differing, key=lambda key: not isinstance(found[key][0], float))[:most]
    return [key for key in found if key in best]


def as_json(row: JobRow) -> dict[str, Any]:
    """A job for ``--json``. Programs rely on these keys."""
    status = row.status
    return {
        "job_id": row.job_id,
        "site": row.site,
        "campaign": row.campaign,
        "state": status.state.word,
        "cause": status.cause.word or None,
        "exit_code": status.exit_code,
        "reason": status.reason or None,
        "batch_id": shown_id(row) or None,
        "node": status.node or None,
        "attempt": row.retries + 1,
        "working_dir": row.working_dir,
        "started": status.started.isoformat() if status.started else None,
        "ended": status.ended.isoformat() if status.ended else None,
        "results": row.results,
        "outputs": _outputs(row),
        "token": row.bundle,
        "remote_dir": row.remote_dir,
    }


def _outputs(row: JobRow) -> dict[str, list[str]] | None:
    """Pattern → local paths; None until they are collected, or if they cannot be read: that hides no other job."""
    try:
        return row.facts.outputs if row.facts is not None else None
    except LedgerError:
        return None
