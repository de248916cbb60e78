"""Files that come to their place here: whole or not at all, with few system calls. No word of where they come from."""

# A Path costs more to make than most of these calls.
# ruff: noqa: PTH103, PTH105, PTH108, PTH116, PTH123
from __future__ import annotations

import contextlib
import hashlib
import itertools
import os

_PIECE_BYTES = 1 << 18
_numbers = itertools.count()


def put(path: str, content: bytes) -> None:
    """A file of that content; until it is whole it has another name.

    Raises:
        OSError: it cannot be written; what was there before is there still.
    """
    folder, slash, _ = path.rpartition("/")
    part = f"{folder}{slash}.{os.getpid()}-{next(_numbers)}.part"
    file = _opened(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW)
    try:
        try:
            while content:
                content = content[os.write(file, content) :]
        finally:
            os.close(file)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


def put_empty(path: str) -> None:
    """A file of no bytes where there is none: it is whole as soon as it has its name.

    Raises:
        FileExistsError: there is something.
        OSError: it cannot be made.
    """
    os.close(_opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))


def _opened(path: str, flags: int) -> int:
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(path.rpartition("/")[0], exist_ok=True)
        return os.open(path, flags, 0o666)


def size_of(path: str) -> int:
    """Of a file here.

    Raises:
        OSError: there is none.
    """
    return os.stat(path).st_size


def sha256_of(path: str) -> str:
    """Of a file here, in bounded memory."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()
