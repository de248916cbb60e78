"""Standard streams that are missing, full or closed, and signals that end the command. Imported before anything else.

A stream that is missing is /dev/null. If a write fails, one line on standard error reports it, what is printed later is
discarded, and the command continues: the jobs are worth more than its output.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import signal
import sys
from types import FrameType
from typing import TextIO

_NAMES = {1: "standard output", 2: "standard error"}
_EXIT_CODES = {signal.SIGTERM: 143, signal.SIGHUP: 129}
_INTERRUPTED = 130


class _Raw(io.FileIO):
    """A stream whose writes do not fail: the first error is reported, and what follows is discarded."""

    failure: OSError | None = None

    def write(self, data: object, /) -> int:
        size = memoryview(data).nbytes  # type: ignore[arg-type]
        while self.failure is None:
            try:
                written = super().write(data)  # type: ignore[arg-type]
            except OSError as error:
                self._fail(error)
            else:
                if written is not None:
                    return written
                select.select([], [self.fileno()], [])  # the terminal or pipe is in non-blocking mode, and full
        return size

    def _fail(self, error: OSError) -> None:
        self.failure = error
        if self.fileno() == 1 and error.errno != errno.EPIPE:  # the reader of a pipe knows that it has closed it
            message = f"scheduler: cannot write to {_NAMES[1]}: {error.strerror}; the jobs are not affected\n"
            with contextlib.suppress(OSError):
                os.write(2, message.encode())


_streams: list[_Raw] = []
_ended_by: list[signal.Signals] = []
"""The signal that has ended the command; empty: none, or Ctrl-C."""


def prepare() -> None:
    """Open missing streams, make writes safe, and turn SIGTERM and SIGHUP into exceptions."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # open() gives the lowest free number: this one
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
            os.set_inheritable(number, True)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stdout, sys.stderr = _text(1, sys.stdout), _text(2, sys.stderr)
    for which in _EXIT_CODES:
        if signal.getsignal(which) is signal.SIG_DFL:  # under nohup, SIGHUP stays ignored
            signal.signal(which, _end)


def exit_code(code: int) -> int:
    """The exit code of the command: of the signal that has ended it, as a shell reports it; or 1 instead of 0 if its
    output could not be written."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with contextlib.suppress(OSError):
        os.dup2(2, 1)  # a module of the user that was imported may print at its exit, and a program may read our output
    if _ended_by and code == _INTERRUPTED:
        return _EXIT_CODES[_ended_by[0]]
    return 1 if code == 0 and _streams[0].failure is not None else code


def _text(number: int, before: TextIO | None) -> io.TextIOWrapper:
    """A text stream for this descriptor. Characters that its encoding lacks are printed as escapes."""
    encoding = getattr(before, "encoding", None) or "utf-8"
    raw = _Raw(number, "w", closefd=False)
    _streams.append(raw)
    buffered = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffered, encoding, "backslashreplace", line_buffering=number == 2 or raw.isatty())


def _end(number: int, frame: FrameType | None) -> None:
    """End the command as Ctrl-C does, with the same messages."""
    del frame
    for which in _EXIT_CODES:
        signal.signal(which, signal.SIG_IGN)  # it is ending already
    _ended_by.append(signal.Signals(number))
    raise KeyboardInterrupt
