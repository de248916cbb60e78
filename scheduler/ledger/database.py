"""How the ledger's file is made one of several readers and a writer. It knows nothing of what is in it."""

from __future__ import annotations

import sqlite3
import time


def use_wal(db: sqlite3.Connection) -> None:
    """Readers and a writer at once. Of two processes that do this to a new file at the same moment, SQLite tells one at
    once that the file is locked, however long its timeout is."""
    until = time.monotonic() + 30
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
        time.sleep(0.02)
