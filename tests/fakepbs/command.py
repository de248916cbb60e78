"""The entry point of the commands, and their connection to the server.

Tests start thousands of commands, so these import no module that takes long to load: `dataclasses` doubles the time.
"""

from __future__ import annotations

import json
import os
import pwd
import socket
import sys
from pathlib import Path
from typing import Any, NamedTuple


class Settings(NamedTuple):
    """The settings in ``pbs.conf``.

    Attributes:
        home: the folder of the server.
        server: its name.
        master: it prints what the newer build prints.
    """

    home: Path
    server: str
    master: bool

    @classmethod
    def of(cls, prefix: Path) -> Settings:
        """Read the settings of the installation in `prefix`."""
        lines = (prefix / "pbs.conf").read_text().splitlines()
        values = dict(line.split("=", 1) for line in lines if "=" in line)
        return cls(Path(values["PBS_HOME"]), values["PBS_SERVER"], values.get("BUILD") == "master")


class Down(Exception):
    """No server is listening."""


class Refusal(Exception):
    """The server refused a request: the message for stderr, and the exit code, which is an error number modulo 256."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.message, self.code = message, code


def send(settings: Settings, **request: Any) -> Any:
    """Send a request and wait for its result. A server that is stopped by a signal never answers.

    Raises:
        Down: no server is listening.
        Refusal: the server refused the request.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(settings.home / "socket"))
        except OSError:
            raise Down from None
        connection.sendall(json.dumps({**request, "user": pwd.getpwuid(os.getuid()).pw_name}).encode() + b"\n")
        if sent := os.environ.get("FAKEPBS_SENT"):  # a test waits for this file
            Path(sent).touch()
        with connection.makefile("rb") as reader:
            answer = json.loads(reader.readline() or b'{"refused": ["", 255]}')
    if "refused" in answer:
        raise Refusal(*answer["refused"])
    return answer["result"]


def main(command: str, prefix: str, arguments: list[str]) -> int:
    """Run a command; return its exit code."""
    from . import qdel, qhold, qselect, qstat, qsub, usage

    run = {
        "qsub": qsub.run, "qstat": qstat.run, "qdel": qdel.run, "qselect": qselect.run,
        "qhold": qhold.hold, "qrls": qhold.release,
    }[command]  # fmt: skip
    settings = Settings.of(Path(prefix))
    if arguments == ["--version"]:
        print(usage.VERSION, end="")
        return 0
    try:
        return run(settings, arguments)
    except Refusal as refusal:
        sys.stderr.write(refusal.message)
        return refusal.code
    except Down:
        sys.stderr.write(f"Connection refused\n{_cannot_connect(command, settings)}\n")
        return 255 if command == "qstat" else 162


def _cannot_connect(command: str, settings: Settings) -> str:
    if command == "qdel":
        return f"Couldn't connect to cluster: {settings.server}"
    name = settings.server if settings.master or command == "qstat" else settings.server[:7]
    if command == "qselect":
        name = settings.server[:7]
    return f"{command}: cannot connect to server {name} (errno=15010)"
