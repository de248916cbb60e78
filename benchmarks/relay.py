"""A line that adds a round trip: bytes pass on unchanged, half of it later, in either direction. A process of its own.

    python benchmarks/relay.py HOST PORT MILLISECONDS

It prints the port that it listens on, and for each line on standard input the number of connections made so far and the
bytes that went up and down. It ends with its standard input. How fast bytes pass is not limited.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import sys
import threading
import time

_PIECE_BYTES = 1 << 18
_IN_FLIGHT = 4096


class Line:
    """The relay and what has passed."""

    def __init__(self, host: str, port: int, one_way_seconds: float) -> None:
        self._target, self._delay = (host, port), one_way_seconds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.bytes = {"up": 0, "down": 0}

    def serve(self) -> None:
        """Take connections for ever."""
        while True:
            near, _ = self._listener.accept()
            self.connections += 1
            far = socket.create_connection(self._target)
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pass(near, far, "up")
            self._pass(far, near, "down")

    def _pass(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        pieces: queue.Queue[tuple[float, bytes]] = queue.Queue(_IN_FLIGHT)
        threading.Thread(target=self._read, args=(source, pieces, way), daemon=True).start()
        threading.Thread(target=_write, args=(sink, pieces), daemon=True).start()

    def _read(self, source: socket.socket, pieces: queue.Queue[tuple[float, bytes]], way: str) -> None:
        piece = b"-"
        while piece:
            try:
                piece = source.recv(_PIECE_BYTES)
            except OSError:
                piece = b""
            self.bytes[way] += len(piece)
            pieces.put((time.monotonic() + self._delay, piece))


def _write(sink: socket.socket, pieces: queue.Queue[tuple[float, bytes]]) -> None:
    with contextlib.suppress(OSError):
        while True:
            due, piece = pieces.get()
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            if not piece:
                sink.shutdown(socket.SHUT_WR)
                return
            sink.sendall(piece)


def main() -> None:
    """See above."""
    host, port, milliseconds = sys.argv[1:]
    line = Line(host, int(port), float(milliseconds) / 2000)
    threading.Thread(target=line.serve, daemon=True).start()
    print(line.port, flush=True)
    for _ in sys.stdin:
        print(line.connections, line.bytes["up"], line.bytes["down"], flush=True)


if __name__ == "__main__":
    main()
