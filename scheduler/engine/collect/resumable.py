"""A large file in a part on the local disk: what has arrived is kept, and the next collection resumes it.

The SHA-256 of the part is sent to the site. The download is resumed only if the remote file begins with the same bytes;
otherwise the file is sent from its beginning.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from scheduler.errors import OutputError, TransportError

_CHUNK_BYTES = 1 << 20
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
        target: the path that the complete file gets.
        size: its size in bytes when complete.
        offset: how many of its bytes are local.
        digest: the SHA-256 of these bytes.
        whole: these bytes are in `target` itself: it has the right size, and its hash is still to be compared.
    """

    target: Path
    size: int
    offset: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    whole: bool = False
    _file: IO[bytes] | None = None
    _path: Path = Path()
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
            raise FileNotKept(f"cannot write {str(self.target)!r}: {self._write_error}") from self._write_error

    def restart(self, arrived: Callable[[int], None]) -> None:
        """Drop the local bytes: the remote file does not begin with them."""
        arrived(-self.offset)
        self.offset, self.digest, self.whole = 0, hashlib.sha256(), False

    def close(self) -> None:
        """Let another process resume the part. An empty one is deleted."""
        if self._file is not None:
            self._file.close()
            with contextlib.suppress(OSError):
                if self._path.stat().st_size == 0 or self._path.name.endswith(f"{_ONCE}.part"):
                    self._path.unlink()

    def _begin(self, source: Source, arrived: Callable[[int], None]) -> None:
        offset = int(_line(source, _FROM, self.target))
        if offset not in (0, self.offset):
            raise OutputError(
                f"the site sent {self.target.name!r} from byte {offset}, but byte {self.offset} was requested"
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
            self._write_error = error

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
                self._write_error = error

    def _finish(self, source: Source) -> None:
        if _line(source, _SHA256, self.target).decode() != self.digest.hexdigest():
            raise FileNotKept(
                f"{self.target.name!r} differs from the remote file (SHA-256); it may still be changing. Collect again"
            )
        if self._file is None or self._write_error is not None:
            return
        try:
            self._file.flush()
            self._path.replace(self.target)
        except OSError as error:
            self._write_error = error
            return
        self._file.close()
        self._file = None

    def _open(self) -> None:
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._file = _open_part(self.target)


def part_of(target: Path, size: int) -> Part:
    """The local bytes of a large file, which may be none. The caller closes the part.

    Args:
        target: the path that the complete file gets.
        size: its size in bytes.

    Raises:
        OutputError: the local file cannot be read.
    """
    part = Part(target, size)
    try:
        if target.is_file() and target.stat().st_size == size:
            with target.open("rb") as file:
                part.digest, part.offset, part.whole = _sha256(file), size, True
        elif target.parent.is_dir() and _part_path(target).exists():
            part._open()
            assert part._file is not None  # noqa: S101  (that is what _open does)
            if part._file.seek(0, os.SEEK_END) > size:
                part._file.truncate(0)
            part._file.seek(0)
            part.digest = _sha256(part._file)
            part.offset = part._file.tell()
    except OSError as error:
        part.close()
        raise OutputError(f"cannot read {str(target)!r}: {error}") from error
    return part


def _part_path(target: Path, *, owner: str = "") -> Path:
    sign = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:8]  # long names are cut, and may begin alike
    return target.with_name(f".{target.name[:_LONGEST_NAME]}.{sign}{owner}.part")


def _open_part(target: Path) -> tuple[Path, IO[bytes]]:
    """Open and lock the part of a file. If another process holds the lock, open a new part of our own instead."""
    path = _part_path(target)
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "r+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
            return path, file
    except OSError:
        pass  # another process holds it or has just renamed it, or this file system does not support locks
    file.close()
    once = _part_path(target, owner=f".{os.getpid()}-{secrets.token_hex(4)}{_ONCE}")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW  # a file of that name is not ours, nor a link
    return once, os.fdopen(os.open(once, flags, 0o666), "r+b")


def _sha256(file: IO[bytes]) -> Any:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest


def _line(source: Source, pattern: re.Pattern[bytes], target: Path) -> bytes:
    """What `pattern` captures in the next line."""
    line = source.readline(_LONGEST_LINE)
    if not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
        raise _ended_early(target)
    found = pattern.match(line)
    if found is None:
        raise OutputError(
            f"{target.name!r}: the site did not send what the manifest lists; the file may still be changing. "
            "Collect again"
        )
    return found[1]


def _ended_early(target: Path) -> TransportError:
    return TransportError(f"{target.name!r} was received in part, and the part is kept. Collect again to resume it")
