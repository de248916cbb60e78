"""Digests of the user's files, of the bytes that a bundle gets.

A file is read once, and once more only if its size, modification time or inode has changed."""

from __future__ import annotations

import hashlib
import os
from datetime import datetime, timezone
from pathlib import Path

from scheduler.errors import JobError
from scheduler.schema.regular_file import open_regular

_CHUNK_BYTES = 1 << 20
_OLD_SECONDS = 2.0
"""A file that changed later than so long ago can change once more without another modification time."""
_State = tuple[int, int, int]
"""Size, modification time (ns) and inode."""
Stamp = tuple[str, int, int, int]
"""What identifies the content of a file: path, size, modification time (ns), inode."""


class FileDigests:
    """Digests of files and folders. Each is read at most once by one object.

    Args:
        known: of files that other objects have read; those that this one reads are added.
    """

    def __init__(self, known: dict[Stamp, str]) -> None:
        self._known = known
        self._found: dict[str, str] = {}
        self._read: dict[Path, _State] = {}
        self._folders: list[tuple[int, int]] = []

    def of(self, path: str | os.PathLike[str], *, what: str) -> str:
        """The digest of a file, with links followed, or of a folder with everything in it.

        Args:
            path: the file or folder.
            what: for messages: the job, and the field that names the file.

        Raises:
            JobError: it cannot be read.
        """
        name = os.fspath(path)
        if name not in self._found:
            self._folders.clear()
            try:
                self._found[name] = self._of(Path(name))
            except OSError as error:
                raise JobError(f"{what}: {name!r} cannot be read: {error.strerror or error}") from error
        return self._found[name]

    def changed(self) -> str:
        """The path of a file or folder that has changed since this object has read it; empty if none has."""
        return next((str(path) for path, state in self._read.items() if _state_of(path) != state), "")

    def _of(self, path: Path) -> str:
        status = path.stat()
        self._read[path] = (status.st_size, status.st_mtime_ns, status.st_ino)
        if not path.is_dir():
            return f"{self._of_file(path, status)}{'x' if status.st_mode & 0o100 else ''}"
        if (status.st_dev, status.st_ino) in self._folders:
            raise OSError(0, "a link leads back to a folder that contains it")
        self._folders.append((status.st_dev, status.st_ino))
        inner = [f"{inside.name!a} {self._of(inside)}\n" for inside in sorted(path.iterdir())]
        self._folders.pop()
        return hashlib.sha256("".join(inner).encode()).hexdigest()

    def _of_file(self, path: Path, status: os.stat_result) -> str:
        stamp = (str(path), status.st_size, status.st_mtime_ns, status.st_ino)
        if stamp not in self._known:
            digest = _digest(path)
            if datetime.now(timezone.utc).timestamp() - status.st_mtime < _OLD_SECONDS:
                return digest
            self._known[stamp] = digest
        return self._known[stamp]


def _state_of(path: Path) -> _State:
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_size, status.st_mtime_ns, status.st_ino)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
