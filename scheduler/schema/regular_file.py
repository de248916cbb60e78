"""Reads local files that a user names. Only regular files are read: a pipe or a device could block, or never end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO

_MOST_SETTINGS_BYTES = 64 << 20
_KINDS = {
    stat.S_IFIFO: "a named pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a directory",
}  # fmt: skip


class NotRegular(OSError):
    """The file is not a regular file. `strerror` says what it is."""


def open_regular(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a file for reading, unbuffered, without waiting for the other end of a pipe.

    Raises:
        NotRegular: it is a pipe, device, socket or directory.
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind != stat.S_IFREG:
        os.close(descriptor)
        raise NotRegular(0, f"it is {_KINDS.get(kind, 'something else')}, not a regular file", os.fspath(path))
    return os.fdopen(descriptor, "rb", buffering=0)


def read_settings(path: Path) -> bytes:
    """The content of a file of settings; empty for ``/dev/null``, which stands for no file.

    Raises:
        NotRegular, OSError: as `open_regular`; or it is larger than any file of settings.
    """
    if path.exists() and path.samefile(os.devnull):
        return b""
    content = read_regular(path, most=_MOST_SETTINGS_BYTES)
    if content is None:
        raise OSError(errno.EFBIG, f"it is larger than {_MOST_SETTINGS_BYTES >> 20} MiB", os.fspath(path))
    return content


def read_regular(path: Path, *, most: int) -> bytes | None:
    """The content of a file; None if it is larger than `most` bytes.

    Raises:
        NotRegular, OSError: as `open_regular`.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            return None
        parts: list[bytes] = []
        left = most + 1
        while left > 0 and (part := file.read(left)):
            parts.append(part)
            left -= len(part)
    return b"".join(parts) if left > 0 else None
