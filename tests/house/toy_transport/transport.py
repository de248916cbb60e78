"""Runs programs by a subprocess of /bin/sh whose home directory is a folder named after the host."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scheduler.errors import TransportError
from scheduler.transports.base import Expanded, Program, Reply, Transport
from scheduler.transports.exchange import Exchange
from scheduler.transports.pipes import Pipes

if TYPE_CHECKING:
    from scheduler.transports.prompt import Prompter


class ToyTransport(Transport):
    """Runs programs on the host's stand-in: the folder `home`."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def run(
        self,
        program: Program,
        args: Sequence[str | Expanded] = (),
        *,
        stdin: bytes | Iterable[bytes] = b"",
        stdout: Callable[[bytes], None] | None = None,
        timeout: float = 60.0,
    ) -> Reply:
        exchange = Exchange(program, args, stdin=stdin, stdout=stdout, where=self._home.name)
        with subprocess.Popen(
            ["/bin/sh", "-c", exchange.command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            cwd=self._home,
            env={**os.environ, "HOME": str(self._home)},
        ) as process:
            if not Pipes(process, exchange).transfer(timeout):
                process.kill()
                raise exchange.timed_out(timeout)
        return exchange.reply()

    def close(self) -> None:
        """There is no connection to close."""


def connect(host: str | None, ssh: Mapping[str, Any], *, prompter: Prompter | None = None) -> ToyTransport:
    home = Path(os.environ["TOY_HOSTS"], host or "")
    if not home.is_dir():
        raise TransportError(f"{host}: no such folder in {home.parent}")
    return ToyTransport(home)
