"""Large files of a bundle are uploaded ahead of it, in ranges, over several channels of one connection at once.

OpenSSH accepts 2 MB on a channel before it acknowledges them: on a connection with a long round trip that limits the
speed of a channel. upload.sh stores each range in a file of its own until submit.sh joins them. After a lost
connection, the ranges that the site has are not sent again.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scheduler.engine import programs
from scheduler.errors import BatchError, TransportError
from scheduler.transports.base import Expanded, Transport

LARGE_BYTES = 16 << 20
"""From this size on, a file, or the tar of a bundle, is uploaded ahead: for less, opening channels costs more time
than it saves."""
STAGE_SECONDS = 300.0
_LINE_BYTES = 1000
"""The longest time without data while a range is uploaded."""
_LEAST_RANGE_BYTES = 4 << 20
_CHUNK_BYTES = 1 << 18
_LISTED = re.compile(r"(\d+) ((bundle|\d+)\.(\d+)\.[0-9a-f]+)\Z")


@dataclass(frozen=True)
class LargeFile:
    """A file that is uploaded ahead of its bundle.

    Attributes:
        name: its number in the bundle, or ``bundle`` for the tar itself.
        path: where it is on the local disk.
        size: in bytes.
    """

    name: str
    path: Path
    size: int


@dataclass(frozen=True)
class _StoredRange:
    """Bytes `offset` to `offset + count` of the large file `name`, which the site has in a file named `stored`."""

    name: str
    offset: int
    count: int
    stored: str


@dataclass(frozen=True)
class _MissingRange:
    """Bytes `offset` to `offset + count` of a large file, which the site does not have."""

    large: LargeFile
    offset: int
    count: int


def stage(files: Sequence[LargeFile], to: tuple[Expanded, str], transport: Transport, *, resumed: bool) -> str | None:
    """Upload large files.

    Args:
        files: the files.
        to: the site's work_dir, and the token of the bundle.
        transport: the connection to the site.
        resumed: an upload was begun before, so that the site may have ranges of the files.

    Returns:
        How submit.sh joins the ranges; None if the site has the bundle already.

    Raises:
        TransportError: the connection was lost; the ranges that the site has are kept.
        BatchError: the site cannot write them.
    """
    stored = _list_stored(to, transport) if resumed else []
    if stored is None:
        return None
    plans = [_in_order(large, stored) for large in files]
    missing = [one for large, plan in zip(files, plans, strict=True) for one in _missing(large, plan)]
    if missing:
        size, channels = sum(one.count for one in missing), transport.upload_streams()
        most = max(_LEAST_RANGE_BYTES, -(-size // channels))
        uploads = _Uploads([part for one in missing for part in _split(one, most)], to, transport)
        sent = uploads.run(channels)
        plans = [_in_order(large, [*stored, *sent]) for large in files]
    return "\n".join(f"{one.name} {one.stored} {one.count}" for plan in plans for one in plan)


def _list_stored(to: tuple[Expanded, str], transport: Transport) -> list[_StoredRange] | None:
    reply = transport.run(programs.program("upload"), [*to, ""], timeout=STAGE_SECONDS)
    if reply.exit_code != 0:
        raise _cannot_write(reply.err)
    lines = list(reply.lines(_LINE_BYTES))
    return None if "there" in lines else [stored for line in lines for stored in _read(line)]


def _read(line: str) -> Iterator[_StoredRange]:
    found = _LISTED.match(line)
    if found and int(found[1]):
        yield _StoredRange(found[3], int(found[4]), int(found[1]), found[2])


def _in_order(large: LargeFile, ranges: Sequence[_StoredRange]) -> list[_StoredRange]:
    """Stored ranges of a file in its order, without overlaps."""
    of_it = [one for one in ranges if one.name == large.name and one.offset + one.count <= large.size]
    chosen: list[_StoredRange] = []
    for one in sorted(of_it, key=lambda one: (one.offset, -one.count)):
        if not chosen or one.offset >= chosen[-1].offset + chosen[-1].count:
            chosen.append(one)
    return chosen


def _missing(large: LargeFile, plan: Sequence[_StoredRange]) -> Iterator[_MissingRange]:
    at = 0
    for one in [*plan, _StoredRange(large.name, large.size, 0, "")]:
        if one.offset > at:
            yield _MissingRange(large, at, one.offset - at)
        at = one.offset + one.count


def _split(missing: _MissingRange, most: int) -> Iterator[_MissingRange]:
    for start in range(0, missing.count, most):
        yield _MissingRange(missing.large, missing.offset + start, min(most, missing.count - start))


class _Uploads:
    """Uploads ranges in several threads. If the server refuses a channel, the others upload its range."""

    def __init__(self, ranges: list[_MissingRange], to: tuple[Expanded, str], transport: Transport) -> None:
        self._left, self._to, self._transport = ranges[::-1], to, transport
        self._sent: list[_StoredRange] = []
        self._errors: list[Exception] = []

    def run(self, channels: int) -> list[_StoredRange]:
        """Upload all of them, over this many channels at once."""
        others = [threading.Thread(target=self._work, daemon=True) for _ in range(min(channels, len(self._left)) - 1)]
        for other in others:
            other.start()
        self._work()
        for other in others:
            other.join()
        if self._left:
            raise self._errors[0]
        return self._sent

    def _work(self) -> None:
        while self._left:
            try:
                one = self._left.pop()
            except IndexError:  # another thread has just taken the last one
                return
            try:
                self._sent.append(_upload(one, self._to, self._transport))
            except (TransportError, BatchError, OSError) as error:
                self._errors.append(error)
                self._left.append(one)
                return


def _upload(missing: _MissingRange, to: tuple[Expanded, str], transport: Transport) -> _StoredRange:
    stored = f"{missing.large.name}.{missing.offset}.{secrets.token_hex(4)}"
    chunks = _chunks(missing.large.path, missing.offset, missing.count)
    reply = transport.run(programs.program("upload"), [*to, stored], stdin=chunks, timeout=STAGE_SECONDS)
    if reply.exit_code != 0:
        raise _cannot_write(reply.err)
    printed = next(reply.lines(_LINE_BYTES), "").strip()
    if printed.split() != [str(missing.count), stored]:
        raise TransportError(
            f"the site has not stored all {missing.count} bytes of a range of the bundle: {printed[:200]!r}; "
            "submit again"
        )
    return _StoredRange(missing.large.name, missing.offset, missing.count, stored)


def _chunks(path: Path, offset: int, count: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(offset)
        while count > 0 and (chunk := file.read(min(_CHUNK_BYTES, count))):
            count -= len(chunk)
            yield chunk


def _cannot_write(words: str) -> BatchError:
    return BatchError(f"large files of the bundle cannot be uploaded: {words.strip()}", command="upload", words=words)
