"""The receive buffer of a channel, as a queue of the chunks that arrived.

Paramiko's own buffer copies everything that is left at each read; with a large window, that costs more than decryption.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from paramiko.buffered_pipe import BufferedPipe, PipeTimeout


class ChannelBuffer(BufferedPipe):  # type: ignore[type-arg]
    """Replaces a channel's `in_buffer` before any data has arrived; it has the methods of BufferedPipe."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self._chunks: deque[memoryview] = deque()
        self._size = 0
        self._event: threading.Event | None = None
        self._ended = False

    def set_event(self, event: threading.Event) -> None:
        """Keep `event` set while there is data to read, or after the end of the stream."""
        with self._changed:
            self._event = event
            self._notify()

    def feed(self, data: bytes | str) -> None:
        """Append data; Paramiko's thread calls this."""
        with self._changed:
            chunk = memoryview(data.encode() if isinstance(data, str) else data)
            self._chunks.append(chunk)
            self._size += len(chunk)
            self._notify()

    def read_ready(self) -> bool:
        with self._changed:
            return self._size > 0

    def read(self, nbytes: int, timeout: float | None = None) -> bytes:
        with self._changed:
            if not self._changed.wait_for(lambda: self._size or self._ended, timeout):
                raise PipeTimeout
            data = b"".join(self._take(nbytes))
            self._size -= len(data)
            self._notify()
            return data

    def empty(self) -> bytes:
        with self._changed:
            size = self._size
        return self.read(size) if size else b""

    def close(self) -> None:
        with self._changed:
            self._ended = True
            self._notify()

    def __len__(self) -> int:
        with self._changed:
            return self._size

    def _take(self, left: int) -> Iterator[memoryview]:
        while self._chunks and left > 0:
            chunk = self._chunks.popleft()
            if len(chunk) > left:
                self._chunks.appendleft(chunk[left:])
                chunk = chunk[:left]
            left -= len(chunk)
            yield chunk

    def _notify(self) -> None:
        self._changed.notify_all()
        if self._event is not None:
            if self._size or self._ended:
                self._event.set()
            else:
                self._event.clear()
