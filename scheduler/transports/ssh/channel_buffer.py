"""What has come on a channel and nobody has taken yet, in the pieces in which it came.

Paramiko's own copies all that is left with each read: behind a wide window that costs more than deciphering it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from paramiko.buffered_pipe import BufferedPipe, PipeTimeout


class Pipe(BufferedPipe):  # type: ignore[type-arg]
    """In place of a channel's `in_buffer`, before anything has come."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self._pieces: deque[memoryview] = deque()
        self._size = 0
        self._news: threading.Event | None = None
        self._over = False

    def set_event(self, event: threading.Event) -> None:
        """To be set while there is something to read, or nothing more will come."""
        with self._changed:
            self._news = event
            self._tell()

    def feed(self, data: bytes | str) -> None:
        """From Paramiko's thread."""
        with self._changed:
            piece = memoryview(data.encode() if isinstance(data, str) else data)
            self._pieces.append(piece)
            self._size += len(piece)
            self._tell()

    def read_ready(self) -> bool:
        with self._changed:
            return self._size > 0

    def read(self, nbytes: int, timeout: float | None = None) -> bytes:
        with self._changed:
            if not self._changed.wait_for(lambda: self._size or self._over, timeout):
                raise PipeTimeout
            taken = b"".join(self._taken(nbytes))
            self._size -= len(taken)
            self._tell()
            return taken

    def empty(self) -> bytes:
        with self._changed:
            size = self._size
        return self.read(size) if size else b""

    def close(self) -> None:
        with self._changed:
            self._over = True
            self._tell()

    def __len__(self) -> int:
        with self._changed:
            return self._size

    def _taken(self, left: int) -> Iterator[memoryview]:
        while self._pieces and left > 0:
            piece = self._pieces.popleft()
            if len(piece) > left:
                self._pieces.appendleft(piece[left:])
                piece = piece[:left]
            left -= len(piece)
            yield piece

    def _tell(self) -> None:
        self._changed.notify_all()
        if self._news is not None:
            if self._size or self._over:
                self._news.set()
            else:
                self._news.clear()
