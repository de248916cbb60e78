"""One SSH connection through a chain of jump hosts: host key verification, login, sessions. No programs here."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import paramiko

from scheduler.errors import HostKeyError, LoginError, SchedulerError, TimedOut, TransportError
from scheduler.transports.settings import Hop
from scheduler.transports.ssh.auth import auth_methods, log_in
from scheduler.transports.ssh.channel_buffer import ChannelBuffer
from scheduler.transports.ssh.errors import PARAMIKO_ERRORS, errors_mapped
from scheduler.transports.ssh.handshake import DISABLED_ALGORITHMS, handshake
from scheduler.transports.ssh.keyboard_interactive import INTERACTIVE_LOGIN_SECONDS
from scheduler.transports.ssh.keys import KeyCredentials
from scheduler.transports.ssh.proxy import WINDOW_BYTES, ProxyCommand, Tunnel, connect_tcp

_WATCH_SECONDS = 0.5
_JOIN_SECONDS = 1.0


class Watchdog:
    """Closes a connection on which a call of Paramiko hangs; most of Paramiko's calls have no timeout.

    Attributes:
        has_fired: it has closed the connection.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._deadlines: dict[object, float] = {}
        self._stopped = threading.Event()
        self.has_fired = False
        threading.Thread(target=self._watch, name="scheduler-ssh-watchdog", daemon=True).start()

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """A context that may take `seconds`; after that the connection is closed, so that a hanging call fails."""
        mark = object()
        self._deadlines[mark] = time.monotonic() + seconds
        try:
            yield
        finally:
            del self._deadlines[mark]

    def stop(self) -> None:
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(_WATCH_SECONDS):
            if any(deadline < time.monotonic() for deadline in list(self._deadlines.values())):
                self.has_fired = True
                self._connection.close()


class Connection:
    """An SSH connection to the last of `hops`; after `log_in` it opens sessions. `close` ends all sessions.

    Args:
        hops: the jump hosts, then the host itself.
        credentials: the prompter, and what the user has entered before.

    Attributes:
        watchdog: closes the connection when a call hangs.
        verified_key: the key of the host itself, for messages, once it is verified; empty before.
    """

    def __init__(self, hops: Sequence[Hop], credentials: KeyCredentials) -> None:
        self._hops, self._credentials = hops, credentials
        self._socket: socket.socket | None = None
        self._proxy: ProxyCommand | None = None
        self._transports: list[paramiko.Transport] = []
        self._spares: deque[paramiko.Channel] = deque()
        self._opening_spare = threading.Lock()
        self._methods: Sequence[str] | None = None  # the authentication methods of the next host, if already known
        self._logged_in = 0  # number of hosts
        self._preparation: threading.Thread | None = None
        self._preparation_error: SchedulerError | None = None
        self._closed = False
        self.verified_key = ""
        self.watchdog = Watchdog(self)

    def prepare(self) -> None:
        """Connect to the first host in a thread: verify its host key and request its authentication methods.

        The thread never prompts: it logs in only if there is no prompter to ask. `log_in` raises its error.
        """
        self._preparation = threading.Thread(target=self._prepare, name="scheduler-ssh-prepare", daemon=True)
        self._preparation.start()

    @property
    def is_stale(self) -> bool:
        """`prepare` succeeded, and the host has closed the connection since."""
        if self._preparation is not None:
            self._preparation.join()
        return self._preparation_error is None and not self.is_alive

    def _prepare(self) -> None:
        try:
            self._connect(self._hops[0])
            self._request_methods(self._hops[0])
            if self._credentials.no_prompt_reason():
                self._log_in(self._hops[0])
        except SchedulerError as error:  # log_in raises it
            self._preparation_error = error
        if self._closed:  # by another thread, while this one was connecting
            self.close()

    def log_in(self) -> None:
        """Connect and log in to each host in turn, as far as `prepare` has not done so.

        Raises:
            HostKeyError: the key of a host is unknown, has changed or is revoked.
            LoginError: a host refused the login.
            TimedOut: a host did not answer in time.
            TransportError: a host was not reached.
        """
        try:
            if self._preparation is not None:
                self._preparation.join()
            if self._preparation_error is not None:
                raise self._preparation_error
            for number, hop in enumerate(self._hops):
                if number >= len(self._transports):
                    self._connect(hop)
                if number >= self._logged_in:
                    self._log_in(hop)
        except BaseException:
            self.close()
            raise

    @property
    def is_alive(self) -> bool:
        """No host is known to have closed the connection."""
        return all(transport.is_active() for transport in self._transports)

    def execute(self, command: str, *, seconds: float) -> paramiko.Channel:
        """Run a command line in the login shell.

        Args:
            command: the command line.
            seconds: limit for opening the session; after it the connection is closed.

        Returns:
            The channel of its session.

        Raises:
            PARAMIKO_ERRORS: the session was refused, or the connection is lost.
        """
        with self.watchdog.within(seconds):
            channel = self._execute_on_spare(command) or self._execute_on(self._open_channel(seconds), command)
        if not self._spares and self._opening_spare.acquire(blocking=False):
            threading.Thread(target=self._open_spare, args=(seconds,), name="scheduler-ssh-spare", daemon=True).start()
        return channel

    def _open_channel(self, seconds: float) -> paramiko.Channel:
        channel = self._transports[-1].open_session(window_size=WINDOW_BYTES, timeout=seconds)
        channel.in_buffer = ChannelBuffer()
        return channel

    def _execute_on(self, channel: paramiko.Channel, command: str) -> paramiko.Channel:
        try:
            # This waits for the reply, which costs nothing: OpenSSH gives the session no send window before it.
            channel.exec_command(command)
        except PARAMIKO_ERRORS:
            channel.close()
            raise
        return channel

    def _execute_on_spare(self, command: str) -> paramiko.Channel | None:
        """Use a channel that was opened in advance, which saves a round trip. A server may close one that is unused."""
        try:
            return self._execute_on(self._spares.popleft(), command)
        except (IndexError, *PARAMIKO_ERRORS):
            return None

    def _open_spare(self, seconds: float) -> None:
        with contextlib.suppress(*PARAMIKO_ERRORS):  # the server may have reached its MaxSessions
            self._spares.append(self._open_channel(seconds))
        self._opening_spare.release()

    def round_trip(self, seconds: float) -> float:
        """Measure the round trip to the host in seconds, with a keepalive request; `seconds` is the limit."""
        shortest = seconds
        for _ in range(2):  # a busy machine may delay one of them
            started = time.monotonic()
            with self.watchdog.within(seconds):
                self._transports[-1].global_request("keepalive@openssh.com", wait=True)
            shortest = min(shortest, time.monotonic() - started)
        return shortest

    def close(self) -> None:
        """Close the socket first, then the SSH layers: a jump host that hangs would block the disconnect message."""
        self._closed = True
        self.watchdog.stop()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        for transport in self._transports:
            transport.close()
            if transport.is_alive():
                transport.join(_JOIN_SECONDS)
            transport.packetizer.complete_handshake()  # after a failed handshake this ends its timer thread
        if self._socket is not None:
            self._socket.close()
        if self._proxy is not None:
            self._proxy.close()

    def abandon(self) -> None:
        """In a forked process: never write to the sockets of the parent, not even when this object is deleted."""
        self._closed = True
        for transport in self._transports:
            transport.active = False  # type: ignore[attr-defined]  # the stubs lack it

    def _connect(self, hop: Hop) -> None:
        with self._errors_mapped(hop):
            transport = paramiko.Transport(self._stream_to(hop), disabled_algorithms=DISABLED_ALGORITHMS)
            self._transports.append(transport)
            with self.watchdog.within(3 * hop.connect_seconds):
                key = handshake(transport, hop)
            if hop is self._hops[-1]:
                self.verified_key = str(key)

    def _request_methods(self, hop: Hop) -> None:
        with self._errors_mapped(hop), self.watchdog.within(3 * hop.connect_seconds):
            self._methods = auth_methods(self._transports[-1], hop)

    def _log_in(self, hop: Hop) -> None:
        if self._methods is None:
            self._request_methods(hop)
        methods, self._methods = self._methods or (), None
        seconds_for_user = 0.0 if self._credentials.no_prompt_reason() else INTERACTIVE_LOGIN_SECONDS
        with self._errors_mapped(hop), self.watchdog.within(3 * hop.connect_seconds + seconds_for_user):
            log_in(self._transports[-1], hop, self._credentials, methods)
        self._transports[-1].set_keepalive(hop.keepalive_seconds)
        self._logged_in += 1

    @contextlib.contextmanager
    def _errors_mapped(self, hop: Hop) -> Iterator[None]:
        try:
            with errors_mapped(hop.where):
                yield
        except TransportError as error:
            if self.watchdog.has_fired:
                raise TimedOut(f"{hop.where}: connection timed out. Try again later") from error
            stderr = self._proxy.last_stderr() if self._proxy is not None else ""
            if not stderr or isinstance(error, (HostKeyError, LoginError)):
                raise
            raise type(error)(f"{error}. Its ProxyCommand printed: {stderr}") from error

    def _stream_to(self, hop: Hop) -> Any:
        if self._transports:
            return Tunnel(self._transports[-1], hop)
        if hop.proxy_command:
            self._proxy = ProxyCommand(hop.proxy_command)
            self._socket = self._proxy.socket
        else:
            self._socket = connect_tcp(hop)
        return self._socket
