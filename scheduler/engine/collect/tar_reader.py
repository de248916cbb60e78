"""The members of a tar stream that somebody else has made, read with bounded memory. No word of what they are for.

tarfile would read them as well, but takes longer over thousands of small files than all else that is done with them.
Known are the headers that tar programs write for files and links: ustar, GNU's long names; pax's path, linkpath, size.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from scheduler.errors import OutputError, TransportError

LONGEST_HEADER = 1 << 16
"""A long name or the like; what is longer than that is not read."""
_BLOCK = 512
_ZEROS = bytes(_BLOCK)
_AHEAD_BYTES = 1 << 20
_SPARE_BYTES = 1 << 20
_FOR_EACH = 4 * _BLOCK + 2 * LONGEST_HEADER
"""A member's header, its padding, and headers with its long names."""
_LONG_NAME, _LONG_LINK, _PAX, _PAX_FOR_ALL = b"L", b"K", b"x", b"g"
_FILE, _OLD_FILE, _LINK = b"0", b"\0", b"1"


class Source(Protocol):
    """What an archive is read from."""

    def read(self, size: int, /) -> bytes | None: ...


@dataclass(slots=True)
class Member:
    """A file of an archive, or a further link to one that came before. To be read before the next one.

    Attributes:
        size: of its bytes; of a link none come.
        link: the name of that other one, or None.
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
    """A stream of which no more is read than may come."""

    def __init__(self, source: Source, left: int) -> None:
        self._source, self._left = source, left
        self._held, self._at = b"", 0
        self.left_of_member = 0

    def take(self, size: int) -> bytes:
        """Exactly so many bytes."""
        at, end = self._at, self._at + size
        if end > len(self._held):
            self._hold(size)
            at, end = 0, size
        self._at = end
        return self._held[at:end]

    def skip(self, size: int) -> None:
        """Read so many bytes, and keep none."""
        while size > 0:
            size -= len(self.take(min(size, _AHEAD_BYTES)))

    def end(self) -> None:
        """Read what follows the archive: only then its program has ended."""
        while self._read():
            pass

    def _hold(self, size: int) -> None:
        pieces = [self._held[self._at :]]
        have = len(pieces[0])
        while have < size:
            piece = self._read()
            if not piece:
                raise TransportError("the outputs came in pieces: the archive ends too early; collect again")
            pieces.append(piece)
            have += len(piece)
        self._held, self._at = b"".join(pieces), 0

    def _read(self) -> bytes:
        piece = self._source.read(_AHEAD_BYTES) or b""
        self._left -= len(piece)
        if self._left < 0:
            raise OutputError("the site sends more than it has announced; the rest was not read")
        return piece


def members(source: Source, *, files: int, size: int) -> Iterator[Member]:
    """The files and links in a stream that may hold so many of them, of so many bytes together.

    Raises:
        OutputError: it holds more, or something else, or makes no sense.
        TransportError: it ends too early.
    """
    stream = _Bounded(source, size + files * _FOR_EACH + _SPARE_BYTES)
    said: dict[bytes, bytes] = {}
    while (header := stream.take(_BLOCK)) != _ZEROS:
        kind, length = header[156:157], _length(header)
        if kind in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_FOR_ALL):
            said |= _said(kind, _words(stream, length))
            continue
        if kind not in (_FILE, _OLD_FILE, _LINK):
            raise OutputError(f"the site sent something that was not asked for: {_name(header)[:200]!r}")
        member = Member(
            name=os.fsdecode(said.get(b"path") or _name(header)),
            size=0 if kind == _LINK else _number(said.get(b"size"), length),
            link=os.fsdecode(said.get(b"linkpath") or _text(header[157:257])) if kind == _LINK else None,
            _stream=stream,
        )
        said.clear()
        padding = -member.size % _BLOCK
        stream.left_of_member = member.size
        yield member
        stream.skip(stream.left_of_member + padding)
    stream.end()


def _length(header: bytes) -> int:
    """The size that a header tells, once its sum is right.

    Raises:
        OutputError: it is no header.
    """
    if sum(header) - sum(header[148:156]) + 256 != _octal(header[148:156]):
        raise OutputError("the site sent an archive that makes no sense: a header's sum is wrong")
    return _octal(header[124:136])


def _octal(field: bytes) -> int:
    """Sizes of 8 GB and more are written otherwise; no file of an archive is so large."""
    digits = _text(field).strip()
    if digits.strip(b"01234567"):
        raise OutputError(f"the site sent an archive that makes no sense: {field!r} is no number")
    return int(digits or b"0", 8)


def _number(told: bytes | None, otherwise: int) -> int:
    if told is None:
        return otherwise
    if not told.isdigit() or len(told) > 18:
        raise OutputError(f"the site sent an archive that makes no sense: {told[:20]!r} is no number")
    return int(told)


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _name(header: bytes) -> bytes:
    name = _text(header[:100])
    if header[257:263] == b"ustar\0" and header[345:346] != b"\0":
        return _text(header[345:500]) + b"/" + name
    return name


def _words(stream: _Bounded, length: int) -> bytes:
    """What a header says that stands before a member's own."""
    if length > LONGEST_HEADER:
        raise OutputError(f"the site sent a file's name of {length} bytes; nothing more was read")
    return stream.take(length + -length % _BLOCK)[:length]


def _said(kind: bytes, words: bytes) -> dict[bytes, bytes]:
    if kind in (_LONG_NAME, _LONG_LINK):
        return {b"path" if kind == _LONG_NAME else b"linkpath": _text(words)}
    said: dict[bytes, bytes] = {}
    while words:  # "LENGTH KEY=VALUE\n", the length being that of all of it
        told, _, _ = words.partition(b" ")
        length = _number(told, 0)
        key, equals, value = words[len(told) + 1 : length].partition(b"=")
        if not equals or not value.endswith(b"\n") or length > len(words):
            raise OutputError("the site sent an archive that makes no sense: an extended header is cut")
        if key.startswith(b"GNU.sparse."):
            raise OutputError("the site sent a sparse file, which nobody asked for; nothing more was read")
        if key in (b"path", b"linkpath", b"size") and kind == _PAX:
            said[key] = value[:-1]
        words = words[length:]
    return said
