"""One connection to a host, through the jump hosts before it, each one's key checked. No programs here."""

from __future__ import annotations

import contextlib
import shlex
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import paramiko

from scheduler.errors import HostKeyError, LoginError, SchedulerError, TimedOut, TransportError
from scheduler.transports.settings import Hop
from scheduler.transports.ssh.auth import log_in, ways_in
from scheduler.transports.ssh.channel_buffer import Pipe
from scheduler.transports.ssh.errors import FOREIGN, LOG, plainly
from scheduler.transports.ssh.keyboard_interactive import PATIENCE_SECONDS
from scheduler.transports.ssh.keys import Keys
from scheduler.transports.ssh.known_hosts import HostIdentity, HostKey, identify
from scheduler.transports.ssh.proxy import WINDOW_BYTES, ProxyCommand, Tunnel, dial

_FAST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
_RSA_ALGORITHMS = ("rsa-sha2-512", "rsa-sha2-256")
_WATCH_SECONDS = 0.5
_JOIN_SECONDS = 1.0


class Watchdog:
    """Cuts a connection on which a call of Paramiko hangs; most of its calls know no timeout."""

    def __init__(self, line: Connection) -> None:
        self._line = line
        self._deadlines: dict[object, float] = {}
        self._off = threading.Event()
        self.has_cut = False
        threading.Thread(target=self._watch, name="scheduler-ssh-watchdog", daemon=True).start()

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """What happens inside may take `seconds`; then the connection is cut, and what hangs fails."""
        mark = object()
        self._deadlines[mark] = time.monotonic() + seconds
        try:
            yield
        finally:
            del self._deadlines[mark]

    def stop(self) -> None:
        self._off.set()

    def _watch(self) -> None:
        while not self._off.wait(_WATCH_SECONDS):
            if any(deadline < time.monotonic() for deadline in list(self._deadlines.values())):
                self.has_cut = True
                self._line.close()


class Connection:
    """A connection; once it was entered, programs run over it. Closing it cuts whatever runs on it."""

    def __init__(self, hops: Sequence[Hop], credentials: Keys) -> None:
        self._hops, self._credentials = hops, credentials
        self._base: socket.socket | None = None
        self._proxy: ProxyCommand | None = None
        self._transports: list[paramiko.Transport] = []
        self._spares: deque[paramiko.Channel] = deque()
        self._opening = threading.Lock()
        self._ways: Sequence[str] | None = None
        self._entered = 0  # so many hosts
        self._greeter: threading.Thread | None = None
        self._not_greeted: SchedulerError | None = None
        self._closed = False
        self.watchdog = Watchdog(self)

    def greet_meanwhile(self) -> None:
        """In a thread: connect to the first host, check its key, ask for its authentication methods. The user is not
        asked there; the thread logs in only if nobody can be asked. `enter` raises what went wrong."""
        self._greeter = threading.Thread(target=self._greet, name="scheduler-ssh-greeter", daemon=True)
        self._greeter.start()

    @property
    def is_stale(self) -> bool:
        """The host was reached in time, and has hung up since."""
        if self._greeter is not None:
            self._greeter.join()
        return self._not_greeted is None and not self.is_alive

    def _greet(self) -> None:
        try:
            self._reach(self._hops[0])
            self._ask_ways(self._hops[0])
            if self._credentials.unasked():
                self._log_in(self._hops[0])
        except SchedulerError as error:  # it is raised where it is heard
            self._not_greeted = error
        if self._closed:  # meanwhile
            self.close()

    def enter(self) -> None:
        """Log in, host after host, at those that are left to be reached.

        Raises:
            HostKeyError, LoginError, TimedOut, TransportError: one of the hosts was not reached or not entered.
        """
        try:
            if self._greeter is not None:
                self._greeter.join()
            if self._not_greeted is not None:
                raise self._not_greeted
            for number, hop in enumerate(self._hops):
                if number >= len(self._transports):
                    self._reach(hop)
                if number >= self._entered:
                    self._log_in(hop)
        except BaseException:
            self.close()
            raise

    @property
    def is_alive(self) -> bool:
        """Nothing is known to be wrong with it."""
        return all(transport.is_active() for transport in self._transports)

    def start(self, command: str, *, seconds: float) -> paramiko.Channel:
        """A channel on which the login shell has been told `command`."""
        with self.watchdog.within(seconds):
            channel = self._told_spare(command) or self._told(self._opened(seconds), command)
        if not self._spares and self._opening.acquire(blocking=False):
            threading.Thread(target=self._open_spare, args=(seconds,), name="scheduler-ssh-spare", daemon=True).start()
        return channel

    def _opened(self, seconds: float) -> paramiko.Channel:
        channel = self._transports[-1].open_session(window_size=WINDOW_BYTES, timeout=seconds)
        channel.in_buffer = Pipe()
        return channel

    def _told(self, channel: paramiko.Channel, command: str) -> paramiko.Channel:
        try:
            # The answer is worth the round trip: until then, OpenSSH gives a session no window to send into.
            channel.exec_command(command)
        except FOREIGN:
            channel.close()
            raise
        return channel

    def _told_spare(self, command: str) -> paramiko.Channel | None:
        """A channel that was opened meanwhile saves a round trip. A server may end one that waits too long."""
        try:
            return self._told(self._spares.popleft(), command)
        except (IndexError, *FOREIGN):
            return None

    def _open_spare(self, seconds: float) -> None:
        with contextlib.suppress(*FOREIGN):  # a server that has no room gives none
            self._spares.append(self._opened(seconds))
        self._opening.release()

    def round_trip(self, seconds: float) -> float:
        """How long the host takes to say that it does not know what it is asked."""
        found = seconds
        for _ in range(2):  # a busy machine may be late once
            started = time.monotonic()
            with self.watchdog.within(seconds):
                self._transports[-1].global_request("keepalive@openssh.com", wait=True)
            found = min(found, time.monotonic() - started)
        return found

    def close(self) -> None:
        """From the bottom up: a jump host that hangs would not take the good-bye of the host behind it."""
        self._closed = True
        self.watchdog.stop()
        if self._base is not None:
            with contextlib.suppress(OSError):
                self._base.shutdown(socket.SHUT_RDWR)
        for transport in self._transports:
            transport.close()
            if transport.is_alive():
                transport.join(_JOIN_SECONDS)
            transport.packetizer.complete_handshake()  # else a failed one leaves its timer thread behind
        if self._base is not None:
            self._base.close()
        if self._proxy is not None:
            self._proxy.close()

    def _reach(self, hop: Hop) -> None:
        with self._in_words(hop):
            transport = paramiko.Transport(self._dialled(hop))
            self._transports.append(transport)
            with self.watchdog.within(3 * hop.connect_seconds):
                _greet(transport, hop)

    def _ask_ways(self, hop: Hop) -> None:
        with self._in_words(hop), self.watchdog.within(3 * hop.connect_seconds):
            self._ways = ways_in(self._transports[-1], hop)

    def _log_in(self, hop: Hop) -> None:
        if self._ways is None:
            self._ask_ways(hop)
        ways, self._ways = self._ways or (), None
        patience = 0.0 if self._credentials.unasked() else PATIENCE_SECONDS
        with self._in_words(hop), self.watchdog.within(3 * hop.connect_seconds + patience):
            log_in(self._transports[-1], hop, self._credentials, ways)
        self._transports[-1].set_keepalive(hop.keepalive_seconds)
        self._entered += 1

    @contextlib.contextmanager
    def _in_words(self, hop: Hop) -> Iterator[None]:
        try:
            with plainly(hop.where):
                yield
        except TransportError as error:
            if self.watchdog.has_cut:
                raise TimedOut(f"{hop.where}: no answer in time. Try again later") from error
            words = self._proxy.last_words() if self._proxy is not None else ""
            if not words or isinstance(error, (HostKeyError, LoginError)):
                raise
            raise type(error)(f"{error}. Its ProxyCommand said: {words}") from error

    def _dialled(self, hop: Hop) -> Any:
        if self._transports:
            return Tunnel(self._transports[-1], hop)
        if hop.proxy_command:
            self._proxy = ProxyCommand(hop.proxy_command)
            self._base = self._proxy.line
        else:
            self._base = dial(hop)
        return self._base


def _greet(transport: paramiko.Transport, hop: Hop) -> None:
    """Agree on keys with the host, and check that it is the one it was."""
    identity = identify(hop.where, hop.known_as, hop.known_hosts)
    transport.set_log_channel(LOG)
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = hop.connect_seconds
    options = transport.get_security_options()
    # Paramiko prefers ctr; gcm moves twice as much. Before 3.5 it has none.
    options.ciphers = tuple(sorted(options.ciphers, key=lambda name: name not in _FAST_CIPHERS))
    options.key_types = _preferred(identity.kinds, options.key_types)
    _negotiate(transport, hop)
    key = transport.get_remote_server_key()
    _check(identity, HostKey(key.get_name(), key.asbytes()), hop)


def _negotiate(transport: paramiko.Transport, hop: Hop) -> None:
    started = time.monotonic()
    try:
        transport.start_client(timeout=hop.connect_seconds)
    except FOREIGN as error:
        if time.monotonic() - started >= hop.connect_seconds:
            raise TimedOut(_no_greeting(hop)) from error
        if transport.remote_version:
            raise
        raise TransportError(
            f"{hop.where}: it hung up without a greeting: it is no SSH server, has too many connections just now, "
            "or bars this address. Try again later"
        ) from error
    if not transport.initial_kex_done:  # start_client simply returns when its time is up
        raise TimedOut(_no_greeting(hop))


def _no_greeting(hop: Hop) -> str:
    return f"{hop.where}: no whole greeting in {hop.connect_seconds:g} seconds. Try again later"


def _preferred(kinds: Sequence[str], offered: Sequence[str]) -> tuple[str, ...]:
    """The algorithms to offer; first those that the host is known by, as it may have unknown ones too."""
    known = [name for kind in kinds for name in (_RSA_ALGORITHMS if kind == "ssh-rsa" else (kind,))]
    return (*(name for name in known if name in offered), *(name for name in offered if name not in known))


def _check(identity: HostIdentity, key: HostKey, hop: Hop) -> None:
    if identity.knows(key):
        return
    if not hop.accept_new_host_key or hop.new_keys_go_to is None:
        raise HostKeyError(identity.stranger(key, how_to_know=_ssh_command(hop)))
    identity.remember(key, hop.new_keys_go_to)


def _ssh_command(hop: Hop) -> str:
    words = ["ssh"]
    if hop.new_keys_go_to not in (None, Path("~/.ssh/known_hosts").expanduser()):
        words += ["-o", f"UserKnownHostsFile={hop.new_keys_go_to}"]
    if hop.alias == hop.hostname and hop.port != 22:
        words += ["-p", str(hop.port)]
    return f"`{shlex.join([*words, hop.alias])}`"
