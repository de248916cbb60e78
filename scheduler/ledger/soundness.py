"""Whether a row of the ledger makes sense. SQLite stores any value in any column, and a row may be edited or damaged.

A row that makes no sense is skipped and reported, so that it hides no other row.
"""

from __future__ import annotations

import logging
import sqlite3
from functools import cached_property

LOGGER = logging.getLogger("scheduler.ledger")
"""Without a handler of the user, Python prints its warnings on stderr."""
UNSOUND = (KeyError, ValueError, TypeError, ArithmeticError, AttributeError, OSError, RecursionError)
"""What reading a value raises that makes no sense."""
LATEST = 1e10
"""A time in seconds since 1970, in the year 2286."""

_WHOLE = ("key", "first", "element", "sent", "count", "size", "packed", "slot", "full", "silent", "collected",
          "requeues", "retries", "job")  # fmt: skip
_TEXT = ("bundle", "job_id", "site", "type", "working_dir", "patterns", "state", "cause", "raw", "reason", "node",
         "resources", "retry", "name", "batch_system", "settled_digest", "content", "elements", "keys")  # fmt: skip
_TIMES = ("created", "updated", "replaced")
_NULLABLE_TEXT = ("folder", "batch_id", "campaign", "results", "facts", "template")
_NULLABLE_TIMES = ("started", "ended", "silent_since")
_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(_WHOLE, (int,)),
    **dict.fromkeys(_TEXT, (str,)),
    **dict.fromkeys(_TIMES, (float, int)),
    **dict.fromkeys(_NULLABLE_TEXT, (str, type(None))),
    **dict.fromkeys(_NULLABLE_TIMES, (float, int, type(None))),
    "exit_code": (int, type(None)),
}


class Columns:
    """The columns of a query: checks its rows.

    Args:
        cursor: the query.
    """

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._names = [column[0] for column in cursor.description]
        self._sound: set[tuple[type, ...]] = set()

    @cached_property
    def _times(self) -> list[int]:
        return [at for at, name in enumerate(self._names) if name in (*_TIMES, *_NULLABLE_TIMES)]

    def check(self, row: sqlite3.Row) -> None:
        """Check the kinds of a row's values, and its times.

        Raises:
            ValueError: one makes no sense; the message names its column.
        """
        values = tuple(row)
        kinds = tuple(map(type, values))
        if kinds not in self._sound:  # most rows have the same kinds
            for name, kind in zip(self._names, kinds, strict=True):
                if kind not in _KINDS.get(name, (kind,)):
                    raise ValueError(f"its {name} is not {_KINDS[name][0].__name__}")
            self._sound.add(kinds)
        for at in self._times:
            if values[at] is not None and not 0 <= values[at] < LATEST:
                raise ValueError(f"its {self._names[at]} is no time")


_reported: set[str] = set()


def report(what: str, error: BaseException) -> None:
    """Report a row that is skipped, once in a process."""
    line = (
        f"the ledger's record of {what} makes no sense and is left out ({type(error).__name__}: {str(error)[:200]!r})"
    )
    if line not in _reported:
        _reported.add(line)
        LOGGER.warning(line)
