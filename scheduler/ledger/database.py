"""The SQLite file of the ledger: its folder, connection, transactions, WAL mode and migrations. It knows no queries.

`synchronous=FULL`: what a transaction has committed survives a killed process and a power failure.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from scheduler.errors import LedgerError
from scheduler.ledger.tables import MIGRATIONS, SCHEMA, VERSION

_LOCKED_SECONDS = 30.0
"""How long a process waits for the lock of another one."""


def state_folder() -> Path:
    """The folder of the ledger and the spool: ``$SCHEDULER_STATE_DIR``, else the platform's folder for user state."""
    own = os.environ.get("SCHEDULER_STATE_DIR")
    if own:
        return Path(own)
    from platformdirs import user_state_path

    return user_state_path("scheduler")


class Database:
    """An open ledger file. Several processes may open the same file; one object is used by one thread at a time.

    Args:
        folder: where the file is, created if it does not exist; None: `state_folder`.

    Attributes:
        folder, path: the folder, and the file in it.

    Raises:
        LedgerError: from any method: the file cannot be opened, read or written, and why.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder if folder is not None else state_folder()
        self.path = self.folder / "ledger.sqlite"
        with self._errors_explained("open"):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.folder / "spool").mkdir(mode=0o700, exist_ok=True)
            self._db = sqlite3.connect(
                self.path, timeout=_LOCKED_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._db.row_factory = sqlite3.Row
            self._prepare()

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._db.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for SELECT statements outside a transaction."""
        with self._errors_explained("read"):
            yield self._db

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The connection in a transaction: committed at the end of the block, rolled back if the block raises."""
        with self._errors_explained("write"):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _prepare(self) -> None:
        """Create the tables in a new file, or migrate those of an older version."""
        _use_wal(self._db)
        self._db.execute("PRAGMA synchronous = FULL")
        self.path.chmod(0o600)
        with self.writing():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise LedgerError(
                    f"{self.path}: was written by a newer scheduler (format {version}, this one knows {VERSION})"
                )
            steps = [SCHEMA] if version == 0 else [MIGRATIONS[older] for older in range(version, VERSION)]
            for statement in (one for step in steps for one in step.split(";\n")):
                self._db.execute(statement)
            if steps:
                self._db.execute(f"PRAGMA user_version = {VERSION}")

    @contextlib.contextmanager
    def _errors_explained(self, act: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if "locked" in str(error):
                raise LedgerError(
                    f"cannot {act} the ledger {self.path}: another process has kept it locked for "
                    f"{_LOCKED_SECONDS:g} s ({error}). Try again; `fuser {self.path}` prints the processes that use it"
                ) from error
            raise LedgerError(
                f"cannot {act} the ledger {self.path}: {error}. Is the disk full, or the folder read-only? "
                "Another folder can be named by the environment variable SCHEDULER_STATE_DIR"
            ) from error


def _use_wal(db: sqlite3.Connection) -> None:
    """Switch to write-ahead logging, so that readers do not wait for a writer.

    When two processes do this to a new file at the same moment, SQLite reports "locked" to one of them at once,
    whatever its timeout is. So we retry.
    """
    until = time.monotonic() + _LOCKED_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
        time.sleep(0.02)
