"""Runs programs on this machine by a subprocess of /bin/sh: for login nodes and `Runner("local")`. No SSH."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scheduler.errors import TransportError
from scheduler.transports.base import Expanded, Program, Reply, Transport
from scheduler.transports.exchange import Exchange
from scheduler.transports.pipes import Pipes, reap

if TYPE_CHECKING:
    from scheduler.transports.prompt import Prompter

_WHERE = "this machine"


class LocalTransport(Transport):
    """Runs programs on this machine, each in a session of its own and in the home directory, as SSH does."""

    def run(
        self,
        program: Program,
        args: Sequence[str | Expanded] = (),
        *,
        stdin: bytes | Iterable[bytes] = b"",
        stdout: Callable[[bytes], None] | None = None,
        timeout: float = 60.0,
    ) -> Reply:
        exchange = Exchange(program, args, stdin=stdin, stdout=stdout, where=_WHERE)
        with _shell(exchange.command) as process:
            if not Pipes(process, exchange).transfer(timeout):
                _kill_group(process)
                raise exchange.timed_out(timeout)
        return exchange.reply()

    def close(self) -> None:
        """There is no connection to close."""


def connect(host: str | None, ssh: Mapping[str, Any], *, prompter: Prompter | None = None) -> LocalTransport:
    """The transport of a site with ``transport: local``; it does not use the arguments that every transport gets."""
    return LocalTransport()


@contextlib.contextmanager
def _shell(command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A shell with three pipes. On an exception its pipes close, as when a connection is lost; it is not killed."""
    home = Path.home()
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            cwd=home if home.is_dir() else "/",
        )
    except OSError as error:
        raise TransportError(f"{_WHERE}: cannot start /bin/sh: {error.strerror}. Try again later") from error
    try:
        yield process
    finally:
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        reap(process)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
