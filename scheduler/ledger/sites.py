"""The part of the ledger about sites: when each was polled last, whether it keeps a history, its recorded settings."""

from __future__ import annotations

import time

from scheduler.ledger.database import Database

_POLLED_AT = "SELECT CAST(polled_at AS REAL) AS polled_at FROM sites WHERE site = ?"


class Sites:
    """What is recorded of sites."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
        """Whether the site's batch system keeps a history: ``none`` if it does not; empty if that is not known."""
        with self._database.reading() as db:
            row = db.execute("SELECT history FROM sites WHERE site = ?", (site,)).fetchone()
        return str(row["history"]) if row else ""

    def record_history(self, site: str, history: str) -> None:
        """Record what `history_of` returns."""
        with self._database.writing() as db:
            db.execute("UPDATE sites SET history = ? WHERE site = ?", (history, site))

    def site_json(self, site: str) -> str | None:
        """The site's settings, as JSON, at its last submission; None if nothing was submitted to it."""
        query = "SELECT site_json FROM bundles WHERE site = ? ORDER BY created DESC"
        with self._database.reading() as db:
            row = db.execute(query, (site,)).fetchone()
        return None if row is None else str(row["site_json"])
