"""Rows of the ledger's database to values and back, by column name. Nothing here reads or writes a file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import datetime, timezone
from functools import lru_cache
from operator import itemgetter
from typing import Any

from scheduler.job.state import Cause, JobState, Status
from scheduler.ledger.rows import AttemptRow, BatchRow, Cancelling, Element, JobRow, Slot, Stand, StateRow
from scheduler.ledger.tables import STATUS

_STATES = {state.word: state for state in JobState}
_CAUSES = {cause.word: cause for cause in Cause}
_CANCELLING = tuple(Cancelling)


def columns(cursor: sqlite3.Cursor, *names: str) -> Callable[[sqlite3.Row], tuple[Any, ...]]:
    """A function from a row to the values of these columns, at least two.

    For queries with thousands of rows: ``row[name]`` searches the names of all columns at each access, this does once.
    """
    order = [column[0] for column in cursor.description]
    return itemgetter(*(order.index(name) for name in names))


_COMMON = ("bundle", "first", "folder", "sent", "name", "batch_id", "campaign", "site", "type", "patterns", "count",
           "packed", "slot", "resources", "retry", "template", "batch_system")  # fmt: skip
"""The columns of the query `JOBS` that many jobs have in common: those jobs share the values in memory."""
_COMPUTED = ("status", "results", "collected", "cancelling", "in_array", "waiting")
_OWN = tuple(field.name for field in fields(JobRow) if field.name not in (*_COMMON, *_COMPUTED))


def job_rows(cursor: sqlite3.Cursor) -> list[JobRow]:
    """The rows of the query `JOBS`."""
    common_of, status_of = columns(cursor, *_COMMON), columns(cursor, *STATUS)
    own_of = columns(cursor, *_OWN, "collected", "results", "cancelling")
    common = lru_cache(maxsize=None)(_common_values)
    found = []
    for row in cursor:
        *own, collected, results, cancelling = own_of(row)
        computed = (
            _status(status_of(row)),
            json.loads(results) if results else None,
            bool(collected),
            _CANCELLING[cancelling],
        )
        found.append(JobRow(*_in_order((*own, *computed, *common(common_of(row))))))
    return found


def _common_values(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values of the columns `_COMMON`, with what follows from them."""
    row = dict(zip(_COMMON, values, strict=True))
    in_array, waiting = row["count"] > 1 and not row["packed"], row["slot"] == Slot.WAITS
    row |= {"sent": bool(row["sent"]), "packed": bool(row["packed"]), "patterns": tuple(json.loads(row["patterns"]))}
    return (in_array, waiting, *row.values())


_in_order = itemgetter(*((*_OWN, *_COMPUTED, *_COMMON).index(field.name) for field in fields(JobRow)))
"""The values of `_OWN`, `_COMPUTED` and `_COMMON` in the order of the fields of `JobRow`."""


def elements(cursor: sqlite3.Cursor) -> Iterator[tuple[str, int, Element]]:
    """The rows of the query `ELEMENTS`: bundle and first element of the batch, and the element."""
    own_of = columns(cursor, "bundle", "first", "key", "element", "silent", "silent_since")
    status_of = columns(cursor, *STATUS)
    for row in cursor:
        bundle, first, key, element, silent, silent_since = own_of(row)
        yield bundle, first, Element(key, element, _status(status_of(row)), silent, silent_since)


def batch_row(row: sqlite3.Row) -> BatchRow:
    """A row of the table `batches`."""
    names = ("bundle", "first", "count", "name", "batch_id", "handovers")
    packed, full = bool(row["packed"]), bool(row["full"])
    return BatchRow(**{name: row[name] for name in names}, packed=packed, slot=Slot(row["slot"]), full=full)


def new_batches(token: str, batches: Iterable[tuple[int, int, str, bool]]) -> Iterator[Mapping[str, Any]]:
    """Values for `NEW_BATCH`; none of them has a slot yet.

    Args:
        token: of their bundle.
        batches: of each the first element, the count, the name, and whether it is packed.
    """
    names = ("first", "count", "name", "packed")
    return ({"bundle": token, "slot": Slot.WAITS} | dict(zip(names, one, strict=True)) for one in batches)


def attempt_row(row: sqlite3.Row) -> AttemptRow:
    """A row of the query `ATTEMPTS`."""
    names = ("job", "retries", "folder", "element", "batch_system", "batch_id", "resources", "replaced")
    status, packed = _status(tuple(row[name] for name in STATUS)), bool(row["packed"])
    index = 0 if packed else row["element"] - row["first"]
    in_array = row["count"] > 1 and not packed
    return AttemptRow(**{name: row[name] for name in names}, index=index, in_array=in_array, status=status)


def state_row(row: sqlite3.Row) -> StateRow:
    """A row with the columns of `StateRow`."""
    state, cancelling = _STATES[row["state"]], _CANCELLING[row["cancelling"]]
    return StateRow(row["key"], row["first"], row["element"], state, row["silent"], cancelling)


def stand(row: sqlite3.Row) -> Stand:
    """A row with the columns of `Stand`."""
    return Stand(_STATES[row["state"]], row["cause"], row["exit_code"], row["collected"])


@lru_cache(maxsize=1 << 14)
def _status(values: tuple[Any, ...]) -> Status:
    """The status in the columns `STATUS`. Jobs with equal values share one object."""
    named = dict(zip(STATUS, values, strict=True))
    named |= {"state": _STATES[named["state"]], "cause": _CAUSES[named["cause"]]}
    return Status(**named | {"started": _time(named["started"]), "ended": _time(named["ended"])})


def status_values(status: Status) -> Mapping[str, Any]:
    """A status as the columns `STATUS`."""
    started, ended = (time.timestamp() if time else None for time in (status.started, status.ended))
    converted = {"state": status.state.word, "cause": status.cause.word, "started": started, "ended": ended}
    return {name: getattr(status, name) for name in STATUS} | converted


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)
