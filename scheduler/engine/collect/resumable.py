"""A large file in a part on the local disk: what has arrived is kept, and the next collection resumes it.

The SHA-256 of the part is sent to the site. The download is resumed only if the remote file begins with the same bytes;
otherwise the file is sent from its beginning.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

from scheduler.engine.collect import local_files
from scheduler.engine.collect.local_files import NOTHING, Properties, Where
from scheduler.engine.collect.output import CHANGING
from scheduler.errors import OutputError, TransportError

_CHUNK_BYTES = 1 << 20
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LONGEST_NAME = 60
_LONGEST_LINE = 100
_ONCE = ".once"
"""In the name of a part that no other collection resumes."""
_FROM = re.compile(rb"from (\d{1,18})\n\Z")
_SHA256 = re.compile(rb"([0-9a-f]{64})\n\Z")


class FileNotKept(OutputError):
    """This file cannot be kept, but the stream can be read on: the files that follow are not affected."""


class Source(Protocol):
    """What a part is read from."""

    def read(self, size: int, /) -> bytes | None: ...
    def readline(self, size: int, /) -> bytes: ...


@dataclass
class Part:
    """The local bytes of a file that is being downloaded.

    Attributes:
        target: the place of the complete file.
        size: its size in bytes when complete.
        properties: what the complete file takes over from the remote one.
        offset: how many of its bytes are local.
        digest: the SHA-256 of these bytes.
        whole: these bytes are in `target` itself: it has the right size, and its hash is still to be compared.
        kept: the name under which an earlier file is kept that somebody else wrote; empty if there was none.
    """

    target: Where
    size: int
    properties: Properties = NOTHING
    offset: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    whole: bool = False
    kept: str = ""
    _file: IO[bytes] | None = None
    _name: str = ""
    _write_error: OSError | None = None

    def receive(self, source: Source, arrived: Callable[[int], None]) -> None:
        """Read what fetch.sh sends of this file; rename the part to `target` if the SHA-256 is equal.

        Args:
            source: the stream, at the line ``from OFFSET``.
            arrived: called with the size of each chunk.

        Raises:
            FileNotKept: the SHA-256 differs, or the file cannot be written. It has been read to its end all the same.
            OutputError: the site sent something else.
            TransportError: the stream ended early; the bytes that arrived are kept.
        """
        try:
            self._begin(source, arrived)
            self._read(source, arrived)
            self._finish(source)
        except OutputError:
            if self._file is not None:
                self._file.truncate(0)
            raise
        if self._write_error is not None:
            raise FileNotKept(f"cannot write {self.target.path!r}: {self._write_error}") from self._write_error

    def restart(self, arrived: Callable[[int], None]) -> None:
        """Drop the local bytes: the remote file does not begin with them."""
        arrived(-self.offset)
        self.offset, self.digest, self.whole = 0, hashlib.sha256(), False

    def close(self) -> None:
        """Let another process resume the part. An empty one is deleted."""
        if self._file is not None:
            is_useless = self._has_no_space or self._name.endswith(f"{_ONCE}.part")
            with contextlib.suppress(OSError), local_files.parent_of(self.target) as (folder, _):
                if is_useless or not os.fstat(self._file.fileno()).st_size:
                    os.unlink(self._name, dir_fd=folder)
            with contextlib.suppress(OSError):
                self._file.close()

    @property
    def _has_no_space(self) -> bool:
        return self._write_error is not None and self._write_error.errno in _NO_SPACE

    def _begin(self, source: Source, arrived: Callable[[int], None]) -> None:
        offset = int(_line(source, _FROM, self.target))
        if offset not in (0, self.offset):
            raise OutputError(
                f"the site sent {self.target.path!r} from byte {offset}, but byte {self.offset} was requested"
            )
        if offset != self.offset:
            self.restart(arrived)
        try:
            if self._file is None and not self.whole:
                self._open()
            if self._file is not None:
                self._file.seek(self.offset)
                self._file.truncate()
        except OSError as error:
            self._fail(error)

    def _read(self, source: Source, arrived: Callable[[int], None]) -> None:
        while self.offset < self.size:
            chunk = source.read(min(_CHUNK_BYTES, self.size - self.offset))
            if not chunk:
                raise _ended_early(self.target)
            self._keep(chunk)
            self.digest.update(chunk)
            self.offset += len(chunk)
            arrived(len(chunk))

    def _keep(self, chunk: bytes) -> None:
        """After a write error the stream is still read to the end of this file: other files follow in it."""
        if self._file is not None and self._write_error is None:
            try:
                self._file.write(chunk)
            except OSError as error:
                self._fail(error)

    def _finish(self, source: Source) -> None:
        if _line(source, _SHA256, self.target).decode() != self.digest.hexdigest():
            raise FileNotKept(f"{self.target.path!r} differs from the remote file (SHA-256); it {CHANGING}")
        if self._file is None or self._write_error is not None:
            return
        try:
            self._file.flush()
            local_files.set_executable(self._file.fileno(), self.properties)
            local_files.set_time(self._file.fileno(), self.properties)
            with local_files.parent_of(self.target) as (folder, name):
                self.kept = local_files.rename(folder, self._name, name)
        except OSError as error:
            self._fail(error)
            return
        self._file.close()
        self._file = None

    def _open(self) -> None:
        with local_files.parent_of(self.target, make=True) as (folder, name):
            self._name, self._file = _open_part(folder, name)

    def _fail(self, error: OSError) -> None:
        """Note that the file cannot be written. If there is no space, its part, which takes it, is emptied."""
        self._write_error = error
        if self._has_no_space and self._file is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), 0)


def part_of(target: Where, size: int, properties: Properties = NOTHING) -> Part:
    """The local bytes of a large file, which may be none. The caller closes the part.

    Args:
        target: the place of the complete file.
        size: its size in bytes.
        properties: what it takes over from the remote file.

    Raises:
        OutputError: the local file cannot be read.
    """
    part = Part(target, size, properties)
    try:
        with contextlib.suppress(FileNotFoundError), local_files.parent_of(target) as (folder, name):
            if _size_of(folder, name) == size:
                with os.fdopen(local_files.open_file(target), "rb") as file:
                    part.digest, part.offset, part.whole = _sha256(file), size, True
            elif _size_of(folder, _part_name(name)) is not None:
                _resume(part)
    except OSError as error:
        part.close()
        raise OutputError(f"cannot read {target.path!r}: {error}") from error
    return part


def _resume(part: Part) -> None:
    part._open()
    assert part._file is not None  # noqa: S101  (that is what _open does)
    if part._file.seek(0, os.SEEK_END) > part.size:
        part._file.truncate(0)
    part._file.seek(0)
    part.digest = _sha256(part._file)
    part.offset = part._file.tell()


def _size_of(folder: int, name: str) -> int | None:
    """The size of a regular file in an open folder; None if it does not exist or is a link."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _part_name(name: str, *, owner: str = "") -> str:
    sign = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]  # long names are cut, and may begin alike
    return f".{name[:_LONGEST_NAME]}.{sign}{owner}.part"


def _open_part(folder: int, name: str) -> tuple[str, IO[bytes]]:
    """Open and lock the part of a file. If another process holds the lock, or what is there under its name is another
    name of some file, or no file, open a new part of our own instead."""
    part = _part_name(name)
    with contextlib.suppress(OSError):  # a link or a folder has this name
        file = _open_new(folder, part, 0)
        with contextlib.suppress(OSError):  # another process holds it, or this file system does not support locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            opened, named = os.fstat(file.fileno()), os.stat(part, dir_fd=folder, follow_symlinks=False)
            is_alone = stat.S_ISREG(opened.st_mode) and opened.st_nlink == 1
            if is_alone and opened.st_ino == named.st_ino:  # else another process has just renamed it
                return part, file
        file.close()
    once = _part_name(name, owner=f".{os.getpid()}-{secrets.token_hex(4)}{_ONCE}")
    file = _open_new(folder, once, os.O_EXCL)  # a file of that name is not ours, nor a link
    with contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return once, file


def _open_new(folder: int, name: str, flags: int) -> IO[bytes]:
    descriptor = os.open(
        name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | flags, 0o666, dir_fd=folder
    )
    return os.fdopen(descriptor, "r+b")


def _sha256(file: IO[bytes]) -> Any:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest


def _line(source: Source, pattern: re.Pattern[bytes], target: Where) -> bytes:
    """What `pattern` captures in the next line."""
    line = source.readline(_LONGEST_LINE)
    if not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
        raise _ended_early(target)
    found = pattern.match(line)
    if found is None:
        raise OutputError(f"{target.path!r}: the site did not send what the manifest lists; the file {CHANGING}")
    return found[1]


def _ended_early(target: Where) -> TransportError:
    return TransportError(f"{target.path!r} was received in part, and the part is kept. Collect again to resume it")
