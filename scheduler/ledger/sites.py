"""The part of the ledger that is of sites: when one was asked last, what is known of it, which have jobs."""

from __future__ import annotations

import time

from scheduler.ledger.database import Database


class Sites:
    """What is recorded of sites. One object belongs to one thread at a time, as its ledger does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim_poll(self, site: str, floor: float) -> bool:
        """May the site be asked now? If so, this process does it, and others read what it brings."""
        with self._database.writing() as db:
            row = db.execute("SELECT polled_at FROM sites WHERE site = ?", (site,)).fetchone()
            now = time.time()
            if row is not None and 0 <= now - row["polled_at"] < floor:
                return False
            db.execute("INSERT OR IGNORE INTO sites (site) VALUES (?)", (site,))
            db.execute("UPDATE sites SET polled_at = ? WHERE site = ?", (now, site))
        return True

    def polled_at(self, site: str) -> float:
        """When a site was last asked; 0 if never."""
        with self._database.reading() as db:
            row = db.execute("SELECT polled_at FROM sites WHERE site = ?", (site,)).fetchone()
        return row["polled_at"] if row else 0.0

    def history_of(self, site: str) -> str:
        """What is known of the site's history: ``none``, or empty."""
        with self._database.reading() as db:
            row = db.execute("SELECT history FROM sites WHERE site = ?", (site,)).fetchone()
        return str(row["history"]) if row else ""

    def record_history(self, site: str, history: str) -> None:
        """Whether the site keeps a history."""
        with self._database.writing() as db:
            db.execute("UPDATE sites SET history = ? WHERE site = ?", (history, site))

    def site_json(self, site: str) -> str | None:
        """The newest record of a site by its name, as JSON."""
        query = "SELECT site_json FROM bundles WHERE site = ? ORDER BY created DESC"
        with self._database.reading() as db:
            row = db.execute(query, (site,)).fetchone()
        return None if row is None else str(row["site_json"])
