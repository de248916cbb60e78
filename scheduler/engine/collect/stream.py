"""Standard output of a remote program as a file that can be read while the program runs, in bounded memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from scheduler.errors import SchedulerError, TransportError
from scheduler.transports.base import Program, Reply, Transport

AHEAD_BYTES = 4 << 20
"""The approximate limit of received bytes that are held unread; beyond it the program has to wait."""
WAKE_BYTES = 1 << 18
"""A reader that requests at least this many bytes is not woken for fewer while more may come: a switch between threads
costs more than the reading."""


class _Stopped(SchedulerError):
    """The reader has left; further output is dropped."""


class Stream:
    """Standard output of a running program.

    Attributes:
        reply: the program's exit code and standard error, once it has finished.
    """

    def __init__(self) -> None:
        self._chunks: deque[memoryview] = deque()
        self._ahead = self._wanted = 0
        self._changed = threading.Condition()
        self._ended = self._stopped = self._full = False
        self._error: SchedulerError | None = None
        self._has_started = False
        self.reply: Reply | None = None

    @property
    def is_refused(self) -> bool:
        """The run failed before its first byte of output arrived."""
        return self._error is not None and not self._has_started

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most `size`; empty at the end of the output.

        Raises:
            TransportError: the connection was lost, and everything that had arrived before has been read.
        """
        with self._changed:
            self._wanted = min(size, WAKE_BYTES)
            self._changed.wait_for(lambda: self._ahead >= self._wanted or self._ended)
            if not self._chunks and self._error is not None:
                raise self._error
            taken = b"".join(self._taken(size))
            self._ahead -= len(taken)
            if self._full and self._ahead < AHEAD_BYTES // 2:
                self._full = False
                self._changed.notify_all()
        return taken

    def readline(self, size: int, /) -> bytes:
        """The next bytes up to and including a newline, at most `size`."""
        line = b""
        while len(line) < size and not line.endswith(b"\n"):
            byte = self.read(1)
            if not byte:
                break
            line += byte
        return line

    def _taken(self, size: int) -> Iterator[memoryview]:
        while self._chunks and size > 0:
            chunk = self._chunks.popleft()
            if len(chunk) > size:
                self._chunks.appendleft(chunk[size:])
                chunk = chunk[:size]
            size -= len(chunk)
            yield chunk

    def _put(self, chunk: bytes) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._full or self._stopped)
            if self._stopped:
                raise _Stopped("the reader has left")
            self._has_started = True
            self._chunks.append(memoryview(chunk))
            self._ahead += len(chunk)
            self._full = self._ahead >= AHEAD_BYTES
            if self._ahead >= self._wanted:
                self._changed.notify_all()

    def _run(
        self, transport: Transport, program: Program, args: Iterable[str], stdin: Iterable[bytes], timeout: float
    ) -> None:
        try:
            self.reply = transport.run(program, list(args), stdin=stdin, stdout=self._put, timeout=timeout)
        except _Stopped:
            pass
        except SchedulerError as error:
            self._error = error
        except OSError as error:
            self._error = TransportError(f"the output of {program.name} could not be received: {error}")
        finally:
            self._note(ended=True)

    def _note(self, *, ended: bool = False, stopped: bool = False) -> None:
        with self._changed:
            self._ended, self._stopped = self._ended or ended, self._stopped or stopped
            self._changed.notify_all()


@contextmanager
def open_stream(
    transport: Transport, program: Program, args: Iterable[str] = (), *, stdin: Iterable[bytes], timeout: float
) -> Iterator[Stream]:
    """Run `program` in a thread of its own and read its output meanwhile.

    Leaving the context early stops the reading, and with it the program.

    Args:
        args, stdin, timeout: as for `Transport.run`.
    """
    stream = Stream()
    worker = threading.Thread(target=stream._run, args=(transport, program, args, stdin, timeout), daemon=True)
    worker.start()
    try:
        yield stream
    finally:
        stream._note(stopped=True)
        worker.join()
