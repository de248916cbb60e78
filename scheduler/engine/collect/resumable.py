"""A large file that comes home in pieces: what has arrived stays, and the next attempt goes on with it.

What is kept is offered to the site with its SHA-256, and is gone on with only if the file over there begins with the
same bytes; a file that has changed meanwhile comes from its beginning.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from scheduler.errors import OutputError, TransportError

_PIECE_BYTES = 1 << 20
_LONGEST_NAME = 60
_LONGEST_LINE = 100
_ONCE = ".once"
"""In the name of what nobody can go on with."""
_FROM = re.compile(rb"from (\d{1,18})\n\Z")
_SHA256 = re.compile(rb"([0-9a-f]{64})\n\Z")


class NotKept(OutputError):
    """This file cannot be kept; what the site sends after it can still be read."""


class Source(Protocol):
    """What a part is read from."""

    def read(self, size: int, /) -> bytes | None: ...
    def readline(self, size: int, /) -> bytes: ...


@dataclass
class Part:
    """What is here of one file, while it is open for more.

    Attributes:
        home: where the file will be when it is whole.
        size: how long it will be.
        offset: so many bytes of it are here.
        digest: the SHA-256 of these.
        whole: they are in `home` itself, under its name.
    """

    home: Path
    size: int
    offset: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    whole: bool = False
    _file: IO[bytes] | None = None
    _path: Path = Path()
    _broken: OSError | None = None

    def receive(self, source: Source, arrived: Callable[[int], None]) -> None:
        """Take what the site sends of this file, and give the file its name if it is what the site says it is.

        Raises:
            NotKept: it is not, or it cannot be written here; it has been read to its end all the same.
            OutputError: the site sent something else.
            TransportError: the stream ended early; what has arrived stays.
        """
        try:
            self._begin(source, arrived)
            self._take(source, arrived)
            self._end(source)
        except OutputError:
            if self._file is not None:
                self._file.truncate(0)
            raise
        if self._broken is not None:
            raise NotKept(f"cannot write {str(self.home)!r}: {self._broken}") from self._broken

    def forget(self, arrived: Callable[[int], None]) -> None:
        """What is here is not of this file."""
        arrived(-self.offset)
        self.offset, self.digest, self.whole = 0, hashlib.sha256(), False

    def close(self) -> None:
        """Another process may go on with it. What is empty goes."""
        if self._file is not None:
            self._file.close()
            with contextlib.suppress(OSError):
                if self._path.stat().st_size == 0 or self._path.name.endswith(f"{_ONCE}.part"):
                    self._path.unlink()

    def _begin(self, source: Source, arrived: Callable[[int], None]) -> None:
        offset = int(_line(source, _FROM, self.home))
        if offset not in (0, self.offset):
            raise OutputError(f"the site sent another part of {self.home.name!r} than was asked for")
        if offset != self.offset:
            self.forget(arrived)
        try:
            if self._file is None and not self.whole:
                self._open()
            if self._file is not None:
                self._file.seek(self.offset)
                self._file.truncate()
        except OSError as error:
            self._broken = error

    def _take(self, source: Source, arrived: Callable[[int], None]) -> None:
        while self.offset < self.size:
            piece = source.read(min(_PIECE_BYTES, self.size - self.offset))
            if not piece:
                raise TransportError(f"{self.home.name!r} came in part; what has come is kept; collect again")
            self._keep(piece)
            self.digest.update(piece)
            self.offset += len(piece)
            arrived(len(piece))

    def _keep(self, piece: bytes) -> None:
        """What follows is read also if this cannot be written: it belongs to other files."""
        if self._file is not None and self._broken is None:
            try:
                self._file.write(piece)
            except OSError as error:
                self._broken = error

    def _end(self, source: Source) -> None:
        if _line(source, _SHA256, self.home).decode() != self.digest.hexdigest():
            raise NotKept(f"{self.home.name!r} is not what was announced (SHA-256 differs): it changes still")
        if self._file is None or self._broken is not None:
            return
        try:
            self._file.flush()
            self._path.replace(self.home)
        except OSError as error:
            self._broken = error
            return
        self._file.close()
        self._file = None

    def _open(self) -> None:
        """The file of what has arrived. One that another process holds is left to it, and this one begins anew."""
        self.home.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._file = _opened(self.home)


def part_of(home: Path, size: int) -> Part:
    """What is here of a file that is `size` bytes long. To be closed.

    Raises:
        OutputError: it cannot be read here.
    """
    part = Part(home, size)
    try:
        if home.is_file() and home.stat().st_size == size:
            with home.open("rb") as file:
                part.digest, part.offset, part.whole = _sha256(file), size, True
        elif home.parent.is_dir() and _path_of(home).exists():
            part._open()
            assert part._file is not None  # noqa: S101  (that is what _open does)
            if part._file.seek(0, os.SEEK_END) > size:
                part._file.truncate(0)
            part._file.seek(0)
            part.digest = _sha256(part._file)
            part.offset = part._file.tell()
    except OSError as error:
        part.close()
        raise OutputError(f"cannot read {str(home)!r}: {error}") from error
    return part


def _path_of(home: Path, *, by: str = "") -> Path:
    sign = hashlib.sha256(os.fsencode(home.name)).hexdigest()[:8]  # long names may begin alike
    return home.with_name(f".{home.name[:_LONGEST_NAME]}.{sign}{by}.part")


def _opened(home: Path) -> tuple[Path, IO[bytes]]:
    path = _path_of(home)
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "r+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
            return path, file
    except OSError:
        pass  # another process is at it, or has just given it its name, or this file system knows no locks
    file.close()
    once = _path_of(home, by=f".{os.getpid()}{_ONCE}")
    return once, once.open("w+b")


def _sha256(file: IO[bytes]) -> Any:
    digest = hashlib.sha256()
    while piece := file.read(_PIECE_BYTES):
        digest.update(piece)
    return digest


def _line(source: Source, form: re.Pattern[bytes], home: Path) -> bytes:
    line = source.readline(_LONGEST_LINE)
    if not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
        raise TransportError(f"{home.name!r} came in part; what has come is kept; collect again")
    found = form.match(line)
    if found is None:
        raise OutputError(f"{home.name!r} is not what was announced: it changes still")
    return found[1]
