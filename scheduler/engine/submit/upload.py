"""What is large of a bundle goes ahead of it, in pieces, over several channels of one connection at once.

A server takes 2 MB of a channel before it answers: on a long line that is the speed of one channel, so the bytes are
spread. A piece is a file over there until the bundle is unpacked. What has come before a cut is not sent again.
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
"""A file, or a bundle, of so many bytes is staged: for less, asking for more channels costs more than they save."""
STAGE_SECONDS = 300.0
_LEAST_PIECE_BYTES = 4 << 20
_CHUNK_BYTES = 1 << 18
_LISTED = re.compile(r"(\d+) ((bundle|\d+)\.(\d+)\.[0-9a-f]+)\Z")


@dataclass(frozen=True)
class Large:
    """A file that is staged: its name among those of its bundle, where it is here, its size."""

    name: str
    path: Path
    size: int


@dataclass(frozen=True)
class Piece:
    """Some bytes of a large file that are over there, in a file called `stored`."""

    name: str
    offset: int
    count: int
    stored: str


@dataclass(frozen=True)
class _Gap:
    """Some bytes of a large file that are not."""

    large: Large
    offset: int
    count: int


def stage(files: Sequence[Large], to: tuple[Expanded, str], transport: Transport, *, begun: bool) -> str | None:
    """Bring large files to the site.

    Args:
        to: the work folder, and the token of the bundle.
        begun: it was tried before, so that there may be pieces.

    Returns:
        How they are put together there, for submit.sh; None if the bundle is there already.

    Raises:
        TransportError: the line was cut; what is there stays.
        BatchError: they cannot be written over there.
    """
    here = _listed(to, transport) if begun else []
    if here is None:
        return None
    plans = [_in_order(large, here) for large in files]
    gaps = [gap for large, plan in zip(files, plans, strict=True) for gap in _gaps(large, plan)]
    if gaps:
        missing, streams = sum(gap.count for gap in gaps), transport.upload_streams()
        most = max(_LEAST_PIECE_BYTES, -(-missing // streams))
        sent = _Sending([part for gap in gaps for part in _split(gap, most)], to, transport).by(streams)
        plans = [_in_order(large, [*here, *sent]) for large in files]
    return "\n".join(f"{piece.name} {piece.stored} {piece.count}" for plan in plans for piece in plan)


def _listed(to: tuple[Expanded, str], transport: Transport) -> list[Piece] | None:
    reply = transport.run(programs.program("upload"), [*to, ""], timeout=STAGE_SECONDS)
    if reply.exit_code != 0:
        raise _cannot(reply.err)
    lines = reply.out.splitlines()
    return None if "there" in lines else [piece for line in lines for piece in _read(line)]


def _read(line: str) -> Iterator[Piece]:
    found = _LISTED.match(line)
    if found and int(found[1]):
        yield Piece(found[3], int(found[4]), int(found[1]), found[2])


def _in_order(large: Large, pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces of a file that do not overlap."""
    of_it = [piece for piece in pieces if piece.name == large.name and piece.offset + piece.count <= large.size]
    chosen: list[Piece] = []
    for piece in sorted(of_it, key=lambda one: (one.offset, -one.count)):
        if not chosen or piece.offset >= chosen[-1].offset + chosen[-1].count:
            chosen.append(piece)
    return chosen


def _gaps(large: Large, plan: Sequence[Piece]) -> Iterator[_Gap]:
    at = 0
    for piece in [*plan, Piece(large.name, large.size, 0, "")]:
        if piece.offset > at:
            yield _Gap(large, at, piece.offset - at)
        at = piece.offset + piece.count


def _split(gap: _Gap, most: int) -> Iterator[_Gap]:
    for start in range(0, gap.count, most):
        yield _Gap(gap.large, gap.offset + start, min(most, gap.count - start))


class _Sending:
    """Gaps on their way. A channel that the server does not give leaves its gap to the others."""

    def __init__(self, gaps: list[_Gap], to: tuple[Expanded, str], transport: Transport) -> None:
        self._left, self._to, self._transport = gaps[::-1], to, transport
        self._sent: list[Piece] = []
        self._errors: list[Exception] = []

    def by(self, streams: int) -> list[Piece]:
        """Send all, so many at once."""
        others = [threading.Thread(target=self._work, daemon=True) for _ in range(min(streams, len(self._left)) - 1)]
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
                gap = self._left.pop()
            except IndexError:  # another one has just taken it
                return
            try:
                self._sent.append(_send(gap, self._to, self._transport))
            except (TransportError, BatchError, OSError) as error:
                self._errors.append(error)
                self._left.append(gap)
                return


def _send(gap: _Gap, to: tuple[Expanded, str], transport: Transport) -> Piece:
    stored = f"{gap.large.name}.{gap.offset}.{secrets.token_hex(4)}"
    chunks = _chunks(gap.large.path, gap.offset, gap.count)
    reply = transport.run(programs.program("upload"), [*to, stored], stdin=chunks, timeout=STAGE_SECONDS)
    if reply.exit_code != 0:
        raise _cannot(reply.err)
    if reply.out.split() != [str(gap.count), stored]:
        raise TransportError(f"a piece of the bundle came in part: {reply.out.strip()[:200]!r}; submit again")
    return Piece(gap.large.name, gap.offset, gap.count, stored)


def _chunks(path: Path, offset: int, count: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(offset)
        while count > 0 and (chunk := file.read(min(_CHUNK_BYTES, count))):
            count -= len(chunk)
            yield chunk


def _cannot(words: str) -> BatchError:
    return BatchError(f"the bundle cannot be staged: {words.strip()}", command="upload", words=words)
