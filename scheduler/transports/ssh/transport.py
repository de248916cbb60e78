"""Programs on another machine, over SSH by Paramiko: one connection, a channel for each run under way."""

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
from scheduler.transports.prompt import Prompter, TerminalPrompter
from scheduler.transports.settings import SshSettings
from scheduler.transports.ssh.config import route
from scheduler.transports.ssh.connection import Connection
from scheduler.transports.ssh.credentials import Credentials
from scheduler.transports.ssh.errors import FOREIGN, in_words, is_refusal, plainly, translated
from scheduler.transports.ssh.keys import Keys

__all__ = ["SshSettings", "SshTransport"]

# OpenSSH's MaxSessions is 10. A session whose program outlived a timeout still counts, hence the distance.
_RUNS_AT_ONCE = 8
# OpenSSH takes 2 MB of a channel before it answers: up to this round trip one channel fills a line.
_FULL_AT_SECONDS = 0.008
_FOR_ROOM_SECONDS = 5.0
_ROOM_TICK_SECONDS = 0.05
_SEND_BYTES = 1 << 15
_HEAR_BYTES = 1 << 20
_SEND_SECONDS = 0.05
_TICK_SECONDS = 1.0
# What comes in such a moment is taken at once: to wake for each packet of 32 kB costs more than to take it.
_TOGETHER_SECONDS = 0.001
_GOODBYE_SECONDS = 5.0
# A shell that is gone may have left a child that holds its pipes; its own last bytes come well before.
_AFTER_EXIT_SECONDS = 5.0


class SshTransport(Transport):
    """Runs programs on `settings.host`. May be used by several threads at once.

    Args:
        settings: where to, and how to log in.
        prompter: asks the user for a password, passphrase or one-time code; by default at the terminal. The user is
            asked once per connection, and not when a lost connection is replaced: nobody may be there any more.
    """

    def __init__(self, settings: SshSettings, *, prompter: Prompter | None = None) -> None:
        self._settings = settings
        self._credentials: Keys = Credentials(prompter or TerminalPrompter())
        self._lock = threading.Lock()
        self._line: Connection | None = None
        self._ahead: Connection | None = None
        self._running: dict[object, Connection] = {}
        self._slots = threading.BoundedSemaphore(_RUNS_AT_ONCE)

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
        with self._slots, self._session(exchange.command, timeout) as (line, channel):
            _Conversation(line, channel, exchange).within(timeout)
            if line.watchdog.has_cut and not exchange.ended:
                raise exchange.timed_out(timeout)
            return exchange.reply(line_lost=not line.is_alive)

    def prepare(self) -> None:
        with self._lock:
            if self._line is None and self._ahead is None:
                with contextlib.suppress(SchedulerError):
                    self._ahead = Connection(route(self._settings), self._credentials)
                    self._ahead.greet_meanwhile()

    def upload_streams(self) -> int:
        with plainly(self._settings.host):
            seconds = self._connected()[0].round_trip(self._settings.connect_timeout)
        return max(1, min(_RUNS_AT_ONCE, math.ceil(seconds / _FULL_AT_SECONDS)))

    def close(self) -> None:
        with self._lock:
            lines, self._line, self._ahead = [self._line, self._ahead], None, None
            self._credentials.forget()
        for line in filter(None, lines):
            line.close()

    @contextlib.contextmanager
    def _session(self, command: str, timeout: float) -> Iterator[tuple[Connection, paramiko.Channel]]:
        line, channel = self._started(command, min(timeout, self._settings.connect_timeout))
        self._running[channel] = line
        try:
            yield line, channel
        finally:
            del self._running[channel]
            with contextlib.suppress(*FOREIGN), line.watchdog.within(_GOODBYE_SECONDS):
                channel.close()

    def _started(self, command: str, seconds: float) -> tuple[Connection, paramiko.Channel]:
        """A channel, over a new connection if the old one is dead: no byte of a program is on its way yet."""
        line, is_new = self._connected()
        try:
            return line, _when_there_is_room(line, command, seconds)
        except FOREIGN as error:
            in_use = line.is_alive and line in list(self._running.values())
            if is_new or in_use:
                raise translated(error, self._settings.host) from error
        self._forget(line)
        line, _ = self._connected()
        with plainly(self._settings.host):
            return line, line.start(command, seconds=seconds)

    def _connected(self) -> tuple[Connection, bool]:
        with self._lock:
            if self._line is not None and self._line.is_alive:
                return self._line, False
            if self._line is not None:
                self._line.close()
            self._line = None
            line, self._ahead = self._ahead, None
            if line is None or line.is_stale:
                line = Connection(route(self._settings), self._credentials)
            try:
                line.enter()
            except LoginError:
                self._credentials.lost = False  # who is told that a person is needed, and comes again, is that person
                raise
            self._line, self._credentials.lost = line, True
            return line, True

    def _forget(self, line: Connection) -> None:
        with self._lock:
            if self._line is line:
                self._line = None
        line.close()


def connect(host: str | None, ssh: Mapping[str, Any], *, prompter: Prompter | None = None) -> SshTransport:
    """The transport of a site with ``transport: ssh``.

    Raises:
        ConfigError: the host, user or port is not usable for SSH.
    """
    return SshTransport(SshSettings(host or "", **ssh), prompter=prompter)


def _when_there_is_room(line: Connection, command: str, seconds: float) -> paramiko.Channel:
    """A session of a program that has ended still counts for a moment, until the server has noticed."""
    deadline = time.monotonic() + min(seconds, _FOR_ROOM_SECONDS)
    while True:
        try:
            return line.start(command, seconds=seconds)
        except paramiko.SSHException as error:
            if not (line.is_alive and is_refusal(error)) or time.monotonic() > deadline:
                raise
        time.sleep(_ROOM_TICK_SECONDS)


class _Conversation:
    """Both output streams drained and standard input fed, from one thread, on one channel."""

    def __init__(self, line: Connection, channel: paramiko.Channel, exchange: Exchange) -> None:
        self._line = line
        self._channel = channel
        self._exchange = exchange
        self._all_said = False
        self._news = threading.Event()

    def within(self, timeout: float) -> None:
        """Talk until there is no more to hear.

        Raises:
            TimedOut: nothing came or went for `timeout` seconds.
            TransportError: the line failed.
        """
        self._channel.settimeout(_SEND_SECONDS)
        self._channel.in_buffer.set_event(self._news)
        self._channel.in_stderr_buffer.set_event(self._news)
        moved_at = time.monotonic()
        while not self._exchange.ended:
            is_over = self._channel.closed or bool(self._channel.eof_received)
            heard, said = self._hear(timeout), self._say(timeout)
            if heard or said:
                moved_at = time.monotonic()
                if heard and self._all_said:
                    time.sleep(_TOGETHER_SECONDS)
                continue
            quiet = time.monotonic() - moved_at
            if is_over or (self._channel.exit_status_ready() and quiet > _AFTER_EXIT_SECONDS):
                return
            if quiet >= timeout:
                raise self._exchange.timed_out(timeout)
            if self._all_said:
                self._news.wait(min(_TICK_SECONDS, timeout - quiet))

    def _hear(self, timeout: float) -> bool:
        """Take what has come, in few pieces."""
        out = err = b""
        try:
            with self._line.watchdog.within(timeout):
                if self._channel.recv_ready():
                    out = self._channel.recv(_HEAR_BYTES)
                if self._channel.recv_stderr_ready():
                    err = self._channel.recv_stderr(_HEAR_BYTES)
        except FOREIGN as error:
            raise self._exchange.cut(in_words(error)) from error
        if out:
            self._exchange.hear_stdout(out)
        if err:
            self._exchange.hear_stderr(err)
        return bool(out or err)

    def _say(self, timeout: float) -> bool:
        """Send what is next; wait a moment if the program's window is full."""
        if self._all_said:
            return False
        chunk = self._exchange.feed.ahead(_SEND_BYTES)
        try:
            with self._line.watchdog.within(timeout):
                if not chunk:
                    self._channel.shutdown_write()
                sent = self._channel.send(chunk) if chunk else 0
        except TimeoutError:
            return False
        except FOREIGN:
            sent = 0  # what was said before the line or the program ended is still to be heard
        self._exchange.feed.took(sent)
        self._all_said = sent == 0
        return sent > 0
