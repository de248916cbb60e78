"""Rows of the ledger as values. Nothing here reads or writes a file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

from scheduler.job.state import Cause, JobState, Status

_STATES = {state.word: state for state in JobState}
_CAUSES = {cause.word: cause for cause in Cause}


class Slot(IntEnum):
    """Whether a batch may be handed to the batch system."""

    WAITS = 0
    """Not yet: the site takes no more for now."""
    HAS = 1
    """It may be, or has been."""
    NEVER = 2
    """All of its jobs were cancelled while it waited."""


@dataclass(frozen=True, slots=True)
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
    place: Slot
    full: bool


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as the ledger knows it.

    Attributes:
        key: its number in the ledger.
        bundle, first, element: its submission, the first element of its batch, its own number.
        folder: the bundle's folder over there, once it is known.
        sent: the site has answered for all of the bundle.
        name, batch_id: of its batch; the id is None until it is known.
        batch_system: the name of the site's batch system, or empty if the ledger does not know it.
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
    patterns: Sequence[str]
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

    in_array: bool = False
    packed: bool = False
    waiting: bool = False
    resources: str = "{}"
    retry: str = "{}"
    template: str | None = None
    tries: int = 0
    batch_system: str = ""


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt of a job that was followed by another one.

    Attributes:
        tries: its number; the first is 0.
        folder, element: where it is over there.
        batch_system, batch_id, index, in_array: as in `JobRow`.
        resources: what it asked for, as JSON.
        over: when the next one was decided on.
    """

    job: int
    tries: int
    folder: str | None
    element: int
    batch_system: str
    batch_id: str | None
    index: int
    in_array: bool
    status: Status
    resources: str
    over: float


def attempt_row(row: sqlite3.Row) -> AttemptRow:
    """A row of the ledger's query for attempts."""
    names = ("job", "tries", "folder", "element", "batch_system", "batch_id", "resources", "over")
    status, packed = _status(*(row[name] for name in _STATUS)), bool(row["packed"])
    index = 0 if packed else row["element"] - row["first"]
    in_array = row["count"] > 1 and not packed
    return AttemptRow(**{name: row[name] for name in names}, index=index, in_array=in_array, status=status)


_STATUS = ("state", "cause", "exit_code", "raw", "reason", "node", "started", "ended", "attempt", "tries")


def job_rows(rows: Iterable[sqlite3.Row]) -> list[JobRow]:
    """Rows of the ledger's query for jobs. What many of them have in common is held once."""
    same: Callable[[Any, Any], Any] = {}.setdefault
    return [_job_row(row, same) for row in rows]


def _job_row(row: sqlite3.Row, same: Callable[[Any, Any], Any]) -> JobRow:
    bundle, first, element, folder, sent, name, batch_id, job_id, campaign, site, kind, home, patterns = row[1:14]
    silent, since, collected, results, created, updated, count, packed, place, resources, retry = row[24:35]
    template, system = row[35:37]
    return JobRow(
        row[0], same(bundle, bundle), first, element, same(folder, folder), bool(sent), same(name, name),
        same(batch_id, batch_id), job_id, same(campaign, campaign), same(site, site), same(kind, kind), home,
        _patterns(patterns), _status(*row[14:24]), silent, since, bool(collected),
        json.loads(results) if results else None, created, updated, count > 1 and not packed, bool(packed),
        place == Slot.WAITS, same(resources, resources), same(retry, retry), template,
        row[23], same(system, system),
    )  # fmt: skip


@lru_cache
def _patterns(text: str) -> Sequence[str]:
    """Jobs of a campaign mostly have the same."""
    return tuple(json.loads(text))


class AskedBatch(NamedTuple):
    """A batch of which something goes on.

    Attributes:
        bundle, first, size, name, batch_id, packed: as in `BatchRow`; `size` is its count.
        folder: of its bundle over there.
        heard: what was said of it when it was asked after last, if that has settled it.
        elements, keys: the numbers of its elements that go on, and their keys, with commas between.
    """

    bundle: str
    first: int
    size: int
    name: str
    batch_id: str | None
    packed: int
    folder: str
    heard: str
    elements: str
    keys: str

    @property
    def in_array(self) -> bool:
        """It is an array of the batch system."""
        return self.size > 1 and not self.packed


class Element(NamedTuple):
    """A job of such a batch: as much of it as a poll may change."""

    key: int
    element: int
    status: Status
    silent: int
    silent_since: float | None


def element(row: sqlite3.Row) -> Element:
    """A row of the ledger's query for elements."""
    return Element(row[0], row[3], _status(*row[4:14]), row[14], row[15])


class StateRow(NamedTuple):
    """Where one job of a submission stands."""

    key: int
    first: int
    element: int
    state: JobState


def state_row(row: sqlite3.Row) -> StateRow:
    """A row of key, first, element, state."""
    return StateRow(row[0], row[1], row[2], _STATES[row[3]])


class Stand(NamedTuple):
    """Where a job stands, as far as those care who wait for it."""

    state: JobState
    cause: str
    exit_code: int | None
    collected: int

    @property
    def done(self) -> bool:
        """It has ended and is home."""
        return self.state.final and bool(self.collected)


def stand(row: sqlite3.Row) -> Stand:
    """A row that begins with state, cause, exit code, collected."""
    return Stand(_STATES[row[0]], *row[1:4])


@lru_cache(maxsize=1 << 14)
def _status(
    state: str, cause: str, exit_code: int | None, raw: str, reason: str, node: str, started: float | None,
    ended: float | None, attempt: int, tries: int,
) -> Status:  # fmt: skip
    """Jobs that stand alike have one status for all."""
    since, until = _time(started), _time(ended)
    return Status(_STATES[state], _CAUSES[cause], exit_code, raw, reason, node, since, until, attempt, tries)


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
