"""The part of the ledger about attempts: how a job gets its next attempt, and what its earlier attempts were.

The row of a job in `jobs` is always its last attempt, so that a reader of jobs needs to know nothing of attempts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scheduler.job.state import JobState
from scheduler.ledger.database import Database
from scheduler.ledger.mapping import attempt_rows, new_batches
from scheduler.ledger.recovery import Recovery
from scheduler.ledger.rows import AttemptRow, Cancelling, JobRow
from scheduler.ledger.tables import (
    ADD_REASON,
    ATTEMPTS,
    DROP_LAST,
    KEEP_ATTEMPT,
    NEW_BATCH,
    NEW_BUNDLE,
    NEXT_ATTEMPT,
    OBSERVATION,
    RESTORE_PREVIOUS,
)

_FINAL = ", ".join(f"'{state.word}'" for state in JobState if state.final)  # no text of a user


@dataclass(frozen=True)
class Move:
    """The next attempt of a job.

    Attributes:
        row: the job when the next attempt was decided.
        first, element: the first element of its batch in the new bundle, and its own number there.
        resources: the resources that it requests there, as JSON.
        why: a line for its history.
    """

    row: JobRow
    first: int
    element: int
    resources: str
    why: str


class Attempts:
    """Attempts of jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(
        self, *, token: str, site: str, site_json: Mapping[str, Any], batches: Iterable[tuple[int, int, str, bool]],
        moves: Sequence[Move],
    ) -> bool:  # fmt: skip
        """Record the intent to submit the next attempts of these jobs. It is on disk when this returns.

        Args:
            token: of the new bundle.
            site, site_json: the site's name and settings.
            batches: of each batch the first element, the count, the name, and whether it is packed.
            moves: the jobs.

        Returns:
            False, and nothing is recorded, if one of the jobs has changed: another process was first.
        """
        now = time.time()
        new = {"bundle": token, "state": JobState.SUBMITTING.word, "now": now}
        bundle = {"token": token, "site": site, "site_json": json.dumps(site_json), "owner": self._database.me(),
                  "created": now, "python": "", "probe": "", "owned_at": now}  # fmt: skip
        try:
            with self._database.writing() as db:
                db.execute(NEW_BUNDLE, bundle)
                db.executemany(NEW_BATCH, new_batches(token, batches))
                for move in moves:
                    if not db.execute(KEEP_ATTEMPT, {**_judged(move.row), "now": now}).rowcount:
                        raise _Changed
                    where = {"first": move.first, "element": move.element, "resources": move.resources}
                    db.execute(NEXT_ATTEMPT, {"key": move.row.key, **where, **new})
                    db.execute(OBSERVATION, {"job": move.row.key, "at": now, "text": move.why})
        except _Changed:
            return False
        Recovery(self._database).note(token, site)
        return True

    def undo(self, refused: Mapping[int, str]) -> None:
        """Delete the last attempts of jobs, because they were refused. The previous attempt becomes the last one.

        Args:
            refused: key of a job → why, for its reason and its history.
        """
        now = time.time()
        with self._database.writing() as db:
            for key, why in refused.items():
                values = {"key": key, "now": now, "why": why}
                for statement in (RESTORE_PREVIOUS, DROP_LAST, ADD_REASON):
                    db.execute(statement, values)
                db.execute(OBSERVATION, {"job": key, "at": now, "text": why})

    def disable_retry(self, keys: Iterable[int]) -> None:
        """Disable the automatic retry of those among these jobs that are not collected."""
        with self._database.writing() as db:
            db.executemany("UPDATE jobs SET retry = '{}' WHERE key = ? AND collected = 0", [(key,) for key in keys])

    def request_cancel(self, keys: Iterable[int]) -> None:
        """Record that these jobs are to be cancelled, unless they have finished: from now on no process may hand them
        to the batch system, or give them another attempt."""
        cancel = (
            f"UPDATE jobs SET retry = '{{}}', cancelling = CASE WHEN state IN ({_FINAL}) THEN 0 ELSE 1 END"  # noqa: S608
            " WHERE key = ? AND collected = 0"
        )
        with self._database.writing() as db:
            db.executemany(cancel, [(key,) for key in keys])

    def record_cancel_sent(self, elements: Iterable[tuple[str, int]]) -> None:
        """Record that the batch system has accepted the cancellation of these jobs, each a bundle and an element."""
        sent = "UPDATE jobs SET cancelling = ? WHERE bundle = ? AND element = ? AND cancelling = ?"
        values = [(Cancelling.SENT, bundle, element, Cancelling.REQUESTED) for bundle, element in elements]
        with self._database.writing() as db:
            db.executemany(sent, values)

    def of(self, keys: Iterable[int]) -> list[AttemptRow]:
        """The earlier attempts of these jobs, oldest first."""
        with self._database.reading() as db:
            return list(attempt_rows(db.execute(ATTEMPTS, (json.dumps(list(keys)),))))


class _Changed(Exception):
    """A job is no longer as it was when its next attempt was decided."""


def _judged(row: JobRow) -> Mapping[str, Any]:
    status = row.status
    return {"key": row.key, "was": row.bundle, "judged": status.state.word, "judged_cause": status.cause.word,
            "retry": row.retry}  # fmt: skip
