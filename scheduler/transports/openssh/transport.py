"""Runs programs on a remote host by OpenSSH's own `ssh`, through a ControlMaster connection: the user's or our own.

The command line of ssh has the site's login settings only; programs and their arguments are sent on its standard input.
"""

from __future__ import annotations

import contextlib
import math
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from scheduler.errors import ConfigError
from scheduler.transports.base import Expanded, Program, Reply, Transport
from scheduler.transports.exchange import Exchange
from scheduler.transports.forking import forget_after_fork, keep
from scheduler.transports.openssh.control_master import ControlMaster, start_ssh
from scheduler.transports.pipes import Pipes, reap
from scheduler.transports.prompt import Prompter, TerminalPrompter
from scheduler.transports.settings import SshSettings, check_host, check_user

__all__ = ["OpensshTransport", "SshSettings"]

_MOST_SESSIONS = 8  # OpenSSH's default MaxSessions is 10
# OpenSSH's window of a channel is 2 MB: up to this round trip, one channel uses the whole bandwidth.
_ONE_STREAM_SECONDS = 0.008
_SESSION_REFUSED = "Session open refused by peer"  # ssh then opens another connection, which is another login
_ECHO = Program("echo", "read -r line && echo")
_EXIT_SECONDS = 5.0
_ACCOUNT_SECONDS = 20.0
_SSH_FAILED = 255
"""The exit code of ssh if ssh itself failed (ssh(1), EXIT STATUS)."""


class OpensshTransport(Transport):
    """Runs programs on `settings.host`. May be used by several threads at once.

    Args:
        settings: the host, and how to log in.
        prompter: decides whether ssh may prompt the user; by default it may, at the terminal of this process.
    """

    def __init__(self, settings: SshSettings, *, prompter: Prompter | None = None) -> None:
        self._settings = settings
        self._master = ControlMaster(settings, prompter or TerminalPrompter())
        self._round_trip: float | None = None
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
        with self._sessions, self._ssh(exchange.command) as process:
            if not Pipes(process, exchange).transfer(timeout):
                process.kill()
                if not exchange.started:
                    self._master.drop()  # the connection may hang: the next program gets a new one
                raise exchange.timed_out(timeout)
            code = _SSH_FAILED if exchange.finished else _exit_code(process)
        if _SESSION_REFUSED in exchange.stderr_before_start:
            self._round_trip = 0.0  # from now on one stream at a time, whatever the round trip
        if code == _SSH_FAILED and not exchange.started:
            raise self._master.error(exchange.stderr_before_start)
        return exchange.reply(connection_lost=code < 0)

    def verified_host_key(self) -> str:
        return "checked by ssh when it logged in" if self._master.has_verified else ""

    def upload_streams(self) -> int:
        if self._round_trip is None:
            self._round_trip = self._measure_round_trip()
        return max(1, min(_MOST_SESSIONS, math.ceil(self._round_trip / _ONE_STREAM_SECONDS)))

    def download_streams(self) -> int:
        return self.upload_streams()

    def forget_connection(self) -> None:
        keep(self._running, self._sessions)
        self._master.forget()
        self._begin()

    def _begin(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._sessions = threading.BoundedSemaphore(_MOST_SESSIONS)

    def close(self) -> None:
        for process in list(self._running):
            process.kill()
        self._master.close()

    def _measure_round_trip(self) -> float:
        """Seconds from sending a line to a running program until its reply arrives."""
        sent_at: list[float] = []
        received_at: list[float] = []

        def line() -> Iterator[bytes]:
            sent_at.append(time.monotonic())
            yield b"\n"

        self.run(_ECHO, stdin=line(), stdout=lambda _: received_at.append(time.monotonic()))
        return received_at[0] - sent_at[0] if received_at else 0.0

    @contextlib.contextmanager
    def _ssh(self, command: str) -> Iterator[subprocess.Popen[bytes]]:
        process = start_ssh([*self._master.ssh_command(), command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._running.add(process)
        try:
            yield process
        finally:
            self._running.discard(process)
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
            reap(process)


def connect(host: str | None, ssh: Mapping[str, Any], *, prompter: Prompter | None = None) -> OpensshTransport:
    """The transport of a site with ``transport: openssh``.

    Raises:
        ConfigError: the host, user or port is not usable for SSH.
    """
    return OpensshTransport(SshSettings(host or "", **ssh), prompter=prompter)


@cache
def account(host: str, *, user: str | None, port: int | None) -> tuple[str, str, int]:
    """User, host name and port of a connection, as ``ssh -G`` prints them; see `transports.find.Account`."""
    check_host(host, "host")
    if user is not None:
        check_user(user, "user")
    own = [*(["-l", user] if user else []), *(["-p", str(port)] if port else [])]
    try:
        done = subprocess.run(
            ["ssh", "-G", *own, host],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=_ACCOUNT_SECONDS, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"ssh -G {host}: the ssh configuration cannot be read: {error}") from error
    words = [line.split(None, 1) for line in done.stdout.decode("utf-8", "replace").splitlines()]
    found = {pair[0]: pair[1] for pair in words if len(pair) == 2}
    return found["user"], found["hostname"], int(found["port"])


def _exit_code(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(timeout=_EXIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
