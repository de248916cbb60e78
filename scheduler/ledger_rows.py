"""Rows of the ledger as values. Nothing here reads or writes a file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import IntEnum
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from scheduler.job.state import Cause, JobState, Status

STATES = {state.word: state for state in JobState}
_CAUSES = {cause.word: cause for cause in Cause}


class Place(IntEnum):
    """Whether a batch may be handed to the batch system."""

    WAITS = 0
    """Not yet: the site takes no more for now."""
    HAS = 1
    """It may be, or has been."""
    NEVER = 2
    """All of its jobs were cancelled while it waited."""


class StateRow(NamedTuple):
    """Where one job of a submission stands."""

    key: int
    first: int
    element: int
    state: JobState


@dataclass(frozen=True)
class BatchRow:
    """What is handed to the batch system at once: a job, an array, or a pack.

    `full`: it was sent away once, because the batch system took no more.
    """

    bundle: str
    first: int
    count: int
    name: str
    batch_id: str | None
    words: str
    packed: bool
    place: Place
    full: bool


@dataclass(frozen=True)
class JobRow:
    """A job as the ledger knows it.

    Attributes:
        key: its number in the ledger.
        bundle, first, element: its submission, the first element of its batch, its own number.
        folder: the bundle's folder over there, once it is known.
        sent: the site has answered for all of the bundle.
        name, batch_id: of its batch; the id is None until it is known.
        waiting: its batch waits here until the site has a place for it.
        in_array, packed: its batch is an array; or is one job of the batch system that runs several of ours.
        patterns: its declared outputs.
        silent, silent_since: for how many polls, and since when, nobody has known anything of it.
        collected: its outputs and results are home, or never will be.
        resources, retry: what it asks for in full, and when it is tried again, as JSON; ``{}``: not known, never.
        template: the path here of its own template, or None.
        tries: how often it was submitted again; the folder, id and status are those of the last time.
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
        """Its index in its batch, as the batch system counts: of a pack there is one for all."""
        return 0 if self.packed else self.element - self.first

    @property
    def shown_id(self) -> str:
        """Its id as the batch system's own commands show it."""
        return _shown_id(self.batch_id, self.index, in_array=self.in_array)

    in_array: bool = False
    packed: bool = False
    waiting: bool = False
    resources: str = "{}"
    retry: str = "{}"
    template: str | None = None
    tries: int = 0


@dataclass(frozen=True)
class AttemptRow:
    """An attempt of a job that was followed by another one.

    Attributes:
        tries: its number; the first is 0.
        folder, element: where it is over there.
        shown_id: as the batch system's own commands show it.
        resources: what it asked for, as JSON.
        over: when the next one was decided on.
    """

    job: int
    tries: int
    folder: str | None
    element: int
    shown_id: str
    status: Status
    resources: str
    over: float


def attempt_row(row: sqlite3.Row) -> AttemptRow:
    """A row of the ledger's query for attempts."""
    names = ("job", "tries", "folder", "element", "resources", "over")
    shown = _shown_id(row["batch_id"], row["element"] - row["first"], in_array=row["count"] > 1 and not row["packed"])
    return AttemptRow(**{name: row[name] for name in names}, shown_id=shown, status=_status(row))


def _shown_id(batch_id: str | None, index: int, *, in_array: bool) -> str:
    if batch_id is None:
        return ""
    base = batch_id.split(";")[0]
    if in_array and "[]" in base:  # PBS
        return base.replace("[]", f"[{index}]")
    return f"{base}_{index}" if in_array and base.isdecimal() else base


def job_row(row: sqlite3.Row) -> JobRow:
    """A row of the ledger's query for jobs."""
    return JobRow(
        **dict(zip(_PLAIN, _plain(row), strict=True)),
        sent=bool(row["sent"]),
        patterns=list(_patterns(row["patterns"])),
        status=_status(row),
        collected=bool(row["collected"]),
        results=json.loads(row["results"]) if row["results"] else None,
        in_array=row["count"] > 1 and not row["packed"],
        packed=bool(row["packed"]),
        waiting=row["place"] == Place.WAITS,
    )


_PLAIN = (
    "key", "bundle", "first", "element", "folder", "name", "batch_id", "job_id", "campaign", "site", "type",
    "working_dir",
    "silent", "silent_since", "created", "updated", "resources", "retry", "template", "tries",
)  # fmt: skip


_plain = itemgetter(*_PLAIN)


@lru_cache
def _patterns(text: str) -> tuple[str, ...]:
    """Jobs of a campaign mostly have the same."""
    return tuple(json.loads(text))


def _status(row: sqlite3.Row) -> Status:
    return Status(
        state=STATES[row["state"]],
        cause=_CAUSES[row["cause"]],
        exit_code=row["exit_code"],
        raw=row["raw"],
        reason=row["reason"],
        node=row["node"],
        started=_time(row["started"]),
        ended=_time(row["ended"]),
        attempt=row["attempt"],
        tries=row["tries"],
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
        "tries": status.tries,
    }


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)
