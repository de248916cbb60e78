"""A TCP relay whose connections can be cut, or frozen so that neither end notices."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType

_FEW_BYTES = 4096


class Relay:
    """Forwards connections from `port` on this machine to the port `target` of `host`.

    Attributes:
        port: the port to connect to.
        accepted: number of connections so far.
        budget: called for the number of bytes after which all connections are cut, again after each such cut; None
            means no limit.
        cuts: number of cuts by the budget.
    """

    def __init__(
        self, target: int, *, host: str = "127.0.0.1", budget: Callable[[], int | None] = lambda: None
    ) -> None:
        self._target, self._host = target, host
        self.budget, self.cuts = budget, 0
        self._left = budget()
        self._counting = threading.Lock()
        self._flowing = threading.Event()
        self._flowing.set()
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.accepted = 0
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _FEW_BYTES)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    def freeze(self) -> None:
        """Stop forwarding without closing any connection."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Forward again."""
        self._flowing.set()

    def cut(self) -> None:
        """Close every connection; new ones are accepted."""
        for end in list(self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Relay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.thaw()
        self.cut()
        for thread in self._threads:
            thread.join(timeout=600)
        for end in self._ends:
            end.close()

    def _allowed(self, size: int) -> int:
        with self._counting:
            if self._left is None or size <= self._left:
                self._left = None if self._left is None else self._left - size
                return size
            allowed, self._left = self._left, self.budget()
            self.cuts += 1
            return allowed

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            far = socket.create_connection((self._host, self._target))
            self._ends += [near, far]
            self._start(partial(self._forward, near, far))
            self._start(partial(self._forward, far, near))

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._flowing.wait()
                data = source.recv(1 << 16)
                self._flowing.wait()
                if not data:
                    break
                allowed = self._allowed(len(data))
                sink.sendall(data[:allowed])
                if allowed < len(data):
                    self.cut()
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
