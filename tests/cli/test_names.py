"""Names of commands and options, which scripts rely on, and the modules that quick commands import."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from scheduler import __version__

from .workspace import Workspace

SELECTION = "--campaign --site"
NAMES = {
    "run": "--again --campaign --failed --json --keep --rerun-changed --show --site --timeout",
    "submit": "--again --campaign --json --keep --rerun-changed --site",
    "status": f"--all {SELECTION} --history --json --no-refresh --refresh",
    "wait": f"{SELECTION} --json --show --timeout",
    "collect": f"--again {SELECTION} --json --show --to",
    "cancel": f"--all {SELECTION} --forget --json --yes",
    "retry": f"{SELECTION} --failed --force --from --json --memory --missing --walltime",
    "logs": f"--attempt {SELECTION} --lines --stderr",
    "render": "--array --site",
    "check": "--image --job --json --timeout",
    "backup": "",
    "adopt": "--json --yes",
    "sites": "--json",
    "sites new": "--account --force --host --queue --scheduler --transport --user --walltime --work-dir --yes",
    "sites show": "--json",
    "sites trust": "",
}
HEAVY = {"paramiko", "cryptography", "jinja2", "simple_slurm", "cloudpickle", "yaml", "scheduler.site.site"}
MODELS = {"scheduler.job.resources", "scheduler.schema.model"}
"""Making their classes takes a tenth of a second."""


def test_the_names_of_the_commands_do_not_change(workspace: Workspace) -> None:
    listed = workspace.scheduler("--help").out.partition("Commands:\n")[2]
    assert [line.split()[0] for line in listed.splitlines()] == [name for name in NAMES if " " not in name]


@pytest.mark.parametrize("name", NAMES)
def test_the_options_of_a_command_do_not_change(workspace: Workspace, name: str) -> None:
    listed = workspace.scheduler(*name.split(), "--help").out.partition("Options:\n")[2].partition("Commands:\n")[0]
    found = re.findall(r"^  (?:-\w, )?(--[a-z-]+)(?: / (--[a-z-]+))?", listed, re.MULTILINE)
    assert sorted({option for pair in found for option in pair} - {"", "--help"}) == sorted(NAMES[name].split())


def test_version_prints_the_version(workspace: Workspace) -> None:
    assert workspace.scheduler("--version").out == f"scheduler {__version__}\n"


def loaded_by(workspace: Workspace, *arguments: str) -> set[str]:
    """The modules that a command has imported when it ends."""
    code = "import atexit, json, sys\natexit.register(lambda: print(json.dumps(list(sys.modules)), file=sys.stderr))\n"
    code += f"sys.argv = {['scheduler', *arguments]!r}\nfrom scheduler.cli import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=workspace.folder, env=workspace.environment
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_help_and_status_without_queries_import_nothing_heavy(workspace: Workspace) -> None:
    assert loaded_by(workspace, "--help") & (HEAVY | {"rich", "pydantic", "sqlite3"}) == set()
    assert loaded_by(workspace, "status") & (HEAVY | MODELS) == set()
    workspace.scheduler("submit", workspace.sweep("slow", count=1), "--site", "local")
    assert loaded_by(workspace, "status", "--no-refresh") & (HEAVY | MODELS) == set()
    assert "paramiko" not in loaded_by(workspace, "status")
    workspace.end_slow_jobs()
    workspace.scheduler("wait")
    assert loaded_by(workspace, "status") & HEAVY == set()
