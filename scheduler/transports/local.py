"""Programs on this machine, by a subprocess of /bin/sh: for login nodes and `Runner("local")`. No SSH."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from scheduler.errors import TransportError
from scheduler.transports.base import Expanded, Program, Reply, Transport
from scheduler.transports.exchange import Exchange

_WHERE = "this machine"
_READ_BYTES = 1 << 17
_WRITE_BYTES = 1 << 16
_TICK_SECONDS = 0.2
_REAP_SECONDS = 1.0


class LocalTransport(Transport):
    """Runs programs here, in a session of their own and in the home directory, as a login over SSH would."""

    def run(
        self,
        program: Program,
        args: Sequence[str | Expanded] = (),
        *,
        stdin: bytes | Iterable[bytes] = b"",
        stdout: Callable[[bytes], None] | None = None,
        timeout: float = 60.0,
    ) -> Reply:
        exchange = Exchange(program, args, stdin=stdin, stdout=stdout, where=_WHERE)
        with _shell(exchange.command) as process:
            finished = _Conversation(process, exchange).within(timeout)
            if not finished:
                _kill_group(process)
                raise exchange.timed_out(timeout)
        return exchange.reply()

    def close(self) -> None:
        """There is no connection to give back."""


@contextlib.contextmanager
def _shell(command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A shell with three pipes. Left early, it loses its pipes, as if a line was cut, but is not killed."""
    home = Path.home()
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            cwd=home if home.is_dir() else "/",
        )
    except OSError as error:
        raise TransportError(f"{_WHERE}: cannot start /bin/sh: {error.strerror}. Try again later") from error
    try:
        yield process
    finally:
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        _reap(process)


def _reap(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=_REAP_SECONDS)
    except subprocess.TimeoutExpired:
        threading.Thread(target=process.wait, daemon=True).start()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


class _Conversation:
    """Both output streams drained and standard input fed, from one thread, as each becomes ready."""

    def __init__(self, process: subprocess.Popen[bytes], exchange: Exchange) -> None:
        assert process.stdin and process.stdout and process.stderr  # noqa: S101 - all three are pipes
        self._process = process
        self._exchange = exchange
        self._stdin: IO[bytes] = process.stdin
        self._listeners = {process.stdout: exchange.hear_stdout, process.stderr: exchange.hear_stderr}

    def within(self, timeout: float) -> bool:
        """True when there is no more to hear; False when nothing came or went for `timeout` seconds."""
        os.set_blocking(self._stdin.fileno(), False)
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
