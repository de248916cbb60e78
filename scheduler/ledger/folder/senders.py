"""Which processes send bundles: each holds a lock on a file of its own in the state folder until it ends, or has closed
its ledgers.

A killed process is recognised at once, because the operating system releases its lock: under another host name, and if
another process has its number by now. The facts in the file are for messages, and for file systems that lose locks.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import secrets
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

LEASE_SECONDS = 600.0
"""A lock of another machine counts until its file was not renewed for this long: a file server may keep the lock of a
machine that crashed."""
_held: dict[tuple[int, str], tuple[str, int]] = {}
"""(process, state folder) → the name of the process there, and the descriptor that holds its lock."""
_users: dict[tuple[int, str], set[int]] = {}
"""(process, state folder) → the `Senders` that have used the name, by `id`."""
_lock = Lock()


class Senders:
    """The processes that have sent bundles recorded in one state folder.

    Args:
        folder: the state folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "senders"

    def me(self) -> str:
        """The name of this process. From its first use on, this process holds a lock until `close`, or until it ends.

        Raises:
            OSError: the folder cannot be written, or its file system has no locks.
        """
        with _lock:
            which = (os.getpid(), str(self._folder))
            if which not in _held:
                self._folder.mkdir(mode=0o700, exist_ok=True)
                self._remove_unlocked()
                _held[which] = self._new()
            _users.setdefault(which, set()).add(id(self))
            return _held[which][0]

    def close(self) -> None:
        """Release the lock, unless another object of this process has used it too. May be called twice."""
        with _lock:
            which = (os.getpid(), str(self._folder))
            users = _users.get(which, set())
            if id(self) not in users:
                return
            users.remove(id(self))
            if not users:
                name, descriptor = _held.pop(which)
                (self._folder / name).unlink(missing_ok=True)
                os.close(descriptor)

    def is_gone(self, name: str) -> bool:
        """Whether the process with this name has ended, or is this one. An empty name: no process sends the bundle."""
        if not _is_name(name) or name in _own_names():
            return True  # an earlier version recorded other names, and held no lock
        try:
            return self._is_unlocked(self._folder / name)
        except FileNotFoundError:
            return True

    def describe(self, name: str, since: float = 0.0) -> str:
        """``process 4711 on laptop, since 2026-11-28 17:03:20``.

        Args:
            name: of the process.
            since: when it began to send (seconds since 1970); 0: not known.
        """
        facts = _facts(self._folder / name) if _is_name(name) else {}
        who = f"process {facts.get('pid', 'unknown')} on {facts.get('host', 'an unknown host')}"
        return f"{who}, since {datetime.fromtimestamp(since):%Y-%m-%d %H:%M:%S}" if since else who

    @contextlib.contextmanager
    def renewed(self, *, every_seconds: float = 60.0) -> Iterator[None]:
        """Renew the lease of this process in this context: for a state folder that several machines share."""
        from threading import Event, Thread

        path, ended = self._folder / self.me(), Event()

        def renew() -> None:
            while not ended.wait(every_seconds):
                with contextlib.suppress(OSError):
                    os.utime(path)

        os.utime(path)
        thread = Thread(target=renew, name="scheduler: renews its lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()

    def _new(self) -> tuple[str, int]:
        """Make and lock the file of this process. Its name is new, so that it cannot be taken for an earlier one."""
        while True:
            name = secrets.token_hex(8)
            path = self._folder / name
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.write(descriptor, json.dumps(_own_facts()).encode())
            except OSError:
                path.unlink(missing_ok=True)
                os.close(descriptor)
                raise
            if path.exists():  # else another process has removed it before it was locked
                return name, descriptor
            os.close(descriptor)

    def _is_unlocked(self, path: Path) -> bool:
        descriptor = os.open(path, os.O_RDWR)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return self._is_expired(path)
        finally:
            os.close(descriptor)
        return not _runs_here(_facts(path))

    def _is_expired(self, path: Path) -> bool:
        """Whether a locked file is of another boot of a machine, or of another machine, and was not renewed."""
        if _facts(path).get("boot") == _boot():
            return False
        clock = self._folder / ".clock"  # a file server has a clock of its own
        clock.touch(mode=0o600)
        return clock.stat().st_mtime - path.stat().st_mtime > LEASE_SECONDS

    def _remove_unlocked(self) -> None:
        """Remove the files of processes that have ended."""
        mine = _own_names()
        for path in self._folder.iterdir():
            with contextlib.suppress(OSError):
                if _is_name(path.name) and path.name not in mine and self._is_unlocked(path):
                    path.unlink()


def _own_names() -> set[str]:
    """The names of this process. Their files are not opened: closing one would release its lock (fcntl(2))."""
    return {name for (process, _), (name, _) in list(_held.items()) if process == os.getpid()}


def _is_name(name: str) -> bool:
    return len(name) == 16 and all(c in "0123456789abcdef" for c in name)


def _facts(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _own_facts() -> dict[str, Any]:
    pid = os.getpid()
    own = {"pid": pid, "host": platform.node(), "boot": _boot(), "namespace": _namespace(), "born": _born(pid)}
    return {**own, "since": time.time()}


def _runs_here(facts: dict[str, Any]) -> bool:
    """Whether the process still runs on this machine, although its lock is gone."""
    here = facts.get("boot") and facts.get("boot") == _boot() and facts.get("namespace") == _namespace()
    pid = facts.get("pid")
    return bool(here and isinstance(pid, int) and facts.get("born") and _born(pid) == facts["born"])


def _boot() -> str:
    """Identifies this machine since it was started; empty where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    """Identifies the space in which process numbers are unique: a container has its own."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _born(pid: int) -> str:
    """When the process started, in ticks since boot; empty if it does not run, or the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
