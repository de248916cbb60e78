"""``scheduler render`` and ``scheduler sites``: scripts and site files, printed without submitting anything."""

from __future__ import annotations

import subprocess
from pathlib import Path

from scheduler.site.catalog import find_site

from .workspace import Workspace

CLUSTER = """\
transport: ssh
host: nowhere.example.org
scheduler: slurm
work_dir: $HOME/work
account: eic
defaults: {cpus: 1, memory: 1 GB, walltime: "1:00:00"}
"""
HARD_VALUES = """\
environment: {A: "1e6", B: "no", C: "a: b # c", D: "null", E: "0x1f", F: " é\\t'"}
native: ["--gres=x:4"]
prologue: |
  export X=1

  ulimit -s
"""


def is_bash(script: str) -> bool:
    """Bash finds no syntax error in the script."""
    return subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0


def test_render_prints_the_script_of_the_first_or_a_named_job_and_submits_nothing(workspace: Workspace) -> None:
    workspace.write("site_configs/far.yaml", CLUSTER)
    file = workspace.sweep("good", "bad")
    first = workspace.scheduler("render", file, "--site", "far").out
    named = workspace.scheduler("render", file, "--site", "far", "job-bad-1").out
    assert "JOB_ID=job-good-0\n" in first and "JOB_ID=job-bad-1\n" in named
    assert is_bash(first) and is_bash(named)
    assert workspace.scheduler("status", "--json").json == [] and workspace.ran == []


def test_render_array_prints_the_script_with_the_array_directive(workspace: Workspace) -> None:
    workspace.write("site_configs/far.yaml", CLUSTER)
    script = workspace.scheduler("render", workspace.sweep("good", count=3), "--site", "far", "--array").out
    assert "#SBATCH --array               0-2\n" in script and is_bash(script)
    alone = workspace.scheduler("render", workspace.sweep("good", count=1), "--site", "far", "--array", code=1)
    assert "no job in a job array" in alone.err


def test_rendering_an_unknown_job_id_suggests_the_nearest_one(workspace: Workspace) -> None:
    done = workspace.scheduler("render", workspace.sweep("good"), "--site", "local", "job-god-0", code=1)
    assert "did you mean 'job-good-0'?" in done.err


def test_sites_are_listed_and_an_invalid_one_with_its_error(workspace: Workspace) -> None:
    workspace.write("site_configs/far.yaml", CLUSTER)
    workspace.write("site_configs/wrong.yaml", CLUSTER + "queu: production\n")
    done = workspace.scheduler("sites")
    assert done.lines[0].split() == ["SITE", "TRANSPORT", "BATCH", "SYSTEM", "FILE", "DESCRIPTION"]
    own = Path(workspace.environment["SCHEDULER_CONFIG_DIR"]) / "sites/far.yaml"
    assert f"far ssh slurm {own}" in [" ".join(line.split()) for line in done.lines]
    assert "invalid site file" in done.out and "did you mean 'queue'?" in done.err
    sites = {site["name"]: site for site in workspace.scheduler("sites", "--json").json}
    assert list(sites["far"]) == ["name", "description", "transport", "scheduler", "path", "error"]
    assert "queu" in sites["wrong"]["error"] and sites["local"]["transport"] == "local"


def test_sites_show_prints_a_site_file_with_the_same_settings(workspace: Workspace) -> None:
    workspace.write("site_configs/far.yaml", CLUSTER + HARD_VALUES)
    for name in ("far", "example"):
        as_yaml = workspace.write("shown.yaml", workspace.scheduler("sites", "show", name).out)
        settings = workspace.scheduler("sites", "show", name, "--json").json["settings"]
        assert find_site(workspace.folder / as_yaml).to_json()["settings"] == settings


def test_showing_an_unknown_site_suggests_the_nearest_one(workspace: Workspace) -> None:
    assert "did you mean 'local'?" in workspace.scheduler("sites", "show", "locl", code=1).err
