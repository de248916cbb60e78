"""The names of commands and options are promises: scripts have them. And help must be quick."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from scheduler import __version__

from .desk import Desk

CHOICE = "--campaign --site"
NAMES = {
    "run": "--again --campaign --json --show --site --timeout",
    "submit": "--again --campaign --json --site",
    "status": f"--all {CHOICE} --history --json --no-refresh --refresh",
    "wait": f"{CHOICE} --json --show --timeout",
    "collect": f"{CHOICE} --json --show",
    "cancel": f"--all {CHOICE} --forget --json --yes",
    "retry": f"{CHOICE} --failed --json --memory --missing --walltime",
    "logs": f"--attempt {CHOICE} --lines --stderr",
    "render": "--array --site",
    "check": "--image --job --json --timeout",
    "sites": "--json",
    "sites new": "--account --force --host --queue --scheduler --transport --user --walltime --work-dir --yes",
    "sites show": "--json",
}
HEAVY = {"paramiko", "cryptography", "jinja2", "simple_slurm", "cloudpickle", "yaml", "scheduler.site.site"}


def test_the_commands_are_these(desk: Desk) -> None:
    said = desk.scheduler("--help").out.partition("Commands:\n")[2]
    assert [line.split()[0] for line in said.splitlines()] == [name for name in NAMES if " " not in name]


@pytest.mark.parametrize("name", NAMES)
def test_the_options_of_a_command_are_these(desk: Desk, name: str) -> None:
    said = desk.scheduler(*name.split(), "--help").out.partition("Options:\n")[2].partition("Commands:\n")[0]
    found = re.findall(r"^  (?:-\w, )?(--[a-z-]+)(?: / (--[a-z-]+))?", said, re.MULTILINE)
    assert sorted({option for pair in found for option in pair} - {"", "--help"}) == sorted(NAMES[name].split())


def test_the_version_is_printed(desk: Desk) -> None:
    assert desk.scheduler("--version").out == f"scheduler {__version__}\n"


def loaded_by(desk: Desk, *words: str) -> set[str]:
    """The modules that a command has loaded when it ends."""
    code = "import atexit, json, sys\natexit.register(lambda: print(json.dumps(list(sys.modules)), file=sys.stderr))\n"
    code += f"sys.argv = {['scheduler', *words]!r}\nfrom scheduler.cli import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=desk.folder, env=desk.environment
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_help_and_a_status_without_questions_load_nothing_heavy(desk: Desk) -> None:
    assert loaded_by(desk, "--help") & (HEAVY | {"rich", "pydantic", "sqlite3"}) == set()
    assert loaded_by(desk, "status") & HEAVY == set()
    desk.scheduler("submit", desk.sweep("slow", count=1), "--site", "local")
    assert loaded_by(desk, "status", "--no-refresh") & HEAVY == set()
    assert "paramiko" not in loaded_by(desk, "status")
    desk.scheduler("wait")
    assert loaded_by(desk, "status") & HEAVY == set()
