"""One run under way: what is still to send, what was heard, how it ended. Pure; transports move the bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from scheduler.errors import TimedOut, TransportError
from scheduler.transports.base import Expanded, Program, Reply
from scheduler.transports.wire import Decoder, encode

_LAST_WORDS = 500
_LONGEST_COMPLAINT = 8000
_UNCERTAIN = "what was asked may have happened whole, in part, or not at all. Try again later"


MOST_REPLY_BYTES = 128 << 20
"""Of what a program prints, where nobody takes it piece by piece: 100,000 jobs in one poll are a quarter of that."""
MOST_BEFORE_BYTES = 64 << 20
"""Of what login files print."""
MOST_WORDS_BYTES = 4 << 20
"""Of standard error; what comes after that is not kept."""


@dataclass
class _Heard:
    """Bytes that have come: before the program began, from it, and on standard error; of the last, those kept."""

    before: int = 0
    said: int = 0
    complained: int = 0
    kept: int = 0


class Feed:
    """What is to be sent: the opening, then the data, chunk by chunk, made when they are asked for."""

    def __init__(self, opening: bytes, data: bytes | Iterable[bytes]) -> None:
        self._opening_left = len(opening)
        self._now = memoryview(opening)
        self._chunks = iter((data,) if isinstance(data, bytes) else data)

    @property
    def opening_sent(self) -> bool:
        """The program is on its way whole; what comes next is its data."""
        return self._opening_left == 0

    def ahead(self, limit: int) -> bytes:
        """The next bytes, at most `limit`; the same again until `took`. Empty: there are no more."""
        while not self._now:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._now = memoryview(chunk)
        return bytes(self._now[:limit])

    def took(self, count: int) -> None:
        """`count` of them are sent."""
        self._now = self._now[count:]
        self._opening_left = max(0, self._opening_left - count)


class Exchange:
    """A program and its bytes, from the first one sent to its reply."""

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
        self.command = call.command
        self.feed = Feed(call.opening, stdin)
        self._program = program.name
        self._where = where
        self._out, self._err = Decoder(call.nonce), Decoder(call.nonce)
        self._said: list[bytes] = []
        self._complained: list[bytes] = []
        self._listener = stdout or self._keep
        self._heard = _Heard()
        self._before = b""

    @property
    def begun(self) -> bool:
        """The program has started over there, and has taken no more of standard input than is its own."""
        return self._out.begun

    @property
    def ended(self) -> bool:
        """Both end markers are here: nothing that may still come is the program's."""
        return self._out.exit_code is not None and self._err.exit_code is not None

    @property
    def words_before(self) -> str:
        """The last of what came on standard error before the program had begun."""
        return self._before.decode("utf-8", "replace").strip()

    def hear_stdout(self, chunk: bytes) -> None:
        """Bytes came on standard output; the program's own go to whoever listens."""
        if not self._out.begun:
            self._count("before", len(chunk), MOST_BEFORE_BYTES)
        if payload := self._out.feed(chunk):
            self._listener(payload)

    def hear_stderr(self, chunk: bytes) -> None:
        """Bytes came on standard error."""
        if not self._err.begun:
            self._before = (self._before + chunk)[-_LONGEST_COMPLAINT:]
        self._count("complained", len(chunk), MOST_REPLY_BYTES)
        words = self._err.feed(chunk)[: max(0, MOST_WORDS_BYTES - self._heard.kept)]
        self._heard.kept += len(words)
        self._complained.append(words)

    def _keep(self, payload: bytes) -> None:
        self._count("said", len(payload), MOST_REPLY_BYTES)
        self._said.append(payload)

    def _count(self, what: str, size: int, most: int) -> None:
        """However much a host says, it does not fill this machine's memory, nor keep it listening for ever."""
        total = getattr(self._heard, what) + size
        setattr(self._heard, what, total)
        if total > most:
            raise self.cut(f"it said more than {most >> 20} MiB, and the line was given up")

    def reply(self, *, line_lost: bool = False) -> Reply:
        """What the program said, now that there is no more to hear.

        Args:
            line_lost: it is the line that ended, not the login shell.

        Raises:
            TransportError: there was no begin marker, or no end marker.
        """
        self._complained.append(self._err.flush())
        stderr = b"".join(self._complained)
        if self._out.exit_code is None:
            raise self._cut_short(stderr) if self.begun or line_lost else self._never_begun()
        return Reply(self._program, self._out.exit_code, b"".join(self._said), stderr)

    def timed_out(self, seconds: float) -> TimedOut:
        """The error to raise when nothing came or went for `seconds`."""
        return TimedOut(
            f"{self._where}: {self._program}: nothing came or went for {seconds:g} seconds, "
            f"so the line was given up; {_UNCERTAIN}"
        )

    def cut(self, reason: str) -> TransportError:
        """The error to raise when the line itself failed; `reason` says how."""
        return TransportError(f"{self._where}: {self._program}: {reason}; {_UNCERTAIN}")

    def _cut_short(self, stderr: bytes) -> TransportError:
        last = stderr[-_LAST_WORDS:].decode("utf-8", "replace").strip() or ("" if self.begun else self._preamble())
        words = f", after it had said {last!r}" if last else ""
        return self.cut(f"the line was cut before the program had ended{words}")

    def _preamble(self) -> str:
        """What was said before any program of ours."""
        return _first_lines(self._out.preamble) or _first_lines(self._err.preamble)

    def _never_begun(self) -> TransportError:
        said = self._preamble()
        heard = f"said {said!r} and ended" if said else "ended without a word"
        return TransportError(
            f"{self._where}: {self._program} was not started: the login shell {heard}. Log in there by hand to see "
            "what it wants. If the account may run only some commands (a node for robots, a forced command, a "
            "restricted shell), scheduler cannot work with it: it says one line only, "
            f"`{_without_count(self.command)}`, with programs on standard input, and the site would have to allow that"
        )


def _first_lines(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[:5])[:_LAST_WORDS]


def _without_count(command: str) -> str:
    return re.sub(r"head -c [0-9]+", "head -c NUMBER", command)
