"""A relay that adds a round trip: it forwards bytes unchanged, half a round trip later, in either direction.

    python benchmarks/relay.py HOST PORT MILLISECONDS

A process of its own. It prints the port that it listens on, then for each line on standard input the number of
connections so far and the bytes uploaded and downloaded. It exits at the end of standard input. It does not limit
bandwidth.
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


class Relay:
    """Forwards connections to one host and port, and counts connections and bytes."""

    def __init__(self, host: str, port: int, one_way_seconds: float) -> None:
        self._target, self._delay = (host, port), one_way_seconds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.bytes = {"up": 0, "down": 0}

    def serve(self) -> None:
        """Accept connections for ever."""
        while True:
            near, _ = self._listener.accept()
            self.connections += 1
            far = socket.create_connection(self._target)
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._forward(near, far, "up")
            self._forward(far, near, "down")

    def _forward(self, source: socket.socket, sink: socket.socket, direction: str) -> None:
        pieces: queue.Queue[tuple[float, bytes]] = queue.Queue(_IN_FLIGHT)
        threading.Thread(target=self._read, args=(source, pieces, direction), daemon=True).start()
        threading.Thread(target=_write, args=(sink, pieces), daemon=True).start()

    def _read(self, source: socket.socket, pieces: queue.Queue[tuple[float, bytes]], direction: str) -> None:
        piece = b"-"
        while piece:
            try:
                piece = source.recv(_PIECE_BYTES)
            except OSError:
                piece = b""
            self.bytes[direction] += len(piece)
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
    """Start the relay and answer the lines on standard input."""
    host, port, milliseconds = sys.argv[1:]
    relay = Relay(host, int(port), float(milliseconds) / 2000)
    threading.Thread(target=relay.serve, daemon=True).start()
    print(relay.port, flush=True)
    for _ in sys.stdin:
        print(relay.connections, relay.bytes["up"], relay.bytes["down"], flush=True)


if __name__ == "__main__":
    main()
