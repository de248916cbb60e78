"""One run of a program: the bytes still to send, the bytes received, and the reply or error. Pure: no I/O here."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from scheduler.errors import ReplyTooLong, TimedOut, TransportError
from scheduler.transports.base import Expanded, Program, Reply
from scheduler.transports.deadline import Deadline
from scheduler.transports.wire import Decoder, encode, why_not_read

_QUOTED_CHARACTERS = 500
_KEPT_STDERR_BYTES = 8000
_UNCERTAIN = "the program may have run completely, partly or not at all. Try again later"


MOST_REPLY_BYTES = 64 << 20
"""Limit for output that is kept whole (no `stdout` callback): a list of 100,000 files is a third of that."""
MOST_PREAMBLE_BYTES = 64 << 20
"""Limit for the output of login files."""
MOST_STDERR_BYTES = 4 << 20
"""How much of standard error is kept; the rest is discarded."""


@dataclass
class _Received:
    """Bytes received: before the program started, its stdout, all of stderr, and the part of stderr that is kept."""

    preamble: int = 0
    stdout: int = 0
    stderr: int = 0
    kept: int = 0


class InputFeed:
    """The bytes to send: the program itself, then its standard input, whose chunks are produced on demand."""

    def __init__(
        self, opening: bytes, data: bytes | Iterable[bytes], moved: Callable[[int], None] | None = None
    ) -> None:
        self._moved = moved
        self._opening_left = len(opening)
        self._current = memoryview(opening)
        self._chunks = iter((data,) if isinstance(data, bytes) else data)

    @property
    def opening_sent(self) -> bool:
        """The whole program has been sent; the next bytes are its standard input."""
        return self._opening_left == 0

    def peek(self, limit: int) -> bytes:
        """The next bytes, at most `limit`; unchanged until `advance`. Empty at the end of the input."""
        while not self._current:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._current = memoryview(chunk)
        return bytes(self._current[:limit])

    def advance(self, count: int) -> None:
        """Note that the first `count` bytes of `peek` have been sent.

        Raises:
            TimedOut: the program takes too long.
        """
        if self._moved is not None:
            self._moved(count)
        self._current = self._current[count:]
        self._opening_left = max(0, self._opening_left - count)


class Exchange:
    """A program and its bytes, from the first byte sent to the reply."""

    def __init__(
        self,
        program: Program,
        args: Sequence[str | Expanded],
        *,
        stdin: bytes | Iterable[bytes],
        stdout: Callable[[bytes], None] | None,
        where: str,
    ) -> None:
        call = encode(program, args)
        self.command, self._nonce = call.command, call.nonce
        self.input = InputFeed(call.opening, stdin, self._move)
        self._program = program.name
        self._longest, self._deadline = program.longest_seconds, Deadline(program.longest_seconds)
        self._where = where
        self._out, self._err = Decoder(call.nonce), Decoder(call.nonce)
        self._stdout = io.BytesIO()  # its value is not copied: a reply of 100 MiB is in memory once
        self._stderr: list[bytes] = []
        self._on_stdout = stdout or self._keep
        self._received = _Received()
        self._stderr_before_start = b""

    @property
    def started(self) -> bool:
        """The program has started, and no byte of its own standard input has been consumed before it."""
        return self._out.started

    @property
    def finished(self) -> bool:
        """Both end markers have arrived: whatever follows is not the program's."""
        return self._out.exit_code is not None and self._err.exit_code is not None

    @property
    def stderr_before_start(self) -> str:
        """The last part of standard error from before the program started."""
        return self._stderr_before_start.decode("utf-8", "replace").strip()

    def receive_stdout(self, chunk: bytes) -> None:
        """Take bytes of standard output; the program's own go to the `stdout` callback."""
        if not self._out.started:
            self._count("preamble", len(chunk), MOST_PREAMBLE_BYTES)
        payload = self._out.feed(chunk)
        self._move(len(payload))
        if payload:
            self._on_stdout(payload)

    def receive_stderr(self, chunk: bytes) -> None:
        """Take bytes of standard error."""
        if not self._err.started:
            self._stderr_before_start = (self._stderr_before_start + chunk)[-_KEPT_STDERR_BYTES:]
        self._count("stderr", len(chunk), MOST_REPLY_BYTES)
        self._move(0)
        kept = self._err.feed(chunk)[: max(0, MOST_STDERR_BYTES - self._received.kept)]
        self._received.kept += len(kept)
        self._stderr.append(kept)

    def _move(self, count: int) -> None:
        """Note that bytes were sent or received, `count` of them the program's own: its time may be over."""
        if self._deadline.has_passed(count) and not self.finished:
            raise TimedOut(
                f"{self._where}: {self._program}: timed out: data still arrives, but the program has not ended in the "
                f"time for its data and {self._longest:g} seconds; {_UNCERTAIN}"
            )

    def _keep(self, payload: bytes) -> None:
        self._count("stdout", len(payload), MOST_REPLY_BYTES)
        self._stdout.write(payload)

    def _count(self, what: str, size: int, most: int) -> None:
        """Keep a host from filling this machine's memory, or from keeping this process busy for ever."""
        total = getattr(self._received, what) + size
        setattr(self._received, what, total)
        if total > most:
            raise self.failure(f"the output is larger than {most >> 20} MiB, so the run was aborted", ReplyTooLong)

    def reply(self, *, connection_lost: bool = False) -> Reply:
        """The program's reply, when no more bytes will arrive.

        Args:
            connection_lost: the bytes ended because the connection was lost, not because the login shell exited.

        Raises:
            TransportError: the begin marker or the end marker is missing.
        """
        self._stderr.append(self._err.flush())
        stderr = b"".join(self._stderr)
        if self._out.exit_code is None:
            raise self._unfinished(stderr) if self.started or connection_lost else self._not_started()
        return Reply(self._program, self._out.exit_code, self._stdout.getvalue(), stderr)

    def timed_out(self, seconds: float) -> TimedOut:
        """The error for a run in which no byte was sent or received for `seconds`."""
        return TimedOut(
            f"{self._where}: {self._program}: timed out: no data sent or received for {seconds:g} seconds; {_UNCERTAIN}"
        )

    def failure(self, reason: str, kind: type[TransportError] = TransportError) -> TransportError:
        """The error for a run whose connection failed, for `reason`."""
        return kind(f"{self._where}: {self._program}: {reason}; {_UNCERTAIN}")

    def _unfinished(self, stderr: bytes) -> TransportError:
        last = stderr[-_QUOTED_CHARACTERS:].decode("utf-8", "replace").strip()
        last = last or ("" if self.started else self._preamble())
        quoted = f" (last output: {last!r})" if last else ""
        return self.failure(f"connection lost before the program finished{quoted}")

    def _preamble(self) -> str:
        """The first lines that arrived before the program started."""
        return _first_lines(self._out.preamble) or _first_lines(self._err.preamble)

    def _not_started(self) -> TransportError:
        if why := why_not_read(self._nonce, self.stderr_before_start):
            return TransportError(
                f"{self._where}: {self._program} was not started: {why}. Let login files do so only in interactive "
                "shells: begin them with `case $- in *i*) ;; *) return ;; esac` (bash) or `if (! $?prompt) exit` (tcsh)"
            )
        preamble = self._preamble()
        exited = f"printed {preamble!r} and exited" if preamble else "exited without output"
        return TransportError(
            f"{self._where}: {self._program} was not started: the login shell {exited}. Log in with ssh to see what it "
            "expects; a login file (~/.bashrc, ~/.profile, ~/.cshrc) must neither end the shell nor read standard "
            "input. If the account may run only some commands (a data transfer node, a forced command, a restricted "
            "shell), scheduler cannot use it unless the site allows this one command line, which reads programs from "
            f"standard input: `{_without_count(self.command)}`"
        )


def _first_lines(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[:5])[:_QUOTED_CHARACTERS]


def _without_count(command: str) -> str:
    return re.sub(r"head -c [0-9]+", "head -c NUMBER", command)
