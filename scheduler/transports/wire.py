"""How a program travels, and how its own words are told from a login file's. Pure: bytes in, bytes out.

The login shell over there (bash, tcsh, fish) only ever sees one fixed line. The program follows as the first
bytes of standard input, its data right behind it. What comes back stands between two markers that hold a
fresh random word::

    whatever a login file prints … ==WORD:begin==\\n the program's bytes ==WORD:end:EXITCODE==\\n

The same two markers stand on standard error. The program runs in a subshell, from an `eval`, so that neither
its `exit` nor a slip in its syntax can skip the end marker.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.quoting import quote
from scheduler.transports.base import Expanded, Program

# tcsh would choke on a quoted newline or a '!', dash -s swallows the data: this line works in all of them.
_COMMAND = """exec /bin/sh -c 'eval "$(head -c {count})"'"""

# The markers are put together by printf: with xtrace on, the source's own trace must not look like one.
_FRAME = """\
printf '==%s:begin==\\n' {nonce}
printf '==%s:begin==\\n' {nonce} >&2
(
set -- {args}
eval {program}
)
set -- "$?"
printf '==%s:end:%s==\\n' {nonce} "$1" >&2
printf '==%s:end:%s==\\n' {nonce} "$1"
"""

_PREAMBLE_BYTES = 2000
_LONGEST_CODE = len(b"255==\n")


@dataclass(frozen=True)
class Call:
    """A program ready to travel: say `command`, send `opening`, then the program's own standard input."""

    command: str
    opening: bytes
    nonce: str


def encode(program: Program, args: Sequence[str | Expanded] = (), *, nonce: str | None = None) -> Call:
    """`program` with `args` as its ``$1``, ``$2``, … in the form that travels.

    Raises:
        JobError: a NUL, or what is no Unicode text; no command can carry it.
    """
    nonce = nonce or secrets.token_hex(16)
    words = " ".join(arg.word if isinstance(arg, Expanded) else quote(arg) for arg in args)
    text = _FRAME.format(nonce=nonce, args=words, program=quote(program.text))
    opening = text.encode()
    return Call(command=_COMMAND.format(count=len(opening)), opening=opening, nonce=nonce)


class Decoder:
    """Cuts the bytes of one program out of one stream, whatever the chunks it comes in.

    Attributes:
        begun: the begin marker has been seen.
        exit_code: the program's, once the end marker has been seen; until then None.
    """

    def __init__(self, nonce: str) -> None:
        self._begin = f"=={nonce}:begin==\n".encode()
        self._end_stem = f"=={nonce}:end:".encode()
        self._end = re.compile(re.escape(self._end_stem) + rb"(\d{1,3})==\n")
        self._held = b""
        self._preamble = b""
        self.begun = False
        self.exit_code: int | None = None

    @property
    def preamble(self) -> str:
        """The first of what came before the begin marker."""
        heard = self._preamble if self.begun else self._preamble + self._held
        return heard[:_PREAMBLE_BYTES].decode("utf-8", "replace")

    def feed(self, chunk: bytes) -> bytes:
        """The program's own bytes that `chunk` makes certain. What may be the end marker is held back."""
        if self.exit_code is not None:
            return b""
        data = self._held + chunk if self._held else chunk
        self._held = b""
        return self._before_end(data) if self.begun else self._after_begin(data)

    def flush(self) -> bytes:
        """What was held back, when the stream has ended and no marker can come any more."""
        rest, self._held = (self._held, b"") if self.begun else (b"", self._held)
        return rest

    def _after_begin(self, data: bytes) -> bytes:
        before, marker, after = data.partition(self._begin)
        if marker:
            self.begun = True
            self._note(before)
            return self._before_end(after)
        certain = max(0, len(data) - len(self._begin) + 1)
        self._note(data[:certain])
        self._held = data[certain:]
        return b""

    def _before_end(self, data: bytes) -> bytes:
        at = data.find(self._end_stem)
        while at >= 0:
            if match := self._end.match(data, at):
                self.exit_code = int(match[1])
                return data[:at]
            if len(data) - at < len(self._end_stem) + _LONGEST_CODE:
                return self._hold(data, at)
            at = data.find(self._end_stem, at + 1)
        return self._hold(data, len(data) - _overlap(data, self._end_stem))

    def _hold(self, data: bytes, at: int) -> bytes:
        self._held = data[at:]
        return data[:at]

    def _note(self, data: bytes) -> None:
        self._preamble += data[: _PREAMBLE_BYTES - len(self._preamble)]


def _overlap(data: bytes, stem: bytes) -> int:
    """The length of the longest end of `data` that is a beginning of `stem`."""
    longest = min(len(data), len(stem) - 1)
    return next((count for count in range(longest, 0, -1) if data.endswith(stem[:count])), 0)
