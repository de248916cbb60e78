"""A transport whose line is cut after so many bytes, in either direction. What runs over there is left to itself."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from scheduler.errors import TransportError
from scheduler.transports.base import Expanded, Program, Reply, Transport


class Cut(TransportError):
    """The line was cut, on purpose."""


@dataclass
class Faults:
    """Which runs are cut, and where: drawn from a seed.

    Attributes:
        chance: of one run to be cut, as long as `left` is not used up.
        injected: how many were.
    """

    seed: int
    chance: float = 0.6
    left: int = 4
    injected: int = 0
    _draw: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._draw = random.Random(self.seed)

    def next(self, size_up: int) -> tuple[int | None, int | None]:
        """After how many bytes up, or down, the next run is cut; two None: it is not."""
        if self.left <= 0 or self._draw.random() > self.chance:
            return None, None
        self.left -= 1
        self.injected += 1
        if self._draw.random() < 0.5:
            return self._draw.randint(0, max(size_up, 1)), None
        return None, self._draw.choice((0, 1, 20, 60, 150, 400, 2000))


class CuttingTransport(Transport):
    """Another transport behind `faults`."""

    def __init__(self, inner: Transport, faults: Faults) -> None:
        self.inner, self.faults = inner, faults

    def run(
        self,
        program: Program,
        args: Sequence[str | Expanded] = (),
        *,
        stdin: bytes | Iterable[bytes] = b"",
        stdout: Callable[[bytes], None] | None = None,
        timeout: float = 60.0,
    ) -> Reply:
        sent = stdin if isinstance(stdin, bytes) else b"".join(stdin)
        up, down = self.faults.next(len(sent))
        kept: list[bytes] = []
        take = stdout if stdout is not None else kept.append
        reply = self.inner.run(program, args, stdin=_until(sent, up), stdout=_taker(take, down), timeout=timeout)
        if down is not None:
            raise Cut(f"{program.name}: the last word was lost")
        return replace(reply, stdout=b"".join(kept))

    def close(self) -> None:
        self.inner.close()


def _until(data: bytes, limit: int | None) -> Iterator[bytes]:
    end = len(data) if limit is None else limit
    for start in range(0, end, 64):
        yield data[start : min(start + 64, end)]
    if limit is not None:
        raise Cut(f"cut after {limit} bytes up")


def _taker(take: Callable[[bytes], None], limit: int | None) -> Callable[[bytes], None]:
    left = limit

    def taken(piece: bytes) -> None:
        nonlocal left
        if left is None:
            take(piece)
        elif len(piece) <= left:
            left -= len(piece)
            take(piece)
        else:
            take(piece[:left])
            raise Cut(f"cut after {limit} bytes down")

    return taken
