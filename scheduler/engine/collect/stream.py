"""What a program prints over there as a file that can be read here while it runs, with bounded memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from scheduler.errors import SchedulerError, TransportError
from scheduler.transports.base import Program, Reply, Transport

AHEAD_BYTES = 4 << 20
"""So much may have come that nobody has read yet; then the program has to wait."""
TOGETHER_BYTES = 1 << 18
"""A reader who asks for so much is not woken for less while more may come: changing threads costs more than reading."""


class _Stopped(SchedulerError):
    """The reader has gone; the program's output has nowhere to go."""


class Stream:
    """Standard output of a running program. After its end, `reply` is what the program said."""

    def __init__(self) -> None:
        self._pieces: deque[memoryview] = deque()
        self._ahead = self._wanted = 0
        self._changed = threading.Condition()
        self._ended = self._stopped = self._full = False
        self._failed: SchedulerError | None = None
        self._has_spoken = False
        self.reply: Reply | None = None

    @property
    def is_refused(self) -> bool:
        """It has failed before a byte had come."""
        return self._failed is not None and not self._has_spoken

    def read(self, size: int, /) -> bytes:
        """At most so many of the next bytes; none at the end.

        Raises:
            TransportError: the line was cut, and all that came before has been read.
        """
        with self._changed:
            self._wanted = min(size, TOGETHER_BYTES)
            self._changed.wait_for(lambda: self._ahead >= self._wanted or self._ended)
            if not self._pieces and self._failed is not None:
                raise self._failed
            taken = b"".join(self._taken(size))
            self._ahead -= len(taken)
            if self._full and self._ahead < AHEAD_BYTES // 2:
                self._full = False
                self._changed.notify_all()
        return taken

    def readline(self, size: int, /) -> bytes:
        """The next bytes up to the end of a line, at most so many."""
        line = b""
        while len(line) < size and not line.endswith(b"\n"):
            byte = self.read(1)
            if not byte:
                break
            line += byte
        return line

    def _taken(self, size: int) -> Iterator[memoryview]:
        while self._pieces and size > 0:
            piece = self._pieces.popleft()
            if len(piece) > size:
                self._pieces.appendleft(piece[size:])
                piece = piece[:size]
            size -= len(piece)
            yield piece

    def _put(self, piece: bytes) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._full or self._stopped)
            if self._stopped:
                raise _Stopped("nobody reads any more")
            self._has_spoken = True
            self._pieces.append(memoryview(piece))
            self._ahead += len(piece)
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
            self._failed = error
        except OSError as error:
            self._failed = TransportError(f"the stream broke: {error}")
        finally:
            self._note(ended=True)

    def _note(self, *, ended: bool = False, stopped: bool = False) -> None:
        with self._changed:
            self._ended, self._stopped = self._ended or ended, self._stopped or stopped
            self._changed.notify_all()


@contextmanager
def opened(
    transport: Transport, program: Program, args: Iterable[str] = (), *, stdin: Iterable[bytes], timeout: float
) -> Iterator[Stream]:
    """The output of `program` while it runs. Leaving early ends the reading, and the program with it."""
    stream = Stream()
    worker = threading.Thread(target=stream._run, args=(transport, program, args, stdin, timeout), daemon=True)
    worker.start()
    try:
        yield stream
    finally:
        stream._note(stopped=True)
        worker.join()
