"""Jobs of the ledger as a person or a program reads them: counts, times, JSON. Values in, values out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from scheduler.batch.shown_id import shown_id
from scheduler.job.state import Cause, JobState
from scheduler.ledger.rows import JobRow

OF_EVERY_JOB = ("exit_code", "output_files", "stdout", "stderr", "attempts", "error")
"""Keys of the results that are not the payload's own."""
_LONGEST_VALUE = 24


def counts(rows: Sequence[JobRow]) -> dict[str, int]:
    """How many jobs are in each state; only those states that there are, in the order of a job's life."""
    found = Counter(row.status.state for row in rows)
    return {state.word: found[state] for state in JobState if found[state]}


def done_with(row: JobRow) -> bool:
    """It has ended and is home."""
    return row.status.final and row.collected


def did_not_complete(row: JobRow) -> bool:
    """It ended, and not well."""
    return row.status.final and row.status.state is not JobState.COMPLETED


def duration(row: JobRow) -> str:
    """For how long it ran, or runs by now: ``3:25``; empty if it has not begun."""
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
    """Which attempt this is; empty if there was no other."""
    return str(row.tries + 1) if row.tries else ""


def reason_of_its_own(job: JobRow) -> str:
    """One line on why it stands where it stands, if that says more than its status does."""
    status = job.status
    said = status.reason.strip().splitlines()
    told = status.cause.sentence if status.cause is not Cause.EXIT_CODE else f"exit code {status.exit_code}"
    return "" if not said or said[0] == status.cause.sentence or said[0].endswith(told) else said[0]


def reason(job: JobRow) -> str:
    """`reason_of_its_own`, and whether its outputs are still over there."""
    not_home = ["not home yet"] if job.status.final and not job.collected else []
    return "; ".join([one for one in [reason_of_its_own(job)] if one] + not_home)


def own_scalars(row: JobRow) -> dict[str, Any]:
    """Those of the payload's own results that fit a cell."""
    own = {key: value for key, value in (row.results or {}).items() if key not in OF_EVERY_JOB}
    return {key: value for key, value in own.items() if value is not None and not isinstance(value, dict | list)}


def shown_value(value: Any) -> str:
    """A result in a cell: numbers to five digits, text shortened."""
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.5g}"
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def telling_results(jobs: Sequence[JobRow], *, most: int) -> list[str]:
    """Which results a table shows if nobody says: those that differ between jobs, real numbers before other values."""
    found: dict[str, list[Any]] = {}
    for job in jobs:
        for key, value in own_scalars(job).items():
            found.setdefault(key, []).append(value)
    differ = [key for key, values in found.items() if len(set(map(repr, values))) > 1] or list(found)
    best = sorted(differ, key=lambda key: not isinstance(found[key][0], float))[:most]
    return [key for key in found if key in best]


def as_json(row: JobRow) -> dict[str, Any]:
    """A job for a program. These keys stay."""
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
        "attempt": row.tries + 1,
        "working_dir": row.working_dir,
        "started": status.started.isoformat() if status.started else None,
        "ended": status.ended.isoformat() if status.ended else None,
        "results": row.results,
    }
