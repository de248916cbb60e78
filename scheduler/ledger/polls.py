"""The part of the ledger that one poll reads and writes: batches with unfinished jobs, their elements, what is new."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from scheduler.job.state import JobState, Status
from scheduler.ledger.database import Database
from scheduler.ledger.mapping import elements, polled_batches, stand, status_values, storable
from scheduler.ledger.rows import Element, PolledBatch, Stand
from scheduler.ledger.tables import ELEMENTS, NEW_STATUS, OBSERVATION_OF_ATTEMPT, POLLED, REOPEN, SETTLED, SILENCE

LOST_SECONDS = 7 * 86400.0
"""For how long after its loss each poll of its site looks at a lost job again."""
_WATCHED_SECONDS = 3600.0
"""For how long polls look for a job that was cancelled while it was not known whether the batch system had it."""
_UNFINISHED = json.dumps([state.word for state in JobState if not state.final])


@dataclass
class News:
    """What a poll found out, to be recorded.

    Attributes:
        statuses: key of a job → its new status.
        reopened: keys of those in `statuses` that were lost.
        observations: key of a job in `statuses` → what was observed, for its history.
        silence: key of a job → for how many polls in a row nothing was found of it, since when (seconds since 1970;
            None: it is not silent), and its `retries`.
        ids: (bundle, first element) of a batch whose id was not known → its id.
        settled_digests: (bundle, first element) of a batch → a digest of the poll's lines about it, if the same lines
            would change nothing; else empty.
    """

    statuses: dict[int, Status] = field(default_factory=dict)
    reopened: set[int] = field(default_factory=set)
    observations: dict[int, str] = field(default_factory=dict)
    silence: dict[int, tuple[int, float | None, int]] = field(default_factory=dict)
    ids: dict[tuple[str, int], str] = field(default_factory=dict)
    settled_digests: dict[tuple[str, int], str] = field(default_factory=dict)


class Polls:
    """What a poll needs of the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def unfinished(self, site: str) -> list[PolledBatch]:
        """The batches of a site that have unfinished or recently lost jobs and a known remote folder, oldest first."""
        values = {"site": site, "unfinished": _UNFINISHED, "lost_since": time.time() - LOST_SECONDS}
        values |= {"watched_since": time.time() - _WATCHED_SECONDS}
        return self._database.rows(POLLED, values, polled_batches)

    def elements(self, batches: Sequence[PolledBatch]) -> dict[tuple[str, int], list[Element]]:
        """The elements of `batches` that are still unfinished or lost, by bundle and first element of their batch."""
        found: dict[tuple[str, int], list[Element]] = {(one.bundle, one.first): [] for one in batches}
        keys = f"[{','.join(one.keys for one in batches)}]"
        for bundle, first, one in self._database.rows(ELEMENTS, (keys, _UNFINISHED), elements):
            if (bundle, first) in found:  # else the job has got another attempt meanwhile
                found[bundle, first].append(one)
        return found

    def version(self) -> int:
        """A number that changes when another process writes into the ledger."""
        with self._database.reading() as db:
            return int(db.execute("PRAGMA data_version").fetchone()[0])

    def record(self, news: News, *, version: int) -> None:
        """Record what a poll found out, in one transaction; if there is nothing new, nothing is written.

        Args:
            news: what is new.
            version: `version()` from before the elements were read. If it has changed, another process has written, and
                no digest is kept: its writes may need the jobs to be read again.
        """
        if not (news.statuses or news.silence or news.ids or news.settled_digests):
            return
        now = time.time()
        with self._database.writing() as db:
            unchanged = db.execute("PRAGMA data_version").fetchone()[0] == version
            reopened = ({"key": key, "retries": news.statuses[key].retries} for key in news.reopened)
            db.executemany(REOPEN, reopened)
            changed = ({**status_values(status), "key": key, "now": now} for key, status in news.statuses.items())
            db.executemany(NEW_STATUS, changed)
            observed = (
                {"job": key, "at": now, "text": storable(text), "retries": news.statuses[key].retries}
                for key, text in news.observations.items()
            )
            db.executemany(OBSERVATION_OF_ATTEMPT, observed)
            db.executemany(SILENCE, ((n, at, key, retries) for key, (n, at, retries) in news.silence.items()))
            ids = ((batch_id, *batch) for batch, batch_id in news.ids.items())
            db.executemany("UPDATE batches SET batch_id = ? WHERE bundle = ? AND first = ?", ids)
            digests = ((digest if unchanged else "", *batch) for batch, digest in news.settled_digests.items())
            db.executemany(SETTLED, digests)

    def stands(self, keys: Iterable[int]) -> dict[Stand, int]:
        """How many of these jobs have the same state, cause, exit code and collected flag."""
        query = (
            "SELECT state, cause, exit_code, collected, COUNT(*) AS jobs FROM jobs"
            " WHERE key IN (SELECT value FROM json_each(?)) GROUP BY 1, 2, 3, 4"
        )
        with self._database.reading() as db:
            return {stand(row): row["jobs"] for row in db.execute(query, (json.dumps(list(keys)),))}

    def marks(self, keys: Iterable[int]) -> dict[int, tuple[object, ...]]:
        """For each job a value that differs once its row has changed."""
        query = (
            "SELECT key, updated, retries, state, collected, retry = '{}', reason FROM jobs"
            " WHERE key IN (SELECT value FROM json_each(?))"
        )
        with self._database.reading() as db:
            return {row["key"]: tuple(row) for row in db.execute(query, (json.dumps(list(keys)),))}
