"""Runs programs on a remote host over SSH by Paramiko: one connection, with one channel for each run."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import paramiko

from scheduler.errors import LoginError, SchedulerError
from scheduler.transports.base import Expanded, Program, Reply, Transport
from scheduler.transports.exchange import Exchange
from scheduler.transports.forking import forget_after_fork, keep
from scheduler.transports.prompt import Prompter, TerminalPrompter
from scheduler.transports.settings import SshSettings
from scheduler.transports.ssh.config import route
from scheduler.transports.ssh.connection import Connection
from scheduler.transports.ssh.credentials import Credentials
from scheduler.transports.ssh.errors import (
    PARAMIKO_ERRORS,
    describe_error,
    errors_mapped,
    is_session_refused,
    map_error,
)
from scheduler.transports.ssh.keys import KeyCredentials

__all__ = ["SshSettings", "SshTransport"]

# OpenSSH's default MaxSessions is 10. Fewer here, since a session whose program outlived a timeout still counts.
_MOST_SESSIONS = 8
# OpenSSH's window of a channel is 2 MB: up to this round trip, one channel uses the whole bandwidth.
_ONE_STREAM_SECONDS = 0.008
_SESSION_RETRY_SECONDS = 5.0
_SESSION_TICK_SECONDS = 0.05
_SEND_BYTES = 1 << 15
_RECEIVE_BYTES = 1 << 20
_SEND_SECONDS = 0.05
_TICK_SECONDS = 1.0
# Data that arrives within this time is received at once: waking up for each packet of 32 kB costs more CPU.
_COALESCE_SECONDS = 0.001
_CLOSE_SECONDS = 5.0
# After the shell has exited, a child of it may hold its pipes open; the shell's own last bytes arrive well before this.
_AFTER_EXIT_SECONDS = 5.0


class SshTransport(Transport):
    """Runs programs on `settings.host`. May be used by several threads at once.

    Args:
        settings: the host, and how to log in.
        prompter: asks the user for a password, passphrase or one-time code; by default at the terminal. The user is
            prompted once per connection, and not when a lost connection is replaced: they may have left.
    """

    def __init__(self, settings: SshSettings, *, prompter: Prompter | None = None) -> None:
        self._settings = settings
        self._credentials: KeyCredentials = Credentials(prompter or TerminalPrompter())
        self._connection: Connection | None = None
        self._prepared: Connection | None = None
        self._verified_key = ""
        self._begin()
        forget_after_fork(self)

    def run(
        self,
        program: Program,
        args: Sequence[str | Expanded] = (),
        *,
        stdin: bytes | Iterable[bytes] = b"",
        stdout: Callable[[bytes], None] | None = None,
        timeout: float = 60.0,
    ) -> Reply:
        exchange = Exchange(program, args, stdin=stdin, stdout=stdout, where=self._settings.host)
        with self._sessions, self._session(exchange.command, timeout) as (connection, channel):
            _Transfer(connection, channel, exchange).run(timeout)
            if connection.watchdog.has_fired and not exchange.finished:
                raise exchange.timed_out(timeout)
            return exchange.reply(connection_lost=not connection.is_alive)

    def forget_connection(self) -> None:
        for connection in filter(None, (self._connection, self._prepared)):
            connection.abandon()
        keep(self._connection, self._prepared, self._running, self._lock)
        self._connection = self._prepared = None
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[object, Connection] = {}
        self._sessions = threading.BoundedSemaphore(_MOST_SESSIONS)

    def prepare(self) -> None:
        with self._lock:
            if self._connection is None and self._prepared is None:
                with contextlib.suppress(SchedulerError):
                    self._prepared = Connection(route(self._settings), self._credentials)
                    self._prepared.prepare()

    def verified_host_key(self) -> str:
        return self._verified_key

    def upload_streams(self) -> int:
        with errors_mapped(self._settings.host):
            seconds = self._connected()[0].round_trip(self._settings.connect_timeout)
        return max(1, min(_MOST_SESSIONS, math.ceil(seconds / _ONE_STREAM_SECONDS)))

    def close(self) -> None:
        with self._lock:
            connections, self._connection, self._prepared = [self._connection, self._prepared], None, None
            self._credentials.forget()
        for connection in filter(None, connections):
            connection.close()

    @contextlib.contextmanager
    def _session(self, command: str, timeout: float) -> Iterator[tuple[Connection, paramiko.Channel]]:
        connection, channel = self._execute(command, min(timeout, self._settings.connect_timeout))
        self._running[channel] = connection
        try:
            yield connection, channel
        finally:
            del self._running[channel]
            with contextlib.suppress(*PARAMIKO_ERRORS), connection.watchdog.within(_CLOSE_SECONDS):
                channel.close()

    def _execute(self, command: str, seconds: float) -> tuple[Connection, paramiko.Channel]:
        """A channel that runs `command`. If the connection is lost, it is replaced: no program has been sent yet."""
        connection, is_new = self._connected()
        try:
            return connection, _execute_when_possible(connection, command, seconds)
        except PARAMIKO_ERRORS as error:
            in_use = connection.is_alive and connection in list(self._running.values())
            if is_new or in_use:
                raise map_error(error, self._settings.host) from error
        self._discard(connection)
        connection, _ = self._connected()
        with errors_mapped(self._settings.host):
            return connection, connection.execute(command, seconds=seconds)

    def _connected(self) -> tuple[Connection, bool]:
        """The connection, and whether it is new."""
        with self._lock:
            if self._connection is not None and self._connection.is_alive:
                return self._connection, False
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            connection, self._prepared = self._prepared, None
            if connection is None or connection.is_stale:
                connection = Connection(route(self._settings), self._credentials)
            try:
                connection.log_in()
            except LoginError:
                self._credentials.connection_lost = False  # the next `run` may prompt: the caller knows of the login
                raise
            finally:
                self._verified_key = connection.verified_key
            self._connection, self._credentials.connection_lost = connection, True
            return connection, True

    def _discard(self, connection: Connection) -> None:
        with self._lock:
            if self._connection is connection:
                self._connection = None
        connection.close()


def connect(host: str | None, ssh: Mapping[str, Any], *, prompter: Prompter | None = None) -> SshTransport:
    """The transport of a site with ``transport: ssh``.

    Raises:
        ConfigError: the host, user or port is not usable for SSH.
    """
    return SshTransport(SshSettings(host or "", **ssh), prompter=prompter)


def account(host: str, *, user: str | None, port: int | None) -> tuple[str, str, int]:
    """User, host name and port of a connection; see `transports.find.Account`."""
    hop = route(SshSettings(host, user=user, port=port, proxy_jump="none"))[-1]
    return hop.user, hop.hostname, hop.port


def _execute_when_possible(connection: Connection, command: str, seconds: float) -> paramiko.Channel:
    """Retry a refused session for a moment: the server counts a finished session until it has cleaned it up."""
    deadline = time.monotonic() + min(seconds, _SESSION_RETRY_SECONDS)
    while True:
        try:
            return connection.execute(command, seconds=seconds)
        except paramiko.SSHException as error:
            if not (connection.is_alive and is_session_refused(error)) or time.monotonic() > deadline:
                raise
        time.sleep(_SESSION_TICK_SECONDS)


class _Transfer:
    """Moves the bytes of one exchange through one channel, from one thread."""

    def __init__(self, connection: Connection, channel: paramiko.Channel, exchange: Exchange) -> None:
        self._connection = connection
        self._channel = channel
        self._exchange = exchange
        self._all_sent = False
        self._readable = threading.Event()

    def run(self, timeout: float) -> None:
        """Move bytes until both outputs have ended.

        Raises:
            TimedOut: no byte was sent or received for `timeout` seconds.
            TransportError: the connection failed, or the output is larger than the limits of `Exchange`.
        """
        self._channel.settimeout(_SEND_SECONDS)
        self._channel.in_buffer.set_event(self._readable)
        self._channel.in_stderr_buffer.set_event(self._readable)
        active_at = time.monotonic()
        while not self._exchange.finished:
            at_end = self._channel.closed or bool(self._channel.eof_received)
            received, sent = self._receive(timeout), self._send(timeout)
            if received or sent:
                active_at = time.monotonic()
                if received and self._all_sent:
                    time.sleep(_COALESCE_SECONDS)
                continue
            quiet = time.monotonic() - active_at
            if at_end or (self._channel.exit_status_ready() and quiet > _AFTER_EXIT_SECONDS):
                return
            if quiet >= timeout:
                raise self._exchange.timed_out(timeout)
            if self._all_sent:
                self._readable.wait(min(_TICK_SECONDS, timeout - quiet))

    def _receive(self, timeout: float) -> bool:
        """Receive what has arrived, in large pieces; False if nothing has."""
        out = err = b""
        try:
            with self._connection.watchdog.within(timeout):
                if self._channel.recv_ready():
                    out = self._channel.recv(_RECEIVE_BYTES)
                if self._channel.recv_stderr_ready():
                    err = self._channel.recv_stderr(_RECEIVE_BYTES)
        except PARAMIKO_ERRORS as error:
            raise self._exchange.failure(describe_error(error)) from error
        if out:
            self._exchange.receive_stdout(out)
        if err:
            self._exchange.receive_stderr(err)
        return bool(out or err)

    def _send(self, timeout: float) -> bool:
        """Send the next bytes, waiting briefly if the channel's window is full; False if none were sent."""
        if self._all_sent:
            return False
        chunk = self._exchange.input.peek(_SEND_BYTES)
        try:
            with self._connection.watchdog.within(timeout):
                if not chunk:
                    self._channel.shutdown_write()
                sent = self._channel.send(chunk) if chunk else 0
        except TimeoutError:
            return False
        except PARAMIKO_ERRORS:
            sent = 0  # output from before the program or the connection ended can still be received
        self._exchange.input.advance(sent)
        self._all_sent = sent == 0
        return sent > 0
