"""Move the bytes of an exchange through the three pipes of a local process. The caller starts and ends the process."""

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
# Linux's F_SETPIPE_SZ: with pipes of the default 64 kB, a large file costs a context switch for each 64 kB.
_SET_PIPE_BYTES: int | None = getattr(fcntl, "F_SETPIPE_SZ", None)
_WRITE_BYTES = 1 << 16
_TICK_SECONDS = 0.2
_REAP_SECONDS = 1.0


class Pipes:
    """Reads stdout and stderr of a process and writes its stdin from one thread, whichever is ready.

    Args:
        process: a process with three pipes, unbuffered.
        exchange: what to send, and the receiver of what arrives.
    """

    def __init__(self, process: subprocess.Popen[bytes], exchange: Exchange) -> None:
        assert process.stdin and process.stdout and process.stderr  # noqa: S101 - all three are pipes
        self._process = process
        self._exchange = exchange
        self._stdin: IO[bytes] = process.stdin
        self._receivers = {process.stdout: exchange.receive_stdout, process.stderr: exchange.receive_stderr}

    def transfer(self, timeout: float) -> bool:
        """Move bytes until both outputs have ended.

        Returns:
            False if no byte was sent or received for `timeout` seconds.

        Raises:
            TransportError: the output is larger than the limits of `Exchange`.
        """
        os.set_blocking(self._stdin.fileno(), False)
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        if _SET_PIPE_BYTES is not None:
            with contextlib.suppress(OSError):  # the user has reached the limit for large pipes (pipe(7))
                fcntl.fcntl(self._process.stdout.fileno(), _SET_PIPE_BYTES, _READ_BYTES)
        with selectors.DefaultSelector() as ready:
            for pipe in self._receivers:
                ready.register(pipe, selectors.EVENT_READ)
            ready.register(self._stdin, selectors.EVENT_WRITE)
            return self._loop(ready, timeout)

    def _loop(self, ready: selectors.BaseSelector, timeout: float) -> bool:
        active_at = time.monotonic()
        while not self._exchange.finished and self._has_open_output(ready):
            left = active_at + timeout - time.monotonic()
            events = ready.select(max(0.0, min(left, _TICK_SECONDS)))
            for key, _ in events:
                self._serve(ready, key.fileobj)
            self._resume_feeding(ready)
            if events:
                active_at = time.monotonic()
            elif self._process.poll() is not None:
                break  # the process has exited; a child that it left behind holds the pipes open
            elif left <= 0:
                return False
        return True

    def _has_open_output(self, ready: selectors.BaseSelector) -> bool:
        return any(pipe in ready.get_map() for pipe in self._receivers)

    def _serve(self, ready: selectors.BaseSelector, pipe: object) -> None:
        if pipe is self._stdin:
            self._write(ready)
            return
        for source, receive in self._receivers.items():
            if source is pipe:
                chunk = os.read(source.fileno(), _READ_BYTES)
                if chunk:
                    receive(chunk)
                else:
                    ready.unregister(source)

    def _write(self, ready: selectors.BaseSelector) -> None:
        if self._must_wait_for_start():
            ready.unregister(self._stdin)
            return
        chunk = self._exchange.input.peek(_WRITE_BYTES)
        try:
            if chunk:
                self._exchange.input.advance(os.write(self._stdin.fileno(), chunk))
                return
        except BlockingIOError:
            return
        except BrokenPipeError:
            pass  # the program has closed its stdin; its exit code shows whether that was an error
        ready.unregister(self._stdin)
        self._stdin.close()

    def _must_wait_for_start(self) -> bool:
        # BSD's `head -c` reads more than its count, so no data may follow the program before the program has started.
        return self._exchange.input.opening_sent and not self._exchange.started

    def _resume_feeding(self, ready: selectors.BaseSelector) -> None:
        if self._exchange.started and not self._stdin.closed and self._stdin not in ready.get_map():
            ready.register(self._stdin, selectors.EVENT_WRITE)


def reap(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process, at most a second; then a thread waits on, so that no zombie process remains."""
    try:
        process.wait(timeout=_REAP_SECONDS)
    except subprocess.TimeoutExpired:
        threading.Thread(target=process.wait, daemon=True).start()
