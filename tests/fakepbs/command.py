"""The commands: each reads its arguments, asks the server over a socket, and prints what it is told."""

from __future__ import annotations

import json
import os
import pwd
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Settings:
    """What ``pbs.conf`` says, beside the folder that the commands are in."""

    home: Path
    server: str
    master: bool

    @classmethod
    def of(cls, prefix: Path) -> Settings:
        """Of the installation in `prefix`."""
        lines = (prefix / "pbs.conf").read_text().splitlines()
        values = dict(line.split("=", 1) for line in lines if "=" in line)
        return cls(Path(values["PBS_HOME"]), values["PBS_SERVER"], values.get("BUILD") == "master")


class Down(Exception):
    """No server listens."""


class Refusal(Exception):
    """The server said no: words for stderr, and the exit code, an error number modulo 256."""

    def __init__(self, words: str, code: int) -> None:
        super().__init__(words)
        self.words, self.code = words, code


def ask(settings: Settings, **question: Any) -> Any:
    """One question. A server that is stopped never answers.

    Raises:
        Down, Refusal
    """
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(str(settings.home / "socket"))
        except OSError:
            raise Down from None
        line.sendall(json.dumps({**question, "user": pwd.getpwuid(os.getuid()).pw_name}).encode() + b"\n")
        if sent := os.environ.get("FAKEPBS_SENT"):  # a test waits for this file
            Path(sent).touch()
        with line.makefile("rb") as reader:
            answer = json.loads(reader.readline() or b'{"refused": ["", 255]}')
    if "refused" in answer:
        raise Refusal(*answer["refused"])
    return answer["said"]


def main(command: str, prefix: str, arguments: list[str]) -> int:
    """What `command` does and ends with."""
    from . import delete, qstat, qsub, select, words

    run = {"qsub": qsub.run, "qstat": qstat.run, "qdel": delete.run, "qselect": select.run}[command]
    settings = Settings.of(Path(prefix))
    if arguments == ["--version"]:
        print(words.VERSION, end="")
        return 0
    try:
        return run(settings, arguments)
    except Refusal as refusal:
        sys.stderr.write(refusal.words)
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
