"""The part of the ledger about attempts: how a job gets its next attempt, and what its earlier attempts were.

The row of a job in `jobs` is always its last attempt, so that a reader of jobs needs to know nothing of attempts.
"""

from __future__ import annotations

import json
import sqlite3
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
    NEW_CONTENT,
    NEW_JOB,
    NEXT_ATTEMPT,
    OBSERVATION,
    RENEW,
    RESTORE_PREVIOUS,
    RESTORE_SITE,
    TAKEN,
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
                        raise Changed
                    where = {"first": move.first, "element": move.element, "resources": move.resources}
                    db.execute(NEXT_ATTEMPT, {"key": move.row.key, **where, **new})
                    db.execute(OBSERVATION, {"job": move.row.key, "at": now, "text": move.why})
        except Changed:
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
                _restore(db, key, now)
                db.execute(ADD_REASON, {"key": key, "why": why})
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

    def contents(self, digests: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """The parts of recorded contents, by their digests."""
        return {row["digest"]: _mapping(row["parts"]) for row in self._contents(digests)}

    def contents_of(self, keys: Iterable[int]) -> dict[int, str]:
        """The digests of the contents of jobs' last attempts, by key."""
        query = "SELECT key, content FROM jobs WHERE key IN (SELECT value FROM json_each(?))"
        with self._database.reading() as db:
            return {row["key"]: row["content"] for row in db.execute(query, (json.dumps(list(keys)),))}

    def paths(self, digests: Iterable[str]) -> dict[str, str]:
        """The local files of recorded contents: path → the digest that the file had."""
        return {path: was for row in self._contents(digests) for path, was in _mapping(row["paths"]).items()}

    def _contents(self, digests: Iterable[str]) -> list[sqlite3.Row]:
        query = "SELECT * FROM contents WHERE digest IN (SELECT value FROM json_each(?))"
        with self._database.reading() as db:
            return db.execute(query, (json.dumps(list(digests)),)).fetchall()


def _mapping(text: object) -> Mapping[str, Any]:
    try:
        parts = json.loads(str(text))
    except ValueError:  # a damaged row
        return {}
    return parts if isinstance(parts, dict) else {}


def record_jobs(
    db: sqlite3.Connection, jobs: Mapping[int, Mapping[str, Any]], renewed: Mapping[int, tuple[JobRow, str]],
    contents: Mapping[str, tuple[str, str]],
) -> list[int]:  # fmt: skip
    """Record the jobs of a bundle, and give further attempts to those that the ledger has.

    Args:
        db: in a transaction.
        jobs: element → the values of the columns of `NEW_JOB`.
        renewed: element → the job as it was when this was decided, and a line for its history.
        contents: digest → the parts and the paths, as JSON.

    Returns:
        Their keys, in the order of their elements.

    Raises:
        Changed: a renewed job is not as it was, or the campaign has a new one by now.
    """
    db.executemany(NEW_CONTENT, ((digest, *texts) for digest, texts in contents.items()))
    for element, (row, why) in renewed.items():
        _renew(db, row, jobs[element], why)
    new = [job for element, job in jobs.items() if element not in renewed]
    if any(db.execute(TAKEN, job).fetchone() for job in new if job["campaign"]):
        raise Changed
    db.executemany(NEW_JOB, new)
    token = next(iter(jobs.values()))["bundle"]
    keys = db.execute("SELECT key FROM jobs WHERE bundle = ? ORDER BY element", (token,)).fetchall()
    return [row["key"] for row in keys]


def _renew(db: sqlite3.Connection, row: JobRow, job: Mapping[str, Any], why: str) -> None:
    now = time.time()
    if not db.execute(KEEP_ATTEMPT, {**_judged(row), "now": now}).rowcount:
        raise Changed
    values = {**job, "key": row.key, "now": now}
    db.execute(NEXT_ATTEMPT, values)
    db.execute(RENEW, values)
    db.execute(OBSERVATION, {"job": row.key, "at": now, "text": why})


def delete_last(db: sqlite3.Connection, token: str) -> None:
    """Delete the attempts of a bundle. Jobs with earlier attempts get their previous one back, others are deleted."""
    earlier = "SELECT key FROM jobs WHERE bundle = ? AND key IN (SELECT job FROM attempts)"
    for row in db.execute(earlier, (token,)).fetchall():
        _restore(db, row["key"], time.time())
    db.execute("DELETE FROM jobs WHERE bundle = ?", (token,))


def _restore(db: sqlite3.Connection, key: int, now: float) -> None:
    """Make the previous attempt of a job its last one."""
    for statement in (RESTORE_PREVIOUS, DROP_LAST, RESTORE_SITE):
        db.execute(statement, {"key": key, "now": now})


class Changed(Exception):
    """A job is no longer as it was when its next attempt was decided."""


def _judged(row: JobRow) -> Mapping[str, Any]:
    status = row.status
    return {"key": row.key, "was": row.bundle, "judged": status.state.word, "judged_cause": status.cause.word,
            "retry": row.retry}  # fmt: skip
