"""The members of a tar stream that somebody else has made, read with bounded memory. No word of what they are for."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from scheduler.errors import OutputError

LONGEST_HEADER = 1 << 16
"""A long name or the like; tarfile would hold whatever length is announced."""
_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_SPARE_BYTES = 1 << 20
_FOR_EACH = 4 * 512 + 2 * LONGEST_HEADER
"""A member's header, its padding, and headers with its long names."""


class Member(tarfile.TarInfo):
    """A member whose own header is read only if it is of a reasonable length, and that is no sparse file."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Member:
        member = super().frombuf(buf, encoding, errors)
        if member.type in _HEADERS and not 0 <= member.size <= LONGEST_HEADER:
            raise OutputError(f"the site sent a file's name of {member.size} bytes; nothing more was read")
        if member.type == tarfile.GNUTYPE_SPARSE:
            raise OutputError("the site sent a sparse file, which nobody asked for; nothing more was read")
        return member

    def _proc_gnusparse_10(self, *_: object) -> None:  # tarfile's own reads on until it has found enough numbers
        raise OutputError("the site sent a sparse file, which nobody asked for; nothing more was read")


class Source(Protocol):
    """What an archive is read from."""

    def read(self, size: int, /) -> bytes | None: ...


class _Bounded:
    """A stream of which no more is read than may come."""

    def __init__(self, source: Source, left: int) -> None:
        self._source, self._left = source, left

    def read(self, size: int) -> bytes:
        piece = self._source.read(size) or b""
        self._left -= len(piece)
        if self._left < 0:
            raise OutputError("the site sends more than it has announced; the rest was not read")
        return piece


@contextmanager
def opened_tar(source: Source, *, files: int, size: int) -> Iterator[tarfile.TarFile]:
    """The archive in a stream that may hold so many files, of so many bytes together.

    Raises:
        OutputError: it holds more, or headers that make no sense.
        tarfile.TarError: it is cut, or no archive.
    """
    most = size + files * _FOR_EACH + _SPARE_BYTES
    try:
        with tarfile.open(fileobj=_Bounded(source, most), mode="r|", errorlevel=2, tarinfo=Member) as tar:  # type: ignore[call-overload]
            yield tar
    except (RecursionError, ValueError, OverflowError) as error:
        raise OutputError(f"the site sent an archive that makes no sense: {str(error)[:200]}") from error
