"""``scheduler render`` and ``sites``: what would be sent, and where it could be sent to."""

from __future__ import annotations

import subprocess

from scheduler.site.catalog import find_site

from .desk import Desk

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
    """Bash can read it."""
    return subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0


def test_the_script_of_the_first_job_or_of_one_is_printed_and_nothing_is_sent(desk: Desk) -> None:
    desk.write("site_configs/far.yaml", CLUSTER)
    file = desk.sweep("good", "bad")
    first = desk.scheduler("render", file, "--site", "far").out
    named = desk.scheduler("render", file, "--site", "far", "job-bad-1").out
    assert "JOB_ID=job-good-0\n" in first and "JOB_ID=job-bad-1\n" in named
    assert is_bash(first) and is_bash(named)
    assert desk.scheduler("status", "--json").json == [] and desk.ran == []


def test_the_script_of_an_array_has_what_the_batch_system_is_told(desk: Desk) -> None:
    desk.write("site_configs/far.yaml", CLUSTER)
    script = desk.scheduler("render", desk.sweep("good", count=3), "--site", "far", "--array").out
    assert "#SBATCH --array               0-2\n" in script and is_bash(script)
    alone = desk.scheduler("render", desk.sweep("good", count=1), "--site", "far", "--array", code=1)
    assert "no job in a job array" in alone.err


def test_a_job_that_the_file_does_not_have_cannot_be_rendered(desk: Desk) -> None:
    done = desk.scheduler("render", desk.sweep("good"), "--site", "local", "job-god-0", code=1)
    assert "did you mean 'job-good-0'?" in done.err


def test_sites_are_listed_and_a_wrong_one_with_what_is_wrong(desk: Desk) -> None:
    desk.write("site_configs/far.yaml", CLUSTER)
    desk.write("site_configs/wrong.yaml", CLUSTER + "queu: production\n")
    done = desk.scheduler("sites")
    assert done.lines[0].split() == ["SITE", "TRANSPORT", "BATCH", "SYSTEM", "FILE", "DESCRIPTION"]
    assert "far ssh slurm ./site_configs/far.yaml" in [" ".join(line.split()) for line in done.lines]
    assert "invalid site file" in done.out and "did you mean 'queue'?" in done.err
    sites = {site["name"]: site for site in desk.scheduler("sites", "--json").json}
    assert list(sites["far"]) == ["name", "description", "transport", "scheduler", "path", "error"]
    assert "queu" in sites["wrong"]["error"] and sites["local"]["transport"] == "local"


def test_what_is_shown_of_a_site_is_a_site_file_that_means_the_same(desk: Desk) -> None:
    desk.write("site_configs/far.yaml", CLUSTER + HARD_VALUES)
    for name in ("far", "example"):
        as_yaml = desk.write("again.yaml", desk.scheduler("sites", "show", name).out)
        settings = desk.scheduler("sites", "show", name, "--json").json["settings"]
        assert find_site(desk.folder / as_yaml).to_json()["settings"] == settings


def test_an_unknown_site_cannot_be_shown(desk: Desk) -> None:
    assert "did you mean 'local'?" in desk.scheduler("sites", "show", "locl", code=1).err
