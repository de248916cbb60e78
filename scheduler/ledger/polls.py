"""The part of the ledger that one poll reads and writes: batches that go on, their elements, what was heard of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from scheduler.job.state import JobState, Status
from scheduler.ledger.database import Database
from scheduler.ledger.rows import AskedBatch, Element, Stand, element, stand, status_values
from scheduler.ledger.tables import ASKED, ELEMENTS, HEARD, NEW_STATUS, OBSERVATION_OF_TRY, SILENCE

_GOING_ON = json.dumps([state.word for state in JobState if not state.final])


@dataclass
class News:
    """What a poll has to write down.

    Attributes:
        statuses, said: new ones of jobs by their keys, and what was seen.
        silence: for how many polls, and since when, nobody has known anything of a job; and in which of its tries.
        ids: of batches whose id was not known, by bundle and first element.
        heard: of batches by the same, what was said of them, if it would change nothing were it said again; else empty.
    """

    statuses: dict[int, Status] = field(default_factory=dict)
    said: dict[int, str] = field(default_factory=dict)
    silence: dict[int, tuple[int, float | None, int]] = field(default_factory=dict)
    ids: dict[tuple[str, int], str] = field(default_factory=dict)
    heard: dict[tuple[str, int], str] = field(default_factory=dict)


class Polls:
    """What a poll needs of the ledger. One object belongs to one thread at a time, as its ledger does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def asked(self, site: str) -> list[AskedBatch]:
        """The batches of a site of which something goes on and whose place over there is known, oldest first."""
        with self._database.reading() as db:
            return [AskedBatch(*row) for row in db.execute(ASKED, (site, _GOING_ON))]

    def elements(self, batches: Sequence[AskedBatch]) -> dict[tuple[str, int], list[Element]]:
        """Those of the elements asked after that go on still, by bundle and first element of their batch."""
        found: dict[tuple[str, int], list[Element]] = {(one.bundle, one.first): [] for one in batches}
        keys = f"[{','.join(one.keys for one in batches)}]"
        with self._database.reading() as db:
            for row in db.execute(ELEMENTS, (keys, _GOING_ON)):
                if (row[1], row[2]) in found:  # else it has gone on to another attempt meanwhile
                    found[row[1], row[2]].append(element(row))
        return found

    def version(self) -> int:
        """Another number, once somebody else has written into the ledger."""
        with self._database.reading() as db:
            return int(db.execute("PRAGMA data_version").fetchone()[0])

    def record(self, news: News, *, version: int) -> None:
        """Write down what a poll has brought, in one transaction, or nothing if there is nothing new.

        Args:
            version: what it was when the elements were read. If somebody has written since, nobody knows whether what
                was heard is settled, and it is not kept.
        """
        if not (news.statuses or news.silence or news.ids or news.heard):
            return
        now = time.time()
        with self._database.writing() as db:
            settled = db.execute("PRAGMA data_version").fetchone()[0] == version
            changed = ({**status_values(status), "key": key, "now": now} for key, status in news.statuses.items())
            db.executemany(NEW_STATUS, changed)
            told = ((now, text, key, news.statuses[key].tries) for key, text in news.said.items())
            db.executemany(OBSERVATION_OF_TRY, told)
            db.executemany(SILENCE, ((n, at, key, tries) for key, (n, at, tries) in news.silence.items()))
            ids = ((batch_id, *batch) for batch, batch_id in news.ids.items())
            db.executemany("UPDATE batches SET batch_id = ? WHERE bundle = ? AND first = ?", ids)
            db.executemany(HEARD, ((words if settled else "", *batch) for batch, words in news.heard.items()))

    def stands(self, keys: Iterable[int]) -> dict[Stand, int]:
        """How many of these jobs stand where."""
        query = (
            "SELECT state, cause, exit_code, collected, COUNT(*) FROM jobs"
            " WHERE key IN (SELECT value FROM json_each(?)) GROUP BY 1, 2, 3, 4"
        )
        with self._database.reading() as db:
            return {stand(row): row[4] for row in db.execute(query, (json.dumps(list(keys)),))}

    def marks(self, keys: Iterable[int]) -> dict[int, tuple[object, ...]]:
        """Of each job something that is another one once its row has changed."""
        query = (
            "SELECT key, updated, tries, state, collected, retry = '{}', reason FROM jobs"
            " WHERE key IN (SELECT value FROM json_each(?))"
        )
        with self._database.reading() as db:
            return {row[0]: tuple(row) for row in db.execute(query, (json.dumps(list(keys)),))}
