"""The byte stream below an SSH connection: a TCP socket, a ProxyCommand, or a channel through a jump host."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile

import paramiko

from scheduler.errors import TransportError
from scheduler.transports.settings import Hop
from scheduler.transports.ssh.errors import PARAMIKO_ERRORS

# The receive window limits the speed at long round trips: at 50 ms, 2 MB give 34 MB/s and 12 MB give 170 MB/s.
WINDOW_BYTES = 12 << 20
_GRACE_SECONDS = 1.0
_QUOTED_BYTES = 300


def connect_tcp(hop: Hop) -> socket.socket:
    """A TCP connection to `hop`.

    Raises:
        OSError: it was not reached.
    """
    connection = socket.create_connection((hop.hostname, hop.port), timeout=hop.connect_seconds)
    # Paramiko leaves Nagle's algorithm on: without delay on the network, a command then takes 49 ms instead of 6 ms.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return connection


class ProxyCommand:
    """The user's ProxyCommand, run by a shell as ssh does, behind a socket pair.

    Paramiko's own class runs no shell, never reaps the process, and leaves its pipes open.

    Attributes:
        socket: our end of the socket pair.
    """

    def __init__(self, command: str) -> None:
        self.socket, theirs = socket.socketpair()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        with theirs:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._stderr,
                start_new_session=True,  # without a terminal it cannot prompt
            )

    def last_stderr(self) -> str:
        """The last part of its standard error."""
        self._stderr.seek(0)
        return self._stderr.read()[-_QUOTED_BYTES:].decode("utf-8", "replace").strip()

    def close(self) -> None:
        self.socket.close()
        self._end(signal.SIGTERM)
        try:
            self._process.wait(timeout=_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._end(signal.SIGKILL)
            self._process.wait()
        self._stderr.close()

    def _end(self, how: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, how)  # its shell may have started several processes


class Tunnel:
    """A direct-tcpip channel through a jump host, with the methods of a socket that Paramiko needs.

    Paramiko also accepts the channel itself, but reads it a few bytes at a time, and each such read copies everything
    that is buffered, up to the whole window. This class reads everything at once.
    """

    def __init__(self, jump: paramiko.Transport, hop: Hop) -> None:
        try:
            self._channel = jump.open_channel(
                "direct-tcpip",
                dest_addr=(hop.hostname, hop.port),
                src_addr=("127.0.0.1", 0),
                window_size=WINDOW_BYTES,
                timeout=hop.connect_seconds,
            )
        except paramiko.ChannelException as error:
            raise TransportError(
                f"{hop.where}: the jump host cannot connect to it ({error.text}). Check host and port"
            ) from error
        self._buffer = memoryview(b"")

    def recv(self, count: int) -> bytes:
        if not self._buffer:
            self._buffer = memoryview(self._channel.recv(WINDOW_BYTES))
        piece, self._buffer = self._buffer[:count], self._buffer[count:]
        return bytes(piece)

    def send(self, data: bytes) -> int:
        return self._channel.send(data)

    def settimeout(self, seconds: float) -> None:
        self._channel.settimeout(seconds)

    def close(self) -> None:
        with contextlib.suppress(*PARAMIKO_ERRORS):  # the connection to the jump host may be closed already
            self._channel.close()

    @property
    def _closed(self) -> bool:
        return self._channel.closed  # Paramiko reads this attribute of its socket
