"""How bytes and a command reach a machine: one verb, `run`. No word of batch systems here.

A `Program` is a POSIX sh program of ours. It travels as the first bytes of standard input, behind one fixed
command line that every login shell understands, and its arguments travel inside it: nothing of a job shows in
a process list. What login files print is cut away: the program's own output stands between markers, the exit
code in the last one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

_Self = TypeVar("_Self", bound="Transport")


@dataclass(frozen=True)
class Program:
    """A sh program: `text` runs over there; `name` is what messages and tests call it."""

    name: str
    text: str


@dataclass(frozen=True)
class Expanded:
    """A shell word, quoted already, that may hold variables to expand over there (made by `quote_path`)."""

    word: str


@dataclass(frozen=True)
class Reply:
    """A program that has run, and all that it said."""

    program: str
    exit_code: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        """Standard output as text; bytes that are not UTF-8 are shown as escapes."""
        return self.stdout.decode("utf-8", "backslashreplace")

    @property
    def err(self) -> str:
        """Standard error as text; bytes that are not UTF-8 are shown as escapes."""
        return self.stderr.decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class Traits:
    """What the rest of the program must know of a transport before its code is loaded.

    Attributes:
        is_local: its programs, and the jobs of its sites, run on this machine and on this machine's file system.
        needs_host: the site file must have ``host:``.
        uses_ssh: it logs in by SSH, with the keys that the site file has under ``ssh:``.
    """

    is_local: bool = False
    needs_host: bool = False
    uses_ssh: bool = False


class Transport(ABC):
    """The way to one machine. Opened by the first `run`; one connection for all."""

    @abstractmethod
    def run(
        self,
        program: Program,
        args: Sequence[str | Expanded] = (),
        *,
        stdin: bytes | Iterable[bytes] = b"",
        stdout: Callable[[bytes], None] | None = None,
        timeout: float = 60.0,
    ) -> Reply:
        """Run `program` over there to its end.

        Args:
            program: what to run; `args` become its ``$1``, ``$2``, …
            stdin: bytes, or chunks of bytes made while they are sent, that the program reads after itself.
            stdout: called with each piece of standard output as it comes; `Reply.stdout` is then empty.
            timeout: seconds without a byte in either direction, after which the line is given up.

        Raises:
            TransportError: the machine was not reached, or the line was cut before the end marker came: the
                program may have run whole, in part, or not at all.
            TimedOut: the same, because nothing came or went for `timeout` seconds.
        """

    def prepare(self) -> None:  # noqa: B027  (most have nothing to prepare)
        """What is to be run is not known yet, but something will be: begin to connect, if that takes time. It returns
        at once, asks nobody, and raises nothing: what goes wrong is told by the next `run`."""

    def upload_streams(self) -> int:
        """So many programs at once move bytes there fastest. It may ask the line how long it is, once.

        Raises:
            TransportError: the machine was not reached.
        """
        return 1

    def download_streams(self) -> int:
        """So many programs at once bring bytes from there fastest. It may ask the line how long it is, once.

        Raises:
            TransportError: the machine was not reached.
        """
        return 1

    @abstractmethod
    def close(self) -> None:
        """Give the connection back. What runs over there goes on. May be called twice."""

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
