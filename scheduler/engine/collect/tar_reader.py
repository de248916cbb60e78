"""A reader for tar streams from an untrusted source, in bounded memory. It knows nothing of outputs.

tarfile could read them too, but for thousands of small files it takes longer than all other work on them.
Supported are the headers that tar programs write for files and hard links: ustar, GNU long names, and of pax the keys
path, linkpath and size (formats: GNU tar manual, "Basic Tar Format"; POSIX.1-2017, pax).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from scheduler.errors import OutputError, TransportError

LONGEST_HEADER = 1 << 16
"""The most bytes of an extended header or a long name that are read."""
_BLOCK = 512
_ZEROS = bytes(_BLOCK)
_AHEAD_BYTES = 1 << 20
_SPARE_BYTES = 1 << 20
_BYTES_PER_MEMBER = 4 * _BLOCK + 2 * LONGEST_HEADER
"""A member's header, its padding, and the headers with its long names."""
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"
_FILE, _OLD_FILE, _LINK = b"0", b"\0", b"1"


class Source(Protocol):
    """What an archive is read from."""

    def read(self, size: int, /) -> bytes | None: ...


@dataclass(slots=True)
class Member:
    """A file of an archive, or a hard link to an earlier one. Its content can be read until the next member is.

    Attributes:
        name: its path in the archive.
        size: its size in bytes; 0 for a link.
        link: for a link, the name of the earlier member; else None.
    """

    name: str
    size: int
    link: str | None
    _stream: _Bounded

    def content(self) -> bytes:
        """All of its bytes."""
        data = self._stream.take(self.size)
        self._stream.left_of_member = 0
        return data


class _Bounded:
    """A stream of which at most `left` bytes are read."""

    def __init__(self, source: Source, left: int) -> None:
        self._source, self._left = source, left
        self._held, self._at = b"", 0
        self.left_of_member = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        at, end = self._at, self._at + size
        if end > len(self._held):
            self._hold(size)
            at, end = 0, size
        self._at = end
        return self._held[at:end]

    def skip(self, size: int) -> None:
        """Read `size` bytes and drop them."""
        while size > 0:
            size -= len(self.take(min(size, _AHEAD_BYTES)))

    def drain(self) -> None:
        """Read to the end of the stream: the program that writes it has finished only then."""
        while self._read():
            pass

    def _hold(self, size: int) -> None:
        chunks = [self._held[self._at :]]
        have = len(chunks[0])
        while have < size:
            chunk = self._read()
            if not chunk:
                raise TransportError("the archive of outputs ended early; collect again")
            chunks.append(chunk)
            have += len(chunk)
        self._held, self._at = b"".join(chunks), 0

    def _read(self) -> bytes:
        chunk = self._source.read(_AHEAD_BYTES) or b""
        self._left -= len(chunk)
        if self._left < 0:
            raise OutputError("the site sent more bytes than the manifest lists; the rest was not read")
        return chunk


def members(source: Source, *, files: int, size: int) -> Iterator[Member]:
    """The files and hard links in a tar stream.

    Args:
        source: the stream.
        files: how many members it may hold.
        size: how many bytes they may have together.

    Raises:
        OutputError: it holds more, or members of another kind, or is not a tar archive.
        TransportError: it ends early.
    """
    stream = _Bounded(source, size + files * _BYTES_PER_MEMBER + _SPARE_BYTES)
    extended: dict[bytes, bytes] = {}
    while (header := stream.take(_BLOCK)) != _ZEROS:
        kind, length = header[156:157], _length(header)
        if kind in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL):
            extended |= _read_extended(kind, _take_extended(stream, length))
            continue
        if kind not in (_FILE, _OLD_FILE, _LINK):
            raise OutputError(f"the site sent something that was not requested: {_name(header)[:200]!r}")
        member = Member(
            name=os.fsdecode(extended.get(b"path") or _name(header)),
            size=0 if kind == _LINK else _decimal(extended.get(b"size"), length),
            link=os.fsdecode(extended.get(b"linkpath") or _text(header[157:257])) if kind == _LINK else None,
            _stream=stream,
        )
        extended.clear()
        padding = -member.size % _BLOCK
        stream.left_of_member = member.size
        yield member
        stream.skip(stream.left_of_member + padding)
    stream.drain()


def _length(header: bytes) -> int:
    """The size field of a header whose checksum is right.

    Raises:
        OutputError: the checksum is wrong.
    """
    if sum(header) - sum(header[148:156]) + 256 != _octal(header[148:156]):
        raise _invalid("the checksum of a header is wrong")
    return _octal(header[124:136])


def _octal(field: bytes) -> int:
    """Sizes of 8 GB and more are encoded otherwise; no file of these archives is so large."""
    digits = _text(field).strip()
    if digits.strip(b"01234567"):
        raise _invalid(f"{field!r} is not an octal number")
    return int(digits or b"0", 8)


def _decimal(field: bytes | None, default: int) -> int:
    if field is None:
        return default
    if not field.isdigit() or len(field) > 18:
        raise _invalid(f"{field[:20]!r} is not a number")
    return int(field)


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _name(header: bytes) -> bytes:
    name = _text(header[:100])
    if header[257:263] == b"ustar\0" and header[345:346] != b"\0":
        return _text(header[345:500]) + b"/" + name
    return name


def _take_extended(stream: _Bounded, length: int) -> bytes:
    """The content of a header that precedes a member's own."""
    if length > LONGEST_HEADER:
        raise OutputError(f"the site sent a file name of {length} bytes; the rest was not read")
    return stream.take(length + -length % _BLOCK)[:length]


def _read_extended(kind: bytes, content: bytes) -> dict[bytes, bytes]:
    """The values in an extended header for the next member; global headers are ignored."""
    if kind in (_LONG_NAME, _LONG_LINK):
        return {b"path" if kind == _LONG_NAME else b"linkpath": _text(content)}
    values: dict[bytes, bytes] = {}
    while content:  # records "LENGTH KEY=VALUE\n"; the length counts the whole record
        digits, _, _ = content.partition(b" ")
        length = _decimal(digits, 0)
        key, equals, value = content[len(digits) + 1 : length].partition(b"=")
        if not equals or not value.endswith(b"\n") or length > len(content):
            raise _invalid("an extended header is incomplete")
        if key.startswith(b"GNU.sparse."):
            raise OutputError("the site sent a sparse file, which was not requested; the rest was not read")
        if key in (b"path", b"linkpath", b"size") and kind == _PAX:
            values[key] = value[:-1]
        content = content[length:]
    return values


def _invalid(why: str) -> OutputError:
    return OutputError(f"the site sent an invalid tar archive: {why}")
