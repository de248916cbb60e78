"""The part of the ledger that is of attempts: how a job moves to its next one, and what the earlier ones were.

A job's own row is always its last attempt, so that whoever follows jobs need not know of this.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scheduler.job.state import JobState
from scheduler.ledger.database import Database
from scheduler.ledger.mapping import attempt_row, new_batches
from scheduler.ledger.owner import owner
from scheduler.ledger.rows import AttemptRow, JobRow
from scheduler.ledger.tables import (
    ADD_REASON,
    ATTEMPTS,
    DROP_LAST,
    KEEP_ATTEMPT,
    NEW_BATCH,
    NEW_BUNDLE,
    NEXT_ATTEMPT,
    OBSERVATION,
    TAKE_BACK,
)


@dataclass(frozen=True)
class Move:
    """A job goes on to another attempt.

    Attributes:
        row: the job as it was when this was decided.
        first, element: its place in the new bundle.
        resources: what it asks for there, as JSON.
        why: for its history.
    """

    row: JobRow
    first: int
    element: int
    resources: str
    why: str


class Attempts:
    """Attempts of jobs. One object belongs to one thread at a time, as its ledger does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(
        self, *, token: str, site: str, site_json: Mapping[str, Any], batches: Iterable[tuple[int, int, str, bool]],
        moves: Sequence[Move],
    ) -> bool:  # fmt: skip
        """That these jobs are about to be submitted again. On disk when this returns.

        Nothing is recorded, and it is False, if one of them is not as it was: another process was faster.
        """
        now = time.time()
        new = {"bundle": token, "state": JobState.SUBMITTING.word, "now": now}
        bundle = {"token": token, "site": site, "site_json": json.dumps(site_json), "owner": owner(), "created": now,
                  "python": "", "probe": ""}  # fmt: skip
        try:
            with self._database.writing() as db:
                db.execute(NEW_BUNDLE, bundle)
                db.executemany(NEW_BATCH, new_batches(token, batches))
                for move in moves:
                    if not db.execute(KEEP_ATTEMPT, {**_judged(move.row), "now": now}).rowcount:
                        raise _MovedOn
                    where = {"first": move.first, "element": move.element, "resources": move.resources}
                    db.execute(NEXT_ATTEMPT, {"key": move.row.key, **where, **new})
                    db.execute(OBSERVATION, {"job": move.row.key, "at": now, "text": move.why})
        except _MovedOn:
            return False
        return True

    def take_back(self, refused: Mapping[int, str]) -> None:
        """The last attempts of these jobs were not taken, and why: they are again what they were before."""
        now = time.time()
        with self._database.writing() as db:
            for key, why in refused.items():
                values = {"key": key, "now": now, "why": why}
                for statement in (TAKE_BACK, DROP_LAST, ADD_REASON):
                    db.execute(statement, values)
                db.execute(OBSERVATION, {"job": key, "at": now, "text": why})

    def never_again(self, keys: Iterable[int]) -> None:
        """These jobs are not tried again by themselves. Of those that are done with it says nothing."""
        with self._database.writing() as db:
            db.executemany("UPDATE jobs SET retry = '{}' WHERE key = ? AND collected = 0", [(key,) for key in keys])

    def of(self, keys: Iterable[int]) -> list[AttemptRow]:
        """The earlier attempts of these jobs, the first one first."""
        with self._database.reading() as db:
            return [attempt_row(row) for row in db.execute(ATTEMPTS, (json.dumps(list(keys)),))]


class _MovedOn(Exception):
    """A job is not as it was when somebody judged it."""


def _judged(row: JobRow) -> Mapping[str, Any]:
    status = row.status
    return {"key": row.key, "was": row.bundle, "judged": status.state.word, "judged_cause": status.cause.word,
            "retry": row.retry}  # fmt: skip
