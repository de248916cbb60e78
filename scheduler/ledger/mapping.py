"""Rows of the ledger's database to values and back, by column name. Nothing here reads or writes a file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timezone
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any

from scheduler.job.outcome.facts import Facts
from scheduler.job.state import Cause, JobState, Status
from scheduler.ledger import large_results, stored_facts
from scheduler.ledger.rows import AttemptRow, BatchRow, Cancelling, Element, JobRow, PolledBatch, Slot, Stand, StateRow
from scheduler.ledger.soundness import UNSOUND, Columns, report
from scheduler.ledger.tables import STATUS

_STATES = {state.word: state for state in JobState}
_CAUSES = {cause.word: cause for cause in Cause}


def columns(cursor: sqlite3.Cursor, *names: str) -> Callable[[sqlite3.Row], tuple[Any, ...]]:
    """A function from a row to the values of these columns, at least two.

    For queries with thousands of rows: ``row[name]`` searches the names of all columns at each access, this does once.
    """
    order = [column[0] for column in cursor.description]
    return itemgetter(*(order.index(name) for name in names))


_COMMON = ("bundle", "first", "folder", "sent", "name", "batch_id", "campaign", "site", "type", "patterns", "count",
           "packed", "slot", "resources", "retry", "template", "batch_system")  # fmt: skip
"""The columns of the query `JOBS` that many jobs have in common: those jobs share the values in memory."""
_COMPUTED = ("status", "results", "facts", "collected", "cancelling", "in_array", "waiting")
_OWN = tuple(field.name for field in fields(JobRow) if field.name not in (*_COMMON, *_COMPUTED))


def job_rows(cursor: sqlite3.Cursor, folder: Path) -> list[JobRow]:
    """The rows of the query `JOBS`. `folder`: the state folder, which has large results."""
    common_of, status_of = columns(cursor, *_COMMON), columns(cursor, *STATUS)
    own_of = columns(cursor, *_OWN, "collected", "cancelling", "results", "facts")
    common, known = lru_cache(maxsize=None)(_common_values), Columns(cursor)
    found = []
    for row in cursor:
        try:
            known.check(row)
            *own, collected, cancelling, results, facts = own_of(row)
            status, of_all = _status(status_of(row)), common(common_of(row))
            known_of = _results_and_facts(results, facts, status, folder, patterns=of_all[_PATTERNS])
            computed = (status, *known_of, bool(collected), Cancelling(cancelling))
            found.append(JobRow(*_in_order((*own, *computed, *of_all))))
        except UNSOUND as error:
            why = error if None not in (row["count"], row["sent"]) else ValueError("its batch is not recorded")
            report(f"job {row['job_id']!r:.100} (key {row['key']!r:.30})", why)
    return found


def _results_and_facts(
    text: str | None, facts: str | None, status: Status, folder: Path, *, patterns: Sequence[str]
) -> tuple[Mapping[str, Any] | None, Facts | None]:
    results = large_results.read(text, folder)
    if facts is not None:
        return results, stored_facts.read(facts, folder, patterns=patterns)
    return (None, None) if results is None else stored_facts.of_older_version(results, status, patterns=patterns)


def _common_values(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values of the columns `_COMMON`, with what follows from them."""
    row = dict(zip(_COMMON, values, strict=True))
    in_array, waiting = row["count"] > 1 and not row["packed"], Slot(row["slot"]) is Slot.WAITS
    patterns, options = json.loads(row["patterns"]), [json.loads(row[name]) for name in ("resources", "retry")]
    if not isinstance(patterns, list) or not all(isinstance(one, str) for one in patterns):
        raise ValueError("its patterns are no list of text")
    if not all(isinstance(one, dict) for one in options):
        raise ValueError("its resources or retry are no mapping")
    row |= {"sent": bool(row["sent"]), "packed": bool(row["packed"]), "patterns": tuple(patterns)}
    return (in_array, waiting, *row.values())


_PATTERNS = 2 + _COMMON.index("patterns")
"""Where `_common_values` has the patterns."""
_in_order = itemgetter(*((*_OWN, *_COMPUTED, *_COMMON).index(field.name) for field in fields(JobRow)))
"""The values of `_OWN`, `_COMPUTED` and `_COMMON` in the order of the fields of `JobRow`."""


def elements(cursor: sqlite3.Cursor) -> Iterator[tuple[str, int, Element]]:
    """The rows of the query `ELEMENTS`: bundle and first element of the batch, and the element."""
    own_of = columns(cursor, "bundle", "first", "key", "element", "silent", "silent_since")
    status_of, known = columns(cursor, *STATUS), Columns(cursor)
    for row in cursor:
        try:
            known.check(row)
            bundle, first, key, element, silent, silent_since = own_of(row)
            one = Element(key, element, _status(status_of(row)), silent, silent_since)
        except UNSOUND as error:
            report(f"the job with key {row['key']!r:.30}", error)
            continue
        yield bundle, first, one


def polled_batches(cursor: sqlite3.Cursor) -> Iterator[PolledBatch]:
    """The rows of the query `POLLED`."""
    known = Columns(cursor)
    for row in cursor:
        try:
            known.check(row)
            if not row["elements"].replace(",", "").isdecimal():
                raise ValueError("its elements are no numbers")
        except UNSOUND as error:
            report(f"batch {row['name']!r:.100}", error)
            continue
        yield PolledBatch(**row)


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


def attempt_rows(cursor: sqlite3.Cursor) -> Iterator[AttemptRow]:
    """The rows of the query `ATTEMPTS`."""
    names = ("job", "retries", "folder", "element", "batch_system", "batch_id", "resources", "replaced")
    known = Columns(cursor)
    for row in cursor:
        try:
            known.check(row)
            status, packed = _status(tuple(row[name] for name in STATUS)), bool(row["packed"])
        except UNSOUND as error:
            report(f"attempt {row['retries']!r:.30} of the job with key {row['job']!r:.30}", error)
            continue
        index = 0 if packed else row["element"] - row["first"]
        in_array = row["count"] > 1 and not packed
        yield AttemptRow(**{name: row[name] for name in names}, index=index, in_array=in_array, status=status)


def state_rows(cursor: sqlite3.Cursor) -> Iterator[StateRow]:
    """Rows with the columns of `StateRow`."""
    known = Columns(cursor)
    for row in cursor:
        try:
            known.check(row)
            state, cancelling = _STATES[row["state"]], Cancelling(row["cancelling"])
            yield StateRow(row["key"], row["first"], row["element"], state, row["silent"], cancelling)
        except UNSOUND as error:
            report(f"the job with key {row['key']!r:.30}", error)


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
    values = {name: getattr(status, name) for name in STATUS} | converted
    return {name: storable(value) if isinstance(value, str) else value for name, value in values.items()}


def storable(text: str) -> str:
    """Text for the ledger, which holds UTF-8: a byte of a file name that is none, or half a character, is an escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)
