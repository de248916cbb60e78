"""Talk with a process over its three pipes: both outputs drained, the input fed. Whose process it is, others know."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import subprocess
import threading
import time
from typing import IO

from scheduler.transports.exchange import Exchange

_READ_BYTES = 1 << 19
# Linux: F_SETPIPE_SZ. Pipes of 64 kB, as they are made, hand the processor to and fro for every bit of a large file.
_SET_PIPE_BYTES: int | None = getattr(fcntl, "F_SETPIPE_SZ", None)
_WRITE_BYTES = 1 << 16
_TICK_SECONDS = 0.2
_REAP_SECONDS = 1.0


class Pipes:
    """Both output streams of a process drained and its standard input fed, from one thread, as each becomes ready."""

    def __init__(self, process: subprocess.Popen[bytes], exchange: Exchange) -> None:
        assert process.stdin and process.stdout and process.stderr  # noqa: S101 - all three are pipes
        self._process = process
        self._exchange = exchange
        self._stdin: IO[bytes] = process.stdin
        self._listeners = {process.stdout: exchange.hear_stdout, process.stderr: exchange.hear_stderr}

    def within(self, timeout: float) -> bool:
        """True when there is no more to hear; False when nothing came or went for `timeout` seconds."""
        os.set_blocking(self._stdin.fileno(), False)
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        if _SET_PIPE_BYTES is not None:
            with contextlib.suppress(OSError):  # this user has many large pipes already
                fcntl.fcntl(self._process.stdout.fileno(), _SET_PIPE_BYTES, _READ_BYTES)
        with selectors.DefaultSelector() as ready:
            for pipe in self._listeners:
                ready.register(pipe, selectors.EVENT_READ)
            ready.register(self._stdin, selectors.EVENT_WRITE)
            return self._talk(ready, timeout)

    def _talk(self, ready: selectors.BaseSelector, timeout: float) -> bool:
        heard_at = time.monotonic()
        while not self._exchange.ended and self._anyone_to_hear(ready):
            left = heard_at + timeout - time.monotonic()
            events = ready.select(max(0.0, min(left, _TICK_SECONDS)))
            for key, _ in events:
                self._serve(ready, key.fileobj)
            self._resume_feeding(ready)
            if events:
                heard_at = time.monotonic()
            elif self._process.poll() is not None:
                break  # a child it left behind holds the pipes; the program itself is gone
            elif left <= 0:
                return False
        return True

    def _anyone_to_hear(self, ready: selectors.BaseSelector) -> bool:
        return any(pipe in ready.get_map() for pipe in self._listeners)

    def _serve(self, ready: selectors.BaseSelector, pipe: object) -> None:
        if pipe is self._stdin:
            self._write(ready)
            return
        for source, hear in self._listeners.items():
            if source is pipe:
                chunk = os.read(source.fileno(), _READ_BYTES)
                if chunk:
                    hear(chunk)
                else:
                    ready.unregister(source)

    def _write(self, ready: selectors.BaseSelector) -> None:
        if self._waits_for_begin():
            ready.unregister(self._stdin)
            return
        chunk = self._exchange.feed.ahead(_WRITE_BYTES)
        try:
            if chunk:
                self._exchange.feed.took(os.write(self._stdin.fileno(), chunk))
                return
        except BlockingIOError:
            return
        except BrokenPipeError:
            pass  # the program reads no more: its exit code says whether that was right
        ready.unregister(self._stdin)
        self._stdin.close()

    def _waits_for_begin(self) -> bool:
        # BSD's `head -c` reads ahead of its count, so no data may lie behind the program before it has begun.
        return self._exchange.feed.opening_sent and not self._exchange.begun

    def _resume_feeding(self, ready: selectors.BaseSelector) -> None:
        if self._exchange.begun and not self._stdin.closed and self._stdin not in ready.get_map():
            ready.register(self._stdin, selectors.EVENT_WRITE)


def reap(process: subprocess.Popen[bytes]) -> None:
    """Take leave of a process without waiting for it; it is waited for all the same."""
    try:
        process.wait(timeout=_REAP_SECONDS)
    except subprocess.TimeoutExpired:
        threading.Thread(target=process.wait, daemon=True).start()
