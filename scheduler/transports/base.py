"""The contract of a transport: one verb, `run`, for one command and its bytes. Nothing here knows of batch systems.

A `Program` is one of our POSIX sh programs. It is sent as the first bytes of standard input of one fixed command line
that every login shell understands. Its arguments are part of it, so nothing of a job is visible in a process list.
Output of login files is discarded: the program's own output stands between two markers, and the last marker has the
exit code (see wire.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

_Self = TypeVar("_Self", bound="Transport")
_QUOTED_BYTES = 4000
"""The most bytes of a program's output that a message quotes."""


LONGEST_SECONDS = 3600.0
BYTES_PER_SECOND = 4096


@dataclass(frozen=True)
class Program:
    """A sh program.

    A host that sends a byte from time to time is never silent, so a run has a second limit: it fails with `TimedOut`
    after `longest_seconds`, and a second more for each `BYTES_PER_SECOND` of its own input and output so far. So a
    transfer of any size may take its time, and where the caller bounds the output, it bounds the time.

    Attributes:
        name: what messages and tests call it.
        text: its source.
        longest_seconds: how long it may run, beside the time for its bytes.
    """

    name: str
    text: str
    longest_seconds: float = LONGEST_SECONDS


@dataclass(frozen=True)
class Expanded:
    """A quoted shell word whose variables the remote shell expands (made by `quote_path`)."""

    word: str


@dataclass(frozen=True)
class Reply:
    """A program that has finished: its exit code and its output."""

    program: str
    exit_code: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        """Standard output as text; bytes that are not UTF-8 are shown as escapes."""
        return self.stdout.decode("utf-8", "backslashreplace")

    def message(self) -> str:
        """Why the program failed: its standard error, or else its standard output."""
        return self.err.strip() or _quoted(self.stdout).strip()

    def lines(self, most: int) -> Iterator[str]:
        """The lines of standard output as text, decoded one by one, of each at most `most` bytes."""
        start = 0
        while start < len(self.stdout):
            end = self.stdout.find(b"\n", start)
            end = len(self.stdout) if end < 0 else end
            yield self.stdout[start : min(end, start + most)].decode("utf-8", "backslashreplace")
            start = end + 1

    @property
    def err(self) -> str:
        """Standard error as text, of a long one the beginning and the end; bytes that are not UTF-8 are shown as
        escapes."""
        return _quoted(self.stderr)


def _quoted(output: bytes) -> str:
    """Output as text; of a long one the beginning and the end."""
    if len(output) > _QUOTED_BYTES:
        output = output[: _QUOTED_BYTES // 2] + b" ... " + output[-_QUOTED_BYTES // 2 :]
    return output.decode("utf-8", "backslashreplace")


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
    """Runs programs on one host. The first `run` connects; all later ones use the same connection."""

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
        """Run `program` on the host to its end.

        Args:
            program: the program to run.
            args: its arguments ``$1``, ``$2``, …
            stdin: the program's standard input: bytes, or chunks of bytes that are produced while they are sent.
            stdout: called with each piece of standard output when it arrives; `Reply.stdout` is then empty.
            timeout: seconds without a byte in either direction before `run` fails with `TimedOut`.

        Returns:
            The program's exit code and output. An exit code other than 0 raises nothing.

        Raises:
            TransportError: the host was not reached, or the connection was lost before the end marker arrived: the
                program may have run completely, partly or not at all.
            TimedOut: likewise, because no byte was sent or received for `timeout` seconds, or because the program did
                not end in its time (`Program.longest_seconds`).
        """

    def prepare(self) -> None:  # noqa: B027  (most have nothing to prepare)
        """Start to connect in the background, because a `run` will follow soon.

        Returns at once, never prompts, and raises nothing: the next `run` raises what went wrong.
        """

    def verified_host_key(self) -> str:
        """The key of the host itself that was verified, for messages; empty if this transport has not seen it."""
        return ""

    def upload_streams(self) -> int:
        """How many programs at once upload fastest. The first call may measure the round trip.

        Raises:
            TransportError: the host was not reached.
        """
        return 1

    def download_streams(self) -> int:
        """How many programs at once download fastest. The first call may measure the round trip.

        Raises:
            TransportError: the host was not reached.
        """
        return 1

    @abstractmethod
    def close(self) -> None:
        """Close the connection. Programs on the host may keep running. May be called twice."""

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
