"""Rows of the ledger as values. Nothing here reads or writes a file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

from scheduler.job.state import Cause, JobState, Status

_STATES = {state.word: state for state in JobState}
_CAUSES = {cause.word: cause for cause in Cause}


@dataclass(frozen=True)
class BatchRow:
    """What was handed to the batch system at once: a job, or an array."""

    bundle: str
    first: int
    count: int
    name: str
    batch_id: str | None
    words: str


@dataclass(frozen=True)
class JobRow:
    """A job as the ledger knows it.

    Attributes:
        key: its number in the ledger.
        bundle, first, element: its submission, the first element of its batch, its own number.
        folder: the bundle's folder over there, once it is known.
        sent: the site has answered for all of the bundle.
        name, batch_id: of its batch; the id is None until it is known.
        patterns: its declared outputs.
        silent, silent_since: for how many polls, and since when, nobody has known anything of it.
        collected: its outputs and results are home, or never will be.
    """

    key: int
    bundle: str
    first: int
    element: int
    folder: str | None
    sent: bool
    name: str
    batch_id: str | None
    job_id: str
    campaign: str | None
    site: str
    type: str
    working_dir: str
    patterns: list[str]
    status: Status
    silent: int
    silent_since: float | None
    collected: bool
    results: dict[str, Any] | None
    created: float
    updated: float

    @property
    def index(self) -> int:
        """Its index in its batch."""
        return self.element - self.first

    @property
    def shown_id(self) -> str:
        """Its id as the batch system's own commands show it."""
        if self.batch_id is None:
            return ""
        base = self.batch_id.split(";")[0]
        if self.in_array and "[]" in base:  # PBS
            return base.replace("[]", f"[{self.index}]")
        return f"{base}_{self.index}" if self.in_array and base.isdecimal() else base

    in_array: bool = False


def job_row(row: sqlite3.Row) -> JobRow:
    """A row of the ledger's query for jobs."""
    return JobRow(
        **{name: row[name] for name in _PLAIN},
        sent=bool(row["sent"]),
        patterns=list(_patterns(row["patterns"])),
        status=_status(row),
        collected=bool(row["collected"]),
        results=json.loads(row["results"]) if row["results"] else None,
        in_array=row["count"] > 1,
    )


_PLAIN = (
    "key", "bundle", "first", "element", "folder", "name", "batch_id", "job_id", "campaign", "site", "type",
    "working_dir",
    "silent", "silent_since", "created", "updated",
)  # fmt: skip


@lru_cache
def _patterns(text: str) -> tuple[str, ...]:
    """Jobs of a campaign mostly have the same."""
    return tuple(json.loads(text))


def _status(row: sqlite3.Row) -> Status:
    return Status(
        state=_STATES[row["state"]],
        cause=_CAUSES[row["cause"]],
        exit_code=row["exit_code"],
        raw=row["raw"],
        reason=row["reason"],
        node=row["node"],
        started=_time(row["started"]),
        ended=_time(row["ended"]),
        attempt=row["attempt"],
    )


def status_values(status: Status) -> Mapping[str, Any]:
    """A status as the columns of the ledger."""
    return {
        "state": status.state.word,
        "cause": status.cause.word,
        "exit_code": status.exit_code,
        "raw": status.raw,
        "reason": status.reason,
        "node": status.node,
        "started": status.started.timestamp() if status.started else None,
        "ended": status.ended.timestamp() if status.ended else None,
        "attempt": status.attempt,
    }


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)
