"""Transports that pass everything on to another one, for tests and benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypedDict

from scheduler.transports.base import Expanded, Program, Reply, Transport

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Streams(TypedDict, total=False):
    """The keyword arguments of `Transport.run`."""

    stdin: bytes | Iterable[bytes]
    stdout: Callable[[bytes], None] | None
    timeout: float


class Wrapped(Transport):
    """Passes everything on to another transport."""

    def __init__(self, inner: Transport) -> None:
        self.inner = inner

    def run(self, program: Program, args: Sequence[str | Expanded] = (), **streams: Unpack[Streams]) -> Reply:
        return self.inner.run(program, args, **streams)

    def prepare(self) -> None:
        self.inner.prepare()

    def verified_host_key(self) -> str:
        return self.inner.verified_host_key()

    def upload_streams(self) -> int:
        return self.inner.upload_streams()

    def download_streams(self) -> int:
        return self.inner.download_streams()

    def close(self) -> None:
        self.inner.close()


class Counting(Wrapped):
    """Passes everything on to another transport, and notes the names of the programs that run.

    Attributes:
        ran: these names, in order.
    """

    def __init__(self, inner: Transport) -> None:
        super().__init__(inner)
        self.ran: list[str] = []

    def run(self, program: Program, args: Sequence[str | Expanded] = (), **streams: Unpack[Streams]) -> Reply:
        self.ran.append(program.name)
        return super().run(program, args, **streams)

    def take(self) -> list[str]:
        """The names since the last call; `ran` is then empty."""
        taken, self.ran = self.ran, []
        return taken
