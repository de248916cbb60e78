"""Recorded cases of PBS, and commands that print them for the functions of pbs.sh."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests import CASES as ALL_CASES
from tests.unpacked import PBS_FUNCTIONS

CASES = ALL_CASES / "pbs"
BUILDS = ("release-23.06.06", "master-cd7ab5e")


@dataclass(frozen=True)
class Case:
    """A command line, and what it printed on a real server."""

    name: str
    build: str
    command: str
    out: bytes
    err: bytes
    exit_code: int

    @property
    def text(self) -> str:
        """Its stdout, decoded as our transports decode it."""
        return self.out.decode("utf-8", "surrogateescape")


@cache
def case(name: str, build: str) -> Case:
    """One case of one build."""
    found = json.loads((CASES / build / f"{name}.json").read_text(encoding="utf-8"))
    coding = "latin-1" if "stdout_encoding" in found else "utf-8"  # the bytes are not UTF-8
    return Case(
        name, build, found["command"], found["stdout"].encode(coding), found["stderr"].encode(), int(found["exit"])
    )


@cache
def names(build: str) -> list[str]:
    """The names of all cases of a build."""
    return sorted(path.stem for path in (CASES / build).glob("*.json"))


@dataclass(frozen=True)
class Expected:
    """A row of expected.tsv: what reads the case (submit, jobs, table, history, …, or never asked), and the outcome."""

    name: str
    build: str
    how: str
    outcome: str


@cache
def expected() -> tuple[Expected, ...]:
    """The expected outcome of every case, for each build on which it was recorded."""
    found = []
    for line in (CASES / "expected.tsv").read_text(encoding="utf-8").splitlines():
        name, build, how, outcome = line.split("\t")
        builds = [full for full in BUILDS if build in ("both", full.split("-")[0]) and name in names(full)]
        found += [Expected(name, full, how, outcome) for full in builds]
    return tuple(found)


class FakeCommands:
    """A folder of commands with prepared answers, for the functions of pbs.sh.

    Attributes:
        folder: the home directory in which they run. They record their arguments there, in the file `called`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()

    def answers(self, command: str, out: bytes = b"", err: bytes = b"", exit_code: int = 0, *, when: str = "*") -> None:
        """Prepare the answer to arguments that match the shell pattern `when`. The last prepared answer comes first."""
        known = len(list((self.folder / "bin").glob(f".{command}.*")))
        answer = self.folder / "bin" / f".{command}.{99 - known}"
        answer.mkdir()
        for name, content in (("out", out), ("err", err), ("when", when.encode())):
            (answer / name).write_bytes(content)
        (answer / "code").write_text(str(exit_code))
        program = self.folder / "bin" / command
        program.write_text(_ANSWER)
        program.chmod(0o755)

    def run(self, text: str, files: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run sh text after prelude.sh and pbs.sh."""
        for name, content in (files or {}).items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(content)
        program = f"{PBS_FUNCTIONS}\nmake_scratch\n{text}"
        environment = {**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "HOME": str(self.folder)}
        return subprocess.run(
            ["/bin/sh", "-c", program], cwd=self.folder, env=environment, capture_output=True, timeout=600
        )

    def calls(self) -> list[str]:
        """The commands that were run, with their arguments."""
        called = self.folder / "called"
        return called.read_text().splitlines() if called.exists() else []


_ANSWER = """\
#!/bin/sh
echo "${0##*/} $*" >>"$HOME/called"
for answer in "$HOME/bin/.${0##*/}".*; do
  pattern=$(cat "$answer/when")
  case "$*" in
    $pattern) cat "$answer/out"; cat "$answer/err" >&2; exit "$(cat "$answer/code")" ;;
  esac
done
"""
