"""What a killed process leaves in the spool before its bundle is in the ledger: the next submission removes it.

While a bundle is written, ``TOKEN.tar.owner`` beside it has the name of the process (`Senders.me`), so that a bundle
that another process is still writing is not taken for a leftover.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from scheduler.engine.submit import spool
from scheduler.errors import LedgerError
from scheduler.ledger.ledger import Ledger

_OLD_SECONDS = 86400.0
"""Files without an owner (of an earlier version) are removed if they were not written to for this long."""
_OWNER = ".owner"


@contextlib.contextmanager
def claimed(token: str, ledger: Ledger) -> Iterator[Path]:
    """The path of a new bundle in the spool, which is this process's until it is recorded in the ledger.

    Raises:
        LedgerError: the spool cannot be written.
    """
    remove(ledger)
    path = ledger.spool(token)
    owner = path.with_suffix(_OWNER)
    try:
        _write_owner(owner, ledger.database.me())
        yield path
    finally:
        owner.unlink(missing_ok=True)


def _write_owner(path: Path, process: str) -> None:
    try:
        with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(process)
    except OSError as error:
        raise LedgerError(f"cannot write the bundle {path.stem}: {error}; nothing was sent") from error


def remove(ledger: Ledger) -> None:
    """Remove the files of bundles that no process will send: not in the ledger, or sent, and not being written."""
    needed, found = ledger.unsent_tokens(), dict[str, list[Path]]()
    for path in ledger.spool("x").parent.iterdir():
        found.setdefault(path.name.partition(".")[0], []).append(path)
    for token, paths in found.items():
        if token not in needed and _is_left(token, paths, ledger):
            spool.discard(ledger.spool(token))


def _is_left(token: str, paths: list[Path], ledger: Ledger) -> bool:
    try:
        owner = ledger.spool(token).with_suffix(_OWNER).read_text()
    except OSError:
        owner = ""
    if owner:  # another thread of this process may be writing, too
        return owner != ledger.database.me() and ledger.database.senders.is_gone(owner)
    return ledger.is_sent(token) or all(_age(path) > _OLD_SECONDS for path in paths)


def _age(path: Path) -> float:
    """Seconds since the last change of a file; 0 if it is gone by now."""
    with contextlib.suppress(OSError):
        return time.time() - path.stat().st_mtime
    return 0.0
