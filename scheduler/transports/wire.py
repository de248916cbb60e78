"""How a program is encoded for sending, and how its output is separated from that of login files. Bytes in, bytes out.

The remote login shell (bash, tcsh, fish) gets one fixed command line. The program is sent as the first bytes of
standard input, followed by the program's own standard input. Its output comes back between two markers that contain a
random nonce::

    output of login files … ==NONCE:begin==\\n the program's output ==NONCE:end:EXITCODE==\\n

Standard error has the same two markers. The first lines check that this shell, and no other one, reads the program from
its first byte on. The program runs by `eval` in a subshell, so that neither its `exit` nor a
syntax error in it can skip the end marker.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.quoting import quote
from scheduler.transports.base import Expanded, Program

# tcsh fails on a quoted newline and on '!'; `dash -s` reads ahead into the data. This line works in all shells.
# A login file may have replaced PATH, hence `command -p`.
_COMMAND = """exec /bin/sh -c 'eval "$(command -p head -c {count})"'"""

# printf assembles the markers: under `set -x`, the trace of this source must not look like a marker.
# A shell that a login file or forced command has started reads commands from standard input (`s` in `$-`): it must not
# execute the program's data. A login file that reads lines takes the first one or some more.
# An exported SHELLOPTS may set options of bash: `set -e` would end it before the end marker.
_FRAME = """\
case $- in *s*) printf '==%s:other-shell==\\n' {nonce} >&2; exit 97 ;; esac; scheduler_first_line={nonce}
[ "${{scheduler_first_line-}}" = {nonce} ] || {{ printf '==%s:input-read==\\n' {nonce} >&2; exit 97; }}
[ "${{scheduler_first_line-}}" = {nonce} ] || {{ printf '==%s:input-read==\\n' {nonce} >&2; exit 97; }}
[ "${{scheduler_first_line-}}" = {nonce} ] || {{ printf '==%s:input-read==\\n' {nonce} >&2; exit 97; }}
[ "${{scheduler_first_line-}}" = {nonce} ] || {{ printf '==%s:input-read==\\n' {nonce} >&2; exit 97; }}
set +aefuvxC
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
_CULPRIT = "a login file (~/.bashrc, ~/.profile, ~/.cshrc) or a forced command"
_NOT_READ = {
    "other-shell": f"{_CULPRIT} starts another shell, which reads the program as its own input",
    "input-read": f"{_CULPRIT} reads standard input, so the first lines of the program are missing",
}
_LONGEST_CODE = len(b"255==\n")


@dataclass(frozen=True)
class Call:
    """An encoded program: run `command`, then send `opening` and the program's own standard input.

    Attributes:
        command: the command line for the login shell.
        opening: the program with its arguments.
        nonce: the random word in the markers.
    """

    command: str
    opening: bytes
    nonce: str


def encode(program: Program, args: Sequence[str | Expanded] = (), *, nonce: str | None = None) -> Call:
    """Encode `program` with `args` as its ``$1``, ``$2``, …

    Args:
        program: the program.
        args: its arguments.
        nonce: the random word in the markers; by default a new one.

    Raises:
        JobError: an argument has a NUL or is not valid Unicode, so it cannot be an argument of a command.
    """
    nonce = nonce or secrets.token_hex(16)
    words = " ".join(arg.word if isinstance(arg, Expanded) else quote(arg) for arg in args)
    text = _FRAME.format(nonce=nonce, args=words, program=quote(program.text))
    opening = text.encode()
    return Call(command=_COMMAND.format(count=len(opening)), opening=opening, nonce=nonce)


def why_not_read(nonce: str, stderr: str) -> str:
    """Why the program was not started, if its first lines report that; else empty."""
    return next((why for mark, why in _NOT_READ.items() if f"=={nonce}:{mark}==" in stderr), "")


class Decoder:
    """Extracts the program's bytes from one stream, however the stream is divided into chunks.

    Attributes:
        started: the begin marker has arrived.
        exit_code: the program's exit code, or None until the end marker has arrived.
    """

    def __init__(self, nonce: str) -> None:
        self._begin = f"=={nonce}:begin==\n".encode()
        self._end_stem = f"=={nonce}:end:".encode()
        self._end = re.compile(re.escape(self._end_stem) + rb"(\d{1,3})==\n")
        self._held = b""
        self._preamble = b""
        self.started = False
        self.exit_code: int | None = None

    @property
    def preamble(self) -> str:
        """The first bytes that arrived before the begin marker, as text."""
        received = self._preamble if self.started else self._preamble + self._held
        return received[:_PREAMBLE_BYTES].decode("utf-8", "replace")

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk of the stream.

        Returns:
            Bytes that certainly are the program's. Bytes that may be a part of the end marker are held back.
        """
        if self.exit_code is not None:
            return b""
        data = self._held + chunk if self._held else chunk
        self._held = b""
        return self._before_end(data) if self.started else self._after_begin(data)

    def flush(self) -> bytes:
        """The bytes that were held back; call it at the end of the stream, when no marker can follow."""
        rest, self._held = (self._held, b"") if self.started else (b"", self._held)
        return rest

    def _after_begin(self, data: bytes) -> bytes:
        before, marker, after = data.partition(self._begin)
        if marker:
            self.started = True
            self._keep_preamble(before)
            return self._before_end(after)
        certain = max(0, len(data) - len(self._begin) + 1)
        self._keep_preamble(data[:certain])
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

    def _keep_preamble(self, data: bytes) -> None:
        self._preamble += data[: _PREAMBLE_BYTES - len(self._preamble)]


def _overlap(data: bytes, stem: bytes) -> int:
    """The length of the longest suffix of `data` that is a proper prefix of `stem`."""
    longest = min(len(data), len(stem) - 1)
    return next((count for count in range(longest, 0, -1) if data.endswith(stem[:count])), 0)
