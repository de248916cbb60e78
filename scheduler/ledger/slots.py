"""The part of the ledger about queue slots: which batches may be submitted now, and by which process.

A batch waits locally until its site has room for it. The room is the ``limits.queued`` of the site's
file, or less once the batch system has refused a batch because its queue is full: then it is what the queue had at that
moment.

    one more batch is tried         `PROBE_SECONDS` after the last refusal, and as soon as no job of ours is left
    it is accepted                  the room is twice what the queue has now, and doubles with each submission
    it is refused                   the room is what the queue has now
    no refusal in `EXPIRY_SECONDS`  the room is forgotten

A full batch system is never tried more often than the site may be polled.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from scheduler.job.state import JobState, Status
from scheduler.ledger.database import Database
from scheduler.ledger.mapping import status_values
from scheduler.ledger.rows import Slot
from scheduler.ledger.tables import NEW_STATUS

PROBE_SECONDS = 300.0
"""The time after which one more batch is submitted to a full batch system, even if no job of ours has finished."""
EXPIRY_SECONDS = 3600.0
"""The time after which it is not known any more how many jobs a batch system accepts."""
_ROOM = "SELECT CAST(room AS INTEGER) AS room, CAST(full_at AS REAL) AS full_at FROM sites WHERE site = ?"
WAITS = "waiting for a free slot: the queue limit of the site is reached"
_RECORD_REASON = """
UPDATE jobs SET reason = ? WHERE site = ? AND state = 'submitting' AND reason = '' AND EXISTS (
  SELECT 1 FROM batches s WHERE s.bundle = jobs.bundle AND s.first = jobs.first AND s.slot = ?)
"""
_FINAL = ", ".join(f"'{state.word}'" for state in JobState if state.final)  # no text of a user
_UNFINISHED = f"""
SELECT s.bundle, s.first, CASE s.packed WHEN 1 THEN 1 ELSE COUNT(*) END AS size FROM jobs j
JOIN batches s ON s.bundle = j.bundle AND s.first = j.first
WHERE j.site = ? AND j.collected = 0 AND j.state NOT IN ({_FINAL}) AND s.slot = ?
GROUP BY s.bundle, s.first ORDER BY MIN(j.key)
"""  # noqa: S608
"""The batches of a site with unfinished jobs, oldest first; `size`: how many jobs the batch system counts."""


_sending: set[tuple[int, str]] = set()
"""(process, token) of the bundles that this process sends now: another of its threads leaves them alone."""


@dataclass(frozen=True)
class _Room:
    """How many jobs a site accepts at a time.

    Attributes:
        limit: by its file.
        learned: by what the batch system accepted and refused.
        probe: whether to submit one batch more than `learned`.
        refused_lately: it has refused a batch within the time between two polls.
    """

    limit: float
    learned: float = math.inf
    probe: bool = False
    refused_lately: bool = False

    def accepts(self, jobs: int, *, first: bool, probe: bool) -> bool:
        """Whether so many jobs may be submitted altogether.

        Args:
            jobs: their number, with those that have a slot.
            first: no job of ours has a slot: a batch larger than the limit is submitted, as only the batch system can
                refuse it.
            probe: the batch that is one too many has not been chosen yet.
        """
        if first:
            return jobs <= self.learned or not self.refused_lately
        return jobs <= self.limit and (jobs <= self.learned or (self.probe and probe))


class Slots:
    """Queue slots of sites."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextlib.contextmanager
    def sending(self, token: str) -> Iterator[str]:
        """Hold a bundle in this context, so that only this thread of this process sends it.

        Yields:
            Who sends it already: it must not be sent then. Empty: nobody.
        """
        other = self._take(token)
        if other:
            yield other
            return
        try:
            with self._database.senders.renewed() if self._database.is_shared else contextlib.nullcontext():
                yield ""
        finally:
            _sending.discard((os.getpid(), token))
            self.leave([token])

    def other_sender(self, token: str) -> str:
        """Who sends a bundle now, and since when; empty: nobody, or this process in this thread."""
        with self._database.reading() as db:
            row = db.execute("SELECT owner, owned_at FROM bundles WHERE token = ?", (token,)).fetchone()
        senders = self._database.senders
        gone = row is None or (senders.is_gone(row["owner"]) and (os.getpid(), token) not in _sending)
        return "" if gone else senders.describe(row["owner"], row["owned_at"])

    def _take(self, token: str) -> str:
        """Make this process the sender of a bundle, unless another one is. Returns who is."""
        me = self._database.me()
        with self._database.writing() as db:
            other = self.other_sender(token)
            if not other:
                _sending.add((os.getpid(), token))
                values = (me, time.time(), token)
                db.execute("UPDATE bundles SET owner = ?, owned_at = ? WHERE token = ?", values)
        return other

    def leave(self, tokens: Iterable[str]) -> None:
        """Let other processes continue with bundles that this one has not submitted completely."""
        which = json.dumps(list(tokens))
        own = "token IN (SELECT value FROM json_each(?)) AND owner = ? AND sent = 0"
        with self._database.reading() as db:
            unfinished = db.execute(f"SELECT 1 FROM bundles WHERE {own}", (which, self._database.me())).fetchone()  # noqa: S608
        if unfinished:
            with self._database.writing() as db:
                db.execute(f"UPDATE bundles SET owner = '' WHERE {own}", (which, self._database.me()))  # noqa: S608

    def assign(
        self, site: str, most: int | None, *, owner: str, pause: float = 0.0, now: float | None = None
    ) -> dict[str, list[int]]:
        """Give a slot to batches that wait, oldest first, as far as the site has room.

        This is one transaction: two processes that do it at the same time get different batches.

        Args:
            site: the site's name.
            most: how many jobs and array tasks it accepts at a time; None: no limit.
            owner: the process that will submit them.
            pause: the least number of seconds between two attempts to submit to a full batch system.
            now: seconds since 1970; default: the present.

        Returns:
            Token of a bundle → the first elements of its batches that may be submitted now.
        """
        if not self._some_wait(site):
            return {}
        with self._database.writing() as db:
            waiting = db.execute(_UNFINISHED, (site, Slot.WAITS)).fetchall()
            if not waiting:
                return {}
            used, at = _used(db, site), time.time() if now is None else now
            assigned, probed = _chosen(waiting, used, _room(db, site, most, used, now=at, pause=pause))
            if probed:
                db.execute("UPDATE sites SET full_at = ? WHERE site = ? AND full_at > 0", (at, site))
            if sum(map(len, assigned.values())) == len(waiting):
                db.execute("UPDATE sites SET room = NULL WHERE site = ? AND full_at = 0", (site,))
            _set(db, Slot.HAS, assigned)
            owned = [(owner, time.time(), token) for token in assigned]
            db.executemany("UPDATE bundles SET owner = ?, owned_at = ? WHERE token = ?", owned)
            db.execute(_RECORD_REASON, (WAITS, site, Slot.WAITS))
        return assigned

    def _some_wait(self, site: str) -> bool:
        """Outside a transaction, which would make other processes wait at each poll."""
        waits = "SELECT 1 FROM batches s JOIN bundles b ON b.token = s.bundle WHERE s.slot = 0 AND b.site = ?"
        with self._database.reading() as db:
            return db.execute(waits, (site,)).fetchone() is not None

    def release(self, token: str, firsts: Iterable[int]) -> None:
        """Make these batches wait again, because another process is submitting their bundle."""
        with self._database.writing() as db:
            _set(db, Slot.WAITS, {token: list(firsts)})

    def record_full(self, site: str, token: str, firsts: Iterable[int]) -> None:
        """Make these batches wait again: the batch system has refused them, so its limit is what it has now."""
        with self._database.writing() as db:
            _set(db, Slot.WAITS, {token: list(firsts)})
            db.executemany(
                "UPDATE batches SET full = 1 WHERE bundle = ? AND first = ?", [(token, first) for first in firsts]
            )
            db.execute("INSERT OR IGNORE INTO sites (site) VALUES (?)", (site,))
            now = time.time()
            db.execute("UPDATE sites SET room = ?, full_at = ? WHERE site = ?", (_used(db, site), now, site))

    def in_use(self, site: str, *, besides: tuple[str, Iterable[int]]) -> int:
        """How many unfinished jobs have a slot, besides batches of a bundle: its token, and their first elements."""
        token, firsts = besides
        others = {(token, first) for first in firsts}
        with self._database.reading() as db:
            rows = db.execute(_UNFINISHED, (site, Slot.HAS)).fetchall()
        return sum(row["size"] for row in rows if (row["bundle"], row["first"]) not in others)

    def record_accepted(self, site: str) -> None:
        """Record that the batch system has accepted every batch. If these were more than it accepted last, its limit is
        higher now, or lifted: a batch that waits is submitted soon."""
        with self._database.writing() as db:
            used = _used(db, site)
            more = "UPDATE sites SET room = ?, full_at = 0 WHERE site = ? AND room < ?"
            db.execute(more, (used, site, used))

    def cancel_waiting(self, changes: Mapping[int, Status]) -> set[int]:
        """Record new statuses for jobs whose batch still waits locally; their batch is submitted without them.

        Args:
            changes: key of a job → its new, final status.

        Returns:
            The keys of the jobs that were waiting.
        """
        cancelled: set[int] = set()
        if not changes:
            return cancelled
        with self._database.writing() as db:
            for key, status in changes.items():
                waits = "SELECT 1 FROM jobs j JOIN batches s ON s.bundle = j.bundle AND s.first = j.first"
                if db.execute(f"{waits} WHERE j.key = ? AND s.slot = ?", (key, Slot.WAITS)).fetchone():
                    db.execute(NEW_STATUS, {**status_values(status), "key": key, "now": time.time()})
                    cancelled.add(key)
            db.execute(
                "UPDATE batches SET slot = ? WHERE slot = ? AND NOT EXISTS (SELECT 1 FROM jobs j WHERE"  # noqa: S608
                f" j.bundle = batches.bundle AND j.first = batches.first AND j.state NOT IN ({_FINAL}))",
                (Slot.NEVER, Slot.WAITS),
            )
        return cancelled


def _used(db: sqlite3.Connection, site: str) -> int:
    """How many unfinished jobs have a slot."""
    return sum(row["size"] for row in db.execute(_UNFINISHED, (site, Slot.HAS)))


def _room(db: sqlite3.Connection, site: str, most: int | None, used: int, *, now: float, pause: float) -> _Room:
    """How many jobs the site accepts at a time. ``full_at`` is 0 while the batch system accepts more than before."""
    row = db.execute(_ROOM, (site,)).fetchone()
    limit = math.inf if most is None else most
    if row is None or row["room"] is None:
        return _Room(limit)
    if row["full_at"] == 0:
        return _Room(limit, learned=2 * row["room"], probe=True)
    age = now - row["full_at"]
    if age >= EXPIRY_SECONDS:
        db.execute("UPDATE sites SET room = NULL WHERE site = ?", (site,))
        return _Room(limit)
    lately = 0 <= age < pause  # a time in the future: the clock was set back
    probe = not lately and (not used or not 0 <= age < PROBE_SECONDS)
    return _Room(limit, learned=row["room"], probe=probe, refused_lately=lately)


def _chosen(waiting: Iterable[sqlite3.Row], used: int, room: _Room) -> tuple[dict[str, list[int]], bool]:
    """The batches that get a slot, by their bundle; and whether one of them is more than the site accepted last."""
    found: dict[str, list[int]] = {}
    probed = False
    for row in waiting:
        after = used + row["size"]
        if not room.accepts(after, first=not used and not found, probe=not probed):
            break
        probed = probed or after > room.learned
        used = after
        found.setdefault(row["bundle"], []).append(row["first"])
    return found, probed


def _set(db: sqlite3.Connection, slot: Slot, which: Mapping[str, Iterable[int]]) -> None:
    db.executemany(
        "UPDATE batches SET slot = ? WHERE bundle = ? AND first = ?",
        [(slot, token, first) for token, firsts in which.items() for first in firsts],
    )
