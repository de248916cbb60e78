"""On which file systems a ledger is made: locking is tried, and network file systems are known by the mount table."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from scheduler import LedgerError
from scheduler.ledger.database import Database
from scheduler.ledger.folder.filesystem import is_shared, why_refused


def mounts(folder: Path, kind: str, options: str = "rw") -> Path:
    """A mount table in which the folder's parent, whose name has a blank, is a mount of this type."""
    parent = str(folder.parent.resolve()).replace(" ", "\\040")
    table = folder.parent / "mountinfo"
    table.write_text(
        "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
        f"30 22 0:40 / {parent} rw,nosuid shared:2 master:1 - {kind} server:/home {options}\n"
        f"31 22 0:41 / {parent}x rw - tmpfs tmpfs rw\n"
    )
    return table


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "of a user" / "state"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        ("nfs4", "rw,vers=4.2,local_lock=none", ""),
        ("nfs", "rw,nolock", "nolock"),
        ("nfs", "rw,local_lock=all", "local_lock=all"),
        ("lustre", "rw,flock", ""),
        ("lustre", "rw,localflock", "localflock"),
        ("cifs", "rw,nobrl", "nobrl"),
        ("gpfs", "rw", ""),
        ("afs", "rw", "type afs"),
        ("fuse.sshfs", "rw", "type fuse.sshfs"),
        ("ext4", "rw", ""),
    ],
)
def test_a_file_system_whose_locks_do_not_reach_other_machines_is_refused(
    state: Path, kind: str, options: str, reason: str
) -> None:
    found = why_refused(state, mounts=mounts(state, kind, options))
    assert (reason in found) if reason else (found == "")
    assert list(state.iterdir()) == []


def test_a_network_file_system_is_known_by_the_innermost_mount(state: Path) -> None:
    assert is_shared(state, mounts=mounts(state, "nfs4"))
    assert not is_shared(state.parent.parent, mounts=mounts(state, "nfs4"))
    assert not is_shared(state, mounts=state / "no such table")


def test_the_message_says_what_to_do(state: Path) -> None:
    with pytest.raises(LedgerError, match=r"type fuse\.sshfs.*Name a folder on a local disk .*SCHEDULER_STATE_DIR"):
        Database(state, mounts=mounts(state, "fuse.sshfs"))
    assert not (state / "ledger.sqlite").exists()


def test_on_a_network_file_system_the_ledger_has_no_write_ahead_log(state: Path) -> None:
    Database(state).close()
    with sqlite3.connect(state / "ledger.sqlite") as before:
        assert before.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    before.close()
    database = Database(state, mounts=mounts(state, "nfs4"))
    with database.reading() as db:
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
    database.close()
