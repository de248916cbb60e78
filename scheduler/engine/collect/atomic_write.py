"""Local files that appear under their name only when they are complete, with few system calls. Nothing remote."""

# A Path costs more to make than most of these calls.
# ruff: noqa: PTH103, PTH105, PTH108, PTH116, PTH123
from __future__ import annotations

import contextlib
import hashlib
import itertools
import os

_CHUNK_BYTES = 1 << 18
_numbers = itertools.count()


def put(path: str, content: bytes) -> None:
    """Write a file. Until it is complete, its content is in a temporary file beside it.

    Args:
        path: the local path; missing parent folders are made.
        content: all of its bytes.

    Raises:
        OSError: it cannot be written; a file that was at `path` before is unchanged.
    """
    folder, slash, _ = path.rpartition("/")
    temporary = f"{folder}{slash}.{os.getpid()}-{next(_numbers)}.part"
    file = _open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW)
    try:
        try:
            while content:
                content = content[os.write(file, content) :]
        finally:
            os.close(file)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def put_empty(path: str) -> None:
    """Create an empty file. It needs no temporary file: it is complete as soon as it exists.

    Raises:
        FileExistsError: `path` exists.
        OSError: it cannot be created.
    """
    os.close(_open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))


def _open(path: str, flags: int) -> int:
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(path.rpartition("/")[0], exist_ok=True)
        return os.open(path, flags, 0o666)


def size_of(path: str) -> int:
    """The size of a local file in bytes.

    Raises:
        OSError: it does not exist, or cannot be examined.
    """
    return os.stat(path).st_size


def sha256_of(path: str) -> str:
    """The SHA-256 of a local file in hexadecimal, computed in bounded memory.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
