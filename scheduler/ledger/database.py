"""The SQLite file of the ledger: its folder, connections, transactions, journal and migrations. It knows no queries.

`synchronous=FULL`: what a transaction has committed survives a killed process and a power failure. With a write-ahead
log, `wal_autocheckpoint=1` copies each transaction into the file itself at once: a copy of the file alone is complete.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from scheduler.errors import LedgerError
from scheduler.ledger.folder import filesystem
from scheduler.ledger.folder.senders import Senders
from scheduler.ledger.tables import MIGRATIONS, SCHEMA, VERSION

_Row = TypeVar("_Row")
_LOCKED_SECONDS = 30.0
"""How long a process waits for the lock of another one."""
_ANOTHER_FOLDER = "Another folder can be named by the environment variable SCHEDULER_STATE_DIR"
_of_parents: list[sqlite3.Connection] = []
"""Connections that a forked process has inherited. It must not use or close them (sqlite.org/howtocorrupt.html)."""


def state_folder() -> Path:
    """The folder of the ledger and the spool: ``$SCHEDULER_STATE_DIR``, else the platform's folder for user state."""
    own = os.environ.get("SCHEDULER_STATE_DIR")
    if own:
        return Path(own)
    from platformdirs import user_state_path

    return user_state_path("scheduler")


class Database:
    """An open ledger file. Several processes may open the same file, and several threads may use one object.

    Each thread has a connection of its own, and so has a process that was forked meanwhile.

    Args:
        folder: where the file is, created if it does not exist; None: `state_folder`.
        mounts: the mounted file systems, as in proc(5), ``/proc/PID/mountinfo``.

    Attributes:
        folder, path: the folder, and the file in it.
        senders: the processes that send bundles.

    Raises:
        LedgerError: from any method: the file cannot be opened, read or written, and why.
    """

    def __init__(self, folder: Path | None = None, *, mounts: Path = filesystem.MOUNTS) -> None:
        self.folder = (folder if folder is not None else state_folder()).absolute()
        self.path = self.folder / "ledger.sqlite"
        self.senders = Senders(self.folder)
        self._mounts = mounts
        self._of_thread = threading.local()
        self._opened: weakref.WeakSet[_Connection] = weakref.WeakSet()
        self._is_closed = False
        with self._errors_explained("open"):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.folder / "spool").mkdir(mode=0o700, exist_ok=True)
            if not self.path.exists():
                self._create()
            elif not self.path.is_file():
                raise LedgerError(f"the ledger {self.path} is not a regular file. {_ANOTHER_FOLDER}")
            self._prepare(self._db)

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._is_closed = True
        with contextlib.suppress(OSError):
            self.senders.close()
        for connection in list(self._opened):
            connection.close()

    @cached_property
    def is_shared(self) -> bool:
        """Whether the file is on a network file system."""
        return filesystem.is_shared(self.folder, mounts=self._mounts)

    def me(self) -> str:
        """The name of this process, for a bundle that it is going to send; see `Senders.me`."""
        with self._errors_explained("write"):
            return self.senders.me()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for SELECT statements outside a transaction."""
        with self._errors_explained("read"):
            yield self._db

    def rows(self, query: str, values: Any, read: Callable[[sqlite3.Cursor], Iterable[_Row]]) -> list[_Row]:
        """What `read` makes of the rows of a query. Text that is not UTF-8 is shown with escapes."""
        with self.reading() as db:
            try:
                return list(read(db.execute(query, values)))
            except sqlite3.OperationalError as error:
                if "Could not decode" not in str(error):
                    raise
                db.text_factory = _escaped  # slower, and needed only for a damaged row
                return list(read(db.execute(query, values)))

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The connection in a transaction: committed at the end of the block, rolled back if the block raises."""
        with self._errors_explained("write"):
            db = self._db
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    @property
    def _db(self) -> sqlite3.Connection:
        """The connection of this thread."""
        found: _Connection | None = getattr(self._of_thread, "connection", None)
        if found is None or not found.is_own:
            if self._is_closed:
                raise sqlite3.ProgrammingError("it is closed")
            found = self._of_thread.connection = _Connection(self.path)
            self._opened.add(found)
            self._set_journal(found.db)
        return found.db

    def _set_journal(self, db: sqlite3.Connection) -> None:
        _set_journal_mode(db, "DELETE" if self.is_shared else "WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA wal_autocheckpoint = 1")

    def _create(self) -> None:
        """Create the file with its tables under another name, and then give it its name: it is never seen incomplete.

        Locking is tried first.
        """
        why = filesystem.why_refused(self.folder, mounts=self._mounts)
        if why:
            raise LedgerError(
                f"the state folder {self.folder} cannot hold the ledger: {why}. Name a folder on a local disk by the "
                "environment variable SCHEDULER_STATE_DIR"
            )
        part = self.folder / f"ledger.{secrets.token_hex(4)}.part"
        try:
            db = sqlite3.connect(part, isolation_level=None)
            try:
                part.chmod(0o600)
                db.executescript(f"BEGIN;{SCHEMA};PRAGMA user_version = {VERSION};COMMIT;")
            finally:
                db.close()
            with contextlib.suppress(FileExistsError):
                os.link(part, self.path)  # unlike a rename, it replaces no file that another process has made meanwhile
        finally:
            part.unlink(missing_ok=True)

    def _prepare(self, db: sqlite3.Connection) -> None:
        """Check the tables of the file, and migrate those of an older version."""
        self.path.chmod(0o600)
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == VERSION:
            return
        if version == 0:
            raise LedgerError(
                f"{self.path}: this file has no tables: it was copied without its write-ahead log "
                f"({self.path.name}-wal), or is no ledger. Copy that file too, or restore a backup; or remove the "
                "file, and record the jobs of your sites in a new ledger: scheduler adopt SITE"
            )
        with self.writing():
            version = db.execute("PRAGMA user_version").fetchone()[0]  # another process may have migrated it meanwhile
            if version > VERSION:
                raise LedgerError(
                    f"{self.path}: was written by a newer scheduler (format {version}, this one knows {VERSION})"
                )
            for statement in (one for older in range(version, VERSION) for one in MIGRATIONS[older].split(";\n")):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {VERSION}")

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
            if "not a database" in str(error) or "malformed" in str(error):
                why = f"{error}: it is damaged, or is no ledger. Move it away, or restore a backup."
            else:
                why = f"{error}. Is the disk full, or the folder read-only?"
            raise LedgerError(f"cannot {act} the ledger {self.path}: {why} {_ANOTHER_FOLDER}") from error


def _escaped(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")


class _Connection:
    """A connection of one thread of one process. It is closed when the thread ends."""

    def __init__(self, path: Path) -> None:
        self._process = os.getpid()
        self.db = sqlite3.connect(path, timeout=_LOCKED_SECONDS, isolation_level=None, check_same_thread=False)
        self.db.row_factory = sqlite3.Row

    @property
    def is_own(self) -> bool:
        """It was opened by this process, and not by the one that this process was forked from."""
        return self._process == os.getpid()

    def close(self) -> None:
        """Close it, if this process has opened it."""
        if self.is_own:
            self.db.close()
        else:
            _of_parents.append(self.db)

    def __del__(self) -> None:
        if hasattr(self, "db"):
            self.close()


def _set_journal_mode(db: sqlite3.Connection, mode: str) -> None:
    """Switch to this kind of journal. With a write-ahead log, readers do not wait for a writer.

    When two processes do this to a new file at the same moment, SQLite reports "locked" to one of them at once,
    whatever its timeout is. So we retry.
    """
    until = time.monotonic() + _LOCKED_SECONDS
    while True:
        try:
            db.execute(f"PRAGMA journal_mode = {mode}")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
        time.sleep(0.02)
