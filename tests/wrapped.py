"""Transports around another one, for tests and benchmarks: all that is asked of them goes on to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypedDict

from scheduler.transports.base import Expanded, Program, Reply, Transport

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Streams(TypedDict, total=False):
    """What `Transport.run` takes by name."""

    stdin: bytes | Iterable[bytes]
    stdout: Callable[[bytes], None] | None
    timeout: float


class Wrapped(Transport):
    """Another transport."""

    def __init__(self, inner: Transport) -> None:
        self.inner = inner

    def run(self, program: Program, args: Sequence[str | Expanded] = (), **streams: Unpack[Streams]) -> Reply:
        return self.inner.run(program, args, **streams)

    def prepare(self) -> None:
        self.inner.prepare()

    def upload_streams(self) -> int:
        return self.inner.upload_streams()

    def download_streams(self) -> int:
        return self.inner.download_streams()

    def close(self) -> None:
        self.inner.close()


class Counting(Wrapped):
    """Another transport, and the names of the programs that it ran."""

    def __init__(self, inner: Transport) -> None:
        super().__init__(inner)
        self.said: list[str] = []

    def run(self, program: Program, args: Sequence[str | Expanded] = (), **streams: Unpack[Streams]) -> Reply:
        self.said.append(program.name)
        return super().run(program, args, **streams)

    def spent(self) -> list[str]:
        """What was run since the last call."""
        said, self.said = self.said, []
        return said
