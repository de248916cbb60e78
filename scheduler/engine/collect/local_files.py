"""Local files of a job's outputs: opened below a folder without following a link, named only when they are complete.

A downloaded file gets the modification time of the remote one, in whole seconds. A file with another time has been
written by somebody else: it is kept beside the new one.
"""

# A Path costs more to make than most of these calls, and none of its methods takes a dir_fd.
# ruff: noqa: PTH103, PTH208
from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import itertools
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from scheduler.job import patterns

_CHUNK_BYTES = 1 << 18
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_SECOND_NS = 1_000_000_000
_PART = re.compile(
    r"\.(?:\d{1,10}-\d{1,10}|.{1,80}\.[0-9a-f]{8}(?:\.\d{1,10}(?:-[0-9a-f]{8})?\.once)?)\.part\Z", re.DOTALL
)
_numbers = itertools.count()


class Where(NamedTuple):
    """A local path, and the folder above it below which no link is followed."""

    folder: str
    path: str


class Properties(NamedTuple):
    """What a local file takes over from the remote one: permissions, and its time in seconds since 1970 or None."""

    mode: int = 0
    modified: int | None = None


NOTHING = Properties()


@contextlib.contextmanager
def parent_of(where: Where, *, make: bool = False) -> Iterator[tuple[int, str]]:
    """Open the folder of a file.

    Args:
        where: the file.
        make: make the folders that are missing.

    Yields:
        A descriptor of its folder, and its name there.

    Raises:
        OSError: a folder is missing or cannot be opened, or is a link.
    """
    inside = where.folder.rstrip("/") if where.folder else where.path.rpartition("/")[0]
    if make and _leads_into_git(inside):
        raise OSError(errno.EPERM, f"{inside!r} is in a .git folder, and no output is written into one")
    *folders, name = where.path[len(inside) + 1 :].split("/")
    descriptor = _open_root(inside or "/", make=make)
    try:
        for folder in folders:
            below = _open_folder(folder, descriptor, make=make)
            os.close(descriptor)
            descriptor = below
        yield descriptor, name
    finally:
        os.close(descriptor)


@lru_cache(maxsize=4096)
def _leads_into_git(folder: str) -> bool:
    return patterns.leads_into_git(folder)


def _open_root(path: str, *, make: bool) -> int:
    try:
        return os.open(path, _FOLDER)
    except FileNotFoundError:
        if not make:
            raise
        os.makedirs(path, exist_ok=True)
        return os.open(path, _FOLDER)


def _open_folder(name: str, above: int, *, make: bool) -> int:
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=above)
    except FileNotFoundError:
        if not make:
            raise
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=above)
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=above)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        why = f"{name!r} is a link or no folder, and outputs are not written through links"
        raise OSError(error.errno, why) from None


def open_file(where: Where) -> int:
    """Open a local file for reading, if neither it nor a folder above it is a link.

    Raises:
        OSError: it does not exist, is a link, or cannot be read.
    """
    with parent_of(where) as (folder, name):
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)


def put(where: Where, content: bytes, properties: Properties = NOTHING) -> str:
    """Write a file. Until it is complete, its content is in a temporary file beside it.

    Args:
        where: the local path; missing parent folders are made.
        content: all of its bytes.
        properties: what it takes over from the remote file.

    Returns:
        The name under which an earlier file is kept that somebody else wrote; empty if there was none.

    Raises:
        OSError: it cannot be written; a file that was there before is unchanged.
    """
    with parent_of(where, make=True) as (folder, name):
        temporary, file = _new_part(folder, properties.mode)
        try:
            try:
                while content:
                    content = content[os.write(file, content) :]
                set_time(file, properties)
                return rename(folder, temporary, name)
            finally:
                os.close(file)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise


def put_empty(where: Where, properties: Properties = NOTHING) -> None:
    """Create an empty file. It needs no temporary file: it is complete as soon as it exists.

    Raises:
        FileExistsError: it exists.
        OSError: it cannot be created.
    """
    with parent_of(where, make=True) as (folder, name):
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 | properties.mode & 0o111, dir_fd=folder)
        try:
            set_time(file, properties)
        finally:
            os.close(file)


def set_time(file: int, properties: Properties) -> None:
    """Give an open file the time of the remote one, or the current time in whole seconds."""
    seconds = properties.modified if properties.modified is not None else int(time.time())
    with contextlib.suppress(OSError, OverflowError):  # a file system need not store each time
        os.utime(file, ns=(seconds * _SECOND_NS, seconds * _SECOND_NS))


def set_executable(file: int, properties: Properties) -> None:
    """Let those execute an open file who may execute the remote one and read this one."""
    mode = stat.S_IMODE(os.fstat(file).st_mode)
    with contextlib.suppress(OSError):
        os.fchmod(file, mode | properties.mode & 0o111 & mode >> 2)


def rename(folder: int, temporary: str, name: str) -> str:
    """Give a complete file its name. What somebody else has written under this name is kept.

    Args:
        folder: a descriptor of their folder.
        temporary: its name until now.
        name: its name.

    Returns:
        The name under which an earlier file is kept; empty if there was none.
    """
    kept = _keep_edited(folder, name)
    os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    return kept


def _keep_edited(folder: int, name: str) -> str:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return ""
    if not stat.S_ISREG(found.st_mode) or not found.st_size or found.st_mtime_ns % _SECOND_NS == 0:
        return ""
    for number in itertools.count():
        kept = f"{name}.orig{f'.{number}' if number else ''}"
        try:
            os.link(name, kept, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            continue
        except OSError:  # no hard links here
            os.rename(name, kept, src_dir_fd=folder, dst_dir_fd=folder)
        return kept
    return ""


def _new_part(folder: int, mode: int) -> tuple[str, int]:
    """A new, locked temporary file: the lock distinguishes it from what killed processes leave."""
    while True:
        name = f".{os.getpid()}-{next(_numbers)}.part"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            file = os.open(name, flags, 0o666 | mode & 0o111, dir_fd=folder)
        except FileExistsError:  # of a killed process, or what somebody else has put there; the next name is as good
            continue
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file).st_nlink:
            return name, file
        os.close(file)  # another process has just removed it


def remove_leftovers(outputs: Sequence[Where]) -> None:
    """Remove the temporary files of killed processes from the folders of outputs. The outputs themselves stay."""
    folders = {where.path.rpartition("/")[0]: where for where in outputs}
    for where in folders.values():
        with contextlib.suppress(OSError), parent_of(where) as (folder, _):
            found = [name for name in os.listdir(folder) if _PART.match(name)]
            outside = set(found) - {one.path.rpartition("/")[2] for one in outputs} if found else ()
            for name in outside:
                with contextlib.suppress(OSError):
                    _remove_unlocked(folder, name)


def _remove_unlocked(folder: int, name: str) -> None:
    file = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while a living process writes it
        os.unlink(name, dir_fd=folder)
    finally:
        os.close(file)


def sha256_of(file: int) -> str:
    """The SHA-256 of an open file in hexadecimal, computed in bounded memory.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    while chunk := os.read(file, _CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()
