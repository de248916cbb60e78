"""Programs on another machine, by OpenSSH's own `ssh`, through a ControlMaster that the user has opened, or ours.

What a site says of its login is on ssh's command line; programs and their values travel on its standard input.
"""

from __future__ import annotations

import contextlib
import math
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from scheduler.transports.base import Expanded, Program, Reply, Transport
from scheduler.transports.exchange import Exchange
from scheduler.transports.openssh.control_master import ControlMaster, started
from scheduler.transports.pipes import Pipes, reap
from scheduler.transports.prompt import Prompter, TerminalPrompter
from scheduler.transports.settings import SshSettings

__all__ = ["OpensshTransport", "SshSettings"]

_RUNS_AT_ONCE = 8  # OpenSSH's MaxSessions is 10
# OpenSSH takes 2 MB of a channel before it is told to go on: up to this round trip one channel fills a line.
_FULL_AT_SECONDS = 0.008
_REFUSED = "Session open refused by peer"  # ssh then tries a connection of its own, which is a login more
_ECHO = Program("echo", "read -r line && echo")
_END_SECONDS = 5.0
_OWN_FAILURE = 255
"""What ssh ends with when it is ssh that failed (ssh(1), EXIT STATUS)."""


class OpensshTransport(Transport):
    """Runs programs on `settings.host`. May be used by several threads at once."""

    def __init__(self, settings: SshSettings, *, prompter: Prompter | None = None) -> None:
        self._settings = settings
        self._masters = ControlMaster(settings, prompter or TerminalPrompter())
        self._running: set[subprocess.Popen[bytes]] = set()
        self._slots = threading.BoundedSemaphore(_RUNS_AT_ONCE)
        self._round_trip: float | None = None

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
        with self._slots, self._ssh(exchange.command) as process:
            if not Pipes(process, exchange).within(timeout):
                process.kill()
                if not exchange.begun:
                    self._masters.drop()  # the line may be frozen: the next program gets a new one
                raise exchange.timed_out(timeout)
            code = _OWN_FAILURE if exchange.ended else _exit_code(process)
        if _REFUSED in exchange.words_before:
            self._round_trip = 0.0  # whatever the line: one program at a time from now on
        if code == _OWN_FAILURE and not exchange.begun:
            raise self._masters.refusal(exchange.words_before)
        return exchange.reply(line_lost=code < 0)

    def upload_streams(self) -> int:
        if self._round_trip is None:
            self._round_trip = self._measured()
        return max(1, min(_RUNS_AT_ONCE, math.ceil(self._round_trip / _FULL_AT_SECONDS)))

    def download_streams(self) -> int:
        return self.upload_streams()

    def close(self) -> None:
        for process in list(self._running):
            process.kill()
        self._masters.close()

    def _measured(self) -> float:
        """Seconds from a line that is said to a program that runs until its answer."""
        said_at: list[float] = []
        heard_at: list[float] = []

        def say() -> Iterator[bytes]:
            said_at.append(time.monotonic())
            yield b"\n"

        self.run(_ECHO, stdin=say(), stdout=lambda _: heard_at.append(time.monotonic()))
        return heard_at[0] - said_at[0] if heard_at else 0.0

    @contextlib.contextmanager
    def _ssh(self, command: str) -> Iterator[subprocess.Popen[bytes]]:
        process = started([*self._masters.way(), command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
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


def _exit_code(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(timeout=_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
