"""The part of the ledger about sites: which have had a name, when each was polled last, its recorded settings.

`site` is the name under which the ledger records the jobs of a site: the name of its file, with a digest if another
site had that name first.

What was learned of a site is not valid for ever: an administrator changes it. Each such fact has its time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from scheduler.ledger.database import Database

_LEARNED = """
SELECT CAST(room AS INTEGER) AS room, CAST(full_at AS REAL) AS full_at, CAST(history AS TEXT) AS history,
  CAST(history_at AS REAL) AS history_at FROM sites WHERE site = ?
"""
_POLLED_AT = "SELECT CAST(polled_at AS REAL) AS polled_at FROM sites WHERE site = ?"
HISTORY_SECONDS = 120.0
"""After this time a history that was switched off is queried again, if a job needs it: sooner than a job is LOST."""


@dataclass(frozen=True)
class Learned:
    """What was learned of a site, and when (seconds since 1970; 0: not known).

    Attributes:
        room, full_at: how many jobs its batch system had when it refused one more; None: it has refused none.
        history, history_at: ``none`` if it keeps no history.
    """

    room: int | None = None
    full_at: float = 0.0
    history: str = ""
    history_at: float = 0.0


class Sites:
    """What is recorded of sites."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_name(self, name: str) -> dict[str, str]:
        """The sites that have had this name: what identifies each (empty: not known) → the name of its jobs here."""
        with self._database.reading() as db:
            rows = db.execute("SELECT identity, site FROM sites WHERE name = ? OR site = ?", (name, name)).fetchall()
        return {row["identity"]: row["site"] for row in rows}

    def add(self, name: str, identity: str, *, digest: str) -> str:
        """Add a site.

        Args:
            name: of its file.
            identity: what distinguishes it from all others.
            digest: of the identity.

        Returns:
            The name under which its jobs are recorded.
        """
        with self._database.writing() as db:
            known = db.execute("SELECT site FROM sites WHERE name = ? AND identity = ?", (name, identity)).fetchone()
            if known is not None:  # another process was first
                return str(known["site"])
            for site in (name, *(f"{name}~{digest[:length]}" for length in (4, 12, 64))):
                there = db.execute("SELECT identity FROM sites WHERE site = ?", (site,)).fetchone()
                if there is None or not there["identity"]:
                    break
            db.execute("INSERT OR IGNORE INTO sites (site) VALUES (?)", (site,))
            db.execute("UPDATE sites SET name = ?, identity = ? WHERE site = ?", (name, identity, site))
        return site

    def all_settings(self, site: str) -> list[str]:
        """The different settings of a site, as JSON, with which jobs were submitted to it; the last ones first."""
        query = "SELECT site_json FROM bundles WHERE site = ? GROUP BY site_json ORDER BY MAX(created) DESC"
        with self._database.reading() as db:
            return [str(row["site_json"]) for row in db.execute(query, (site,))]

    def separate(self, name: str, identities: Mapping[str, str], digests: Mapping[str, str]) -> None:
        """Give each of several sites whose jobs are recorded under one name a name of its own.

        Args:
            name: the name. The first site in `identities` keeps it.
            identities: settings, as JSON → the identity of the site.
            digests: identity → its digest.
        """
        first, *others = dict.fromkeys(identities.values())
        with self._database.writing() as db:
            unknown = "UPDATE sites SET name = ?, identity = ? WHERE site = ? AND identity = ''"
            if not db.execute(unknown, (name, first, name)).rowcount:
                return  # another process was first
        for identity in others:
            site = self.add(name, identity, digest=digests[identity])
            with self._database.writing() as db:
                for settings in (text for text, one in identities.items() if one == identity):
                    where = "site = ? AND site_json = ?"
                    moved = f"UPDATE jobs SET site = ? WHERE bundle IN (SELECT token FROM bundles WHERE {where})"  # noqa: S608
                    db.execute(moved, (site, name, settings))
                    db.execute(f"UPDATE bundles SET site = ? WHERE {where}", (site, name, settings))  # noqa: S608

    def claim_poll(self, site: str, floor: float) -> bool:
        """Whether this process may poll the site now. If so, other processes read its result from the ledger.

        Args:
            site: the site's name.
            floor: the least number of seconds between two polls, of all processes together.
        """
        with self._database.writing() as db:
            row = db.execute(
                "SELECT CAST(polled_at AS REAL) AS polled_at FROM sites WHERE site = ?", (site,)
            ).fetchone()
            now = time.time()
            if row is not None and 0 <= now - row["polled_at"] < floor:
                return False
            db.execute("INSERT OR IGNORE INTO sites (site) VALUES (?)", (site,))
            db.execute("UPDATE sites SET polled_at = ? WHERE site = ?", (now, site))
        return True

    def polled_at(self, site: str) -> float:
        """When a site was polled last (seconds since 1970); 0 if never."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT CAST(polled_at AS REAL) AS polled_at FROM sites WHERE site = ?", (site,)
            ).fetchone()
        return row["polled_at"] if row else 0.0

    def history_of(self, site: str) -> str:
        """What the last query showed: ``none`` if the batch system keeps no history; empty if that is not known."""
        return self.learned(site).history

    def keeps_history(self, site: str) -> bool:
        """Whether to query the history: it is not known, or not known any more, that there is none."""
        learned = self.learned(site)
        return learned.history != "none" or not 0 <= time.time() - learned.history_at < HISTORY_SECONDS

    def record_history(self, site: str, history: str) -> None:
        """Record what `history_of` returns."""
        with self._database.writing() as db:
            db.execute("UPDATE sites SET history = ?, history_at = ? WHERE site = ?", (history, time.time(), site))

    def forget_learned(self, site: str) -> None:
        """Forget how many jobs the site accepted at a time, and whether it keeps a history: both are asked again."""
        with self._database.writing() as db:
            values = "room = NULL, full_at = 0, history = '', history_at = 0"
            db.execute(f"UPDATE sites SET {values} WHERE site = ?", (site,))  # noqa: S608  (no value of a user)

    def learned(self, site: str) -> Learned:
        """All that was learned of the site."""
        rows = self._database.rows(_LEARNED, (site,), list)
        return Learned(**dict(rows[0])) if rows else Learned()

    def site_json(self, site: str) -> str | None:
        """The site's settings, as JSON, at its last submission; None if nothing was submitted to it."""
        query = "SELECT site_json FROM bundles WHERE site = ? ORDER BY created DESC"
        with self._database.reading() as db:
            row = db.execute(query, (site,)).fetchone()
        return None if row is None else str(row["site_json"])
