"""A transport with faults: lost connections, and replies that are lost or changed. The remote program keeps running."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from scheduler.errors import TransportError
from scheduler.transports.base import Expanded, Program, Reply, Transport


class Cut(TransportError):
    """The connection was ended on purpose."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong in one run of a program.

    Attributes:
        up: the connection ends after so many bytes of its input.
        down: the connection ends after so many bytes of its output.
        change: changes its reply.
    """

    up: int | None = None
    down: int | None = None
    change: Callable[[Reply], Reply] | None = None


Plan = Callable[[str, int], Fault | None]
"""The name of a program and the length of its input in bytes → its fault, or None."""


class FaultyTransport(Transport):
    """Another transport, with the faults of a plan."""

    def __init__(self, inner: Transport, plan: Plan) -> None:
        self.inner, self.plan = inner, plan

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
        fault = self.plan(program.name, len(sent)) or Fault()
        kept: list[bytes] = []
        take = stdout if stdout is not None and fault.change is None else kept.append
        taker = _taker(take, fault.down)
        reply = self.inner.run(program, args, stdin=_until(sent, fault.up), stdout=taker, timeout=timeout)
        if fault.down is not None:
            raise Cut(f"{program.name}: the end of its reply was lost")
        reply = replace(reply, stdout=b"".join(kept))
        if fault.change is None:
            return reply
        reply = fault.change(reply)
        if stdout is None:
            return reply
        stdout(reply.stdout)
        return replace(reply, stdout=b"")

    def close(self) -> None:
        self.inner.close()


class OneFault:
    """A plan of one fault, in the next run of a program.

    Attributes:
        used: how many faults have happened.
        sizes: program → bytes of input of its latest run.
    """

    def __init__(self) -> None:
        self.used = 0
        self.sizes: dict[str, int] = {}
        self._next: tuple[str, Fault] | None = None

    def at(self, name: str, fault: Fault) -> None:
        """Let the next run of the program `name` have this fault."""
        self._next = (name, fault)

    def __call__(self, name: str, size_up: int) -> Fault | None:
        self.sizes[name] = size_up
        if self._next is None or self._next[0] != name:
            return None
        fault, self._next = self._next[1], None
        self.used += 1
        return fault


@dataclass
class RandomFaults:
    """A plan drawn from a seed.

    Attributes:
        chance: the probability of a fault in one run.
        left: how many faults may still happen.
        injected: how many have happened.
    """

    seed: int
    chance: float = 0.5
    left: int = 5
    injected: int = 0
    _draw: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._draw = random.Random(self.seed)

    def __call__(self, name: str, size_up: int) -> Fault | None:
        if self.left <= 0 or self._draw.random() > self.chance:
            return None
        self.left -= 1
        self.injected += 1
        kind = self._draw.random()
        if name == "poll" and kind < 0.4:
            return Fault(change=self._draw.choice((_queue_fails, _queue_is_empty, _half, _dies)))
        if kind < 0.7:
            return Fault(up=self._draw.randint(0, max(size_up, 1)))
        return Fault(down=self._draw.choice((0, 1, 20, 60, 150, 400, 2000)))


def _queue_fails(reply: Reply) -> Reply:
    """As while a controller restarts: an error, and no line about any job."""
    kept = [line for line in reply.stdout.splitlines(keepends=True) if not line.startswith((b"l ", b"live ", b"h "))]
    error = b"live 1 slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"
    return replace(reply, stdout=error + b"".join(kept))


def _queue_is_empty(reply: Reply) -> Reply:
    """The queue answers without any job, and end files lag."""
    kept = [line for line in reply.stdout.splitlines(keepends=True) if line.startswith((b"clock", b"live", b"i "))]
    return replace(reply, stdout=b"".join(kept))


def _half(reply: Reply) -> Reply:
    """The reply ends in the middle, and the exit code of the program is not 0."""
    return replace(reply, stdout=reply.stdout[: len(reply.stdout) // 2], exit_code=74)


def _dies(reply: Reply) -> Reply:
    """The program was killed before it printed anything."""
    return replace(reply, stdout=b"", exit_code=137)


def _until(data: bytes, limit: int | None) -> Iterator[bytes]:
    end = len(data) if limit is None else min(limit, len(data))
    step = 1 << 12
    for start in range(0, end, step):
        yield data[start : min(start + step, end)]
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
