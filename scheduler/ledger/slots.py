"""Which batches may be handed to a site that takes only so many at a time: a part of the ledger."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterable, Mapping

from scheduler.job.state import JobState, Status
from scheduler.ledger.database import Database
from scheduler.ledger.mapping import status_values
from scheduler.ledger.rows import Slot
from scheduler.ledger.tables import NEW_STATUS

PROBE_SECONDS = 300.0
"""A batch system that took no more is tried again so long afterwards, though nothing of ours has ended meanwhile."""
WAITS = "waits here: the site has no place for more jobs at the moment"
_WHY = """
UPDATE jobs SET reason = ? WHERE site = ? AND state = 'submitting' AND reason = '' AND EXISTS (
  SELECT 1 FROM batches s WHERE s.bundle = jobs.bundle AND s.first = jobs.first AND s.slot = ?)
"""
_FINAL = ", ".join(f"'{state.word}'" for state in JobState if state.final)  # words of ours, never text of a user
_GOING_ON = f"""
SELECT s.bundle, s.first, CASE s.packed WHEN 1 THEN 1 ELSE COUNT(*) END AS size FROM jobs j
JOIN batches s ON s.bundle = j.bundle AND s.first = j.first
WHERE j.site = ? AND j.collected = 0 AND j.state NOT IN ({_FINAL}) AND s.slot = ?
GROUP BY s.bundle, s.first ORDER BY MIN(j.key)
"""  # noqa: S608


class Slots:
    """Slots at sites. One object belongs to one thread at a time, as its ledger does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def give(self, site: str, most: int | None, *, owner: str, now: float | None = None) -> dict[str, list[int]]:
        """Let batches that wait go, oldest first, as far as the site has room. In one transaction: of two processes
        that do this each gets other batches.

        Args:
            site: its name.
            most: so many jobs and array elements it takes at a time; None: as many as there are.
            owner: the process that hands them over.
            now: the time, if not that of the clock.

        Returns:
            Bundle → first elements of those that may be handed over now.
        """
        given: dict[str, list[int]] = {}
        if not self._some_wait(site):
            return given
        with self._database.writing() as db:
            waiting = db.execute(_GOING_ON, (site, Slot.WAITS)).fetchall()
            if not waiting:
                return given
            used = sum(row["size"] for row in db.execute(_GOING_ON, (site, Slot.HAS)))
            room, probe = _room(db, site, most, used, time.time() if now is None else now)
            for row in waiting:
                # One that is larger than all there is goes alone: only the batch system can say no to it.
                if used + row["size"] > room and (used or given) and not probe:
                    break
                used, probe = used + row["size"], False
                given.setdefault(row["bundle"], []).append(row["first"])
            _set(db, Slot.HAS, given)
            db.executemany("UPDATE bundles SET owner = ? WHERE token = ?", [(owner, token) for token in given])
            db.execute(_WHY, (WAITS, site, Slot.WAITS))
        return given

    def _some_wait(self, site: str) -> bool:
        """Without a transaction of one's own, which would hold up others at each look."""
        waits = "SELECT 1 FROM batches s JOIN bundles b ON b.token = s.bundle WHERE s.slot = 0 AND b.site = ?"
        with self._database.reading() as db:
            return db.execute(waits, (site,)).fetchone() is not None

    def take_back(self, token: str, firsts: Iterable[int]) -> None:
        """These wait again: somebody else works at their bundle just now."""
        with self._database.writing() as db:
            _set(db, Slot.WAITS, {token: list(firsts)})

    def record_full(self, site: str, token: str, firsts: Iterable[int]) -> None:
        """The batch system took no more: these wait again, and it has room for those that it has."""
        with self._database.writing() as db:
            _set(db, Slot.WAITS, {token: list(firsts)})
            db.executemany(
                "UPDATE batches SET full = 1 WHERE bundle = ? AND first = ?", [(token, first) for first in firsts]
            )
            used = sum(row["size"] for row in db.execute(_GOING_ON, (site, Slot.HAS)))
            db.execute("INSERT OR IGNORE INTO sites (site) VALUES (?)", (site,))
            db.execute("UPDATE sites SET room = ?, full_at = ? WHERE site = ?", (used, time.time(), site))

    def record_taken(self, site: str) -> None:
        """The batch system took all that it was given: it has room for at least those."""
        with self._database.writing() as db:
            used = sum(row["size"] for row in db.execute(_GOING_ON, (site, Slot.HAS)))
            db.execute("UPDATE sites SET room = MAX(room, ?) WHERE site = ? AND room NOT NULL", (used, site))

    def strike_out(self, changes: Mapping[int, Status]) -> set[int]:
        """New statuses for those jobs whose batch still waits here: it will go without them. Gives their keys."""
        struck: set[int] = set()
        if not changes:
            return struck
        with self._database.writing() as db:
            for key, status in changes.items():
                waits = "SELECT 1 FROM jobs j JOIN batches s ON s.bundle = j.bundle AND s.first = j.first"
                if db.execute(f"{waits} WHERE j.key = ? AND s.slot = ?", (key, Slot.WAITS)).fetchone():
                    db.execute(NEW_STATUS, {**status_values(status), "key": key, "now": time.time()})
                    struck.add(key)
            db.execute(
                "UPDATE batches SET slot = ? WHERE slot = ? AND NOT EXISTS (SELECT 1 FROM jobs j WHERE"  # noqa: S608
                f" j.bundle = batches.bundle AND j.first = batches.first AND j.state NOT IN ({_FINAL}))",
                (Slot.NEVER, Slot.WAITS),
            )
        return struck


def _room(db: sqlite3.Connection, site: str, most: int | None, used: int, now: float) -> tuple[float, bool]:
    """How many there may be, and whether one more is to be tried: a site may have been full with fewer."""
    row = db.execute("SELECT room, full_at FROM sites WHERE site = ?", (site,)).fetchone()
    limit = math.inf if most is None else most
    if row is None or row["room"] is None:
        return limit, False
    probe = used >= row["room"] and used < limit and now - row["full_at"] >= PROBE_SECONDS
    if probe:
        db.execute("UPDATE sites SET full_at = ? WHERE site = ?", (now, site))
    return min(limit, row["room"]), probe


def _set(db: sqlite3.Connection, slot: Slot, which: Mapping[str, Iterable[int]]) -> None:
    db.executemany(
        "UPDATE batches SET slot = ? WHERE bundle = ? AND first = ?",
        [(slot, token, first) for token, firsts in which.items() for first in firsts],
    )
