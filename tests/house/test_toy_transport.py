"""A transport is one folder: a toy transport, put beside the real ones in a copy of the package, runs a job.

Nothing outside ``toy_transport/`` names it: the copy of the package has no other change.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.transports.find import transport_names

from .code import Module, modules

SITE = "transport: toy\nhost: meadow\nscheduler: shell\nwork_dir: $HOME/work\nlimits: {poll_seconds: 0.2}\n"
JOB = r"""
import sys
from pathlib import Path
from scheduler import Job, JobType, Runner

Path("hello.sh").write_text("#!/bin/sh\necho \"$HOME\" >home.txt; echo '{\"answer\": 42}' >result.json\n")
job = Job("hello", JobType.SCRIPT, script_path="hello.sh", output_files=["home.txt"])
with Runner("toy.yaml") as runner:
    runner.submit([job])
    runner.wait([job], timeout=600)
assert job.is_completed(), job.status
assert job.get_results()["answer"] == 42, job.get_results()
print(Path(job.working_dir, "home.txt").read_text().strip())
print(*(name for name in ("paramiko", "cryptography") if name in sys.modules))
"""
MISSPELT = """
from scheduler import ConfigError, Site
try:
    Site.from_mapping({"transport": "tyo", "scheduler": "shell", "work_dir": "/w"}, name="test")
except ConfigError as error:
    print(error)
try:
    Site.from_mapping({"transport": "toy", "scheduler": "shell", "work_dir": "/w"}, name="test")
except ConfigError as error:
    print(error)
"""


@pytest.fixture
def package(package_copy: Path) -> Path:
    """A folder with a copy of the package in which only the files of the toy are new."""
    toy = package_copy / "scheduler" / "transports" / "toy"
    shutil.copytree(Path(__file__).parent / "toy_transport", toy, ignore=shutil.ignore_patterns("__pycache__"))
    return package_copy


def python(package: Path, code: str) -> list[str]:
    """The lines that `code` prints in a new interpreter that imports the copy of the package."""
    folder = package.parent
    own = {
        "PYTHONPATH": str(package),
        "TOY_HOSTS": str(folder / "hosts"),
        "SCHEDULER_STATE_DIR": str(folder / "state"),
    }
    where = f"import scheduler\nassert scheduler.__file__.startswith({str(package)!r}), scheduler.__file__\n"
    done = subprocess.run(
        [sys.executable, "-c", where + code], cwd=folder, env={**os.environ, **own}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_job_runs_to_its_end_over_a_transport_that_is_one_folder(package: Path, tmp_path: Path) -> None:
    host = tmp_path / "hosts" / "meadow"
    host.mkdir(parents=True)
    (tmp_path / "toy.yaml").write_text(SITE)
    assert python(package, JOB) == [str(host), ""]
    assert (host / "work").is_dir()


def test_a_transport_that_is_one_folder_is_known_to_site_files(package: Path) -> None:
    assert python(package, MISSPELT) == [
        "site 'test': transport: no such transport: 'tyo'; did you mean 'toy'?",
        "site 'test': host: is missing; with transport: toy it must be given",
    ]


def test_no_module_outside_a_transports_folder_names_it() -> None:
    """Neither by importing from its folder, nor by comparing a value with its name."""
    places = [place for module in modules("scheduler") for place in named_by(module)]
    assert places == []


def named_by(module: Module) -> Iterator[str]:
    names = set(transport_names())
    own = module.name.split(".")[2] if module.name.startswith("scheduler.transports.") else ""
    for one in module.imports():
        parts = one.name.split(".")
        if parts[:2] == ["scheduler", "transports"] and len(parts) > 2 and parts[2] in names - {own}:
            yield f"{module.at(one.line)} imports {one.name}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Compare | ast.MatchValue):
            words = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and part.value in names]
            yield from (f"{module.at(node.lineno)} compares a value with {word!r}" for word in words)
