"""What a program prints over there as a file that can be read here while it runs, with bounded memory."""

from __future__ import annotations

import io
import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from scheduler.errors import SchedulerError, TransportError
from scheduler.transports.base import Program, Reply, Transport

_PIECES = 64


class _Stopped(SchedulerError):
    """The reader has gone; the program's output has nowhere to go."""


class Stream(io.RawIOBase):
    """Standard output of a running program. After its end, `reply` is what the program said."""

    def __init__(self) -> None:
        self._pieces: queue.Queue[bytes | None] = queue.Queue(_PIECES)
        self._rest = b""
        self._stopped = False
        self._failed: SchedulerError | None = None
        self.reply: Reply | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = self._next()
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)

    def _next(self) -> bytes:
        piece = self._pieces.get()
        if piece is not None:
            return piece
        self._pieces.put(None)  # the end stays the end
        if self._failed is not None:
            raise self._failed
        return b""

    def _put(self, piece: bytes) -> None:
        while not self._stopped:
            try:
                return self._pieces.put(piece, timeout=0.2)
            except queue.Full:
                continue
        raise _Stopped("nobody reads any more")

    def _run(self, transport: Transport, program: Program, stdin: Iterable[bytes], timeout: float) -> None:
        try:
            self.reply = transport.run(program, stdin=stdin, stdout=self._put, timeout=timeout)
        except _Stopped:
            pass
        except SchedulerError as error:
            self._failed = error
        except OSError as error:
            self._failed = TransportError(f"the stream broke: {error}")
        finally:
            self._end()

    def _end(self) -> None:
        while not self._stopped:
            try:
                return self._pieces.put(None, timeout=0.2)
            except queue.Full:
                continue


@contextmanager
def opened(transport: Transport, program: Program, *, stdin: Iterable[bytes], timeout: float) -> Iterator[Stream]:
    """The output of `program` while it runs. Leaving early ends the reading, and the program with it."""
    stream = Stream()
    worker = threading.Thread(target=stream._run, args=(transport, program, stdin, timeout), daemon=True)
    worker.start()
    try:
        yield stream
    finally:
        stream._stopped = True
        worker.join()
        stream.close()
