"""What users get: the sdist, the wheel that is built from it, and a machine that has nothing but that wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from .code import ROOT

pytestmark = pytest.mark.slow

ONE_JOB = r"""
from pathlib import Path
from scheduler import Job, JobType, Runner

Path("hello.sh").write_text("#!/bin/sh\ndate >when.txt; echo '{\"answer\": 42}' >result.json\n")
job = Job("hello", JobType.SCRIPT, script_path="hello.sh", output_files=["*.txt"])
with Runner("local") as runner:
    runner.submit([job])
    runner.wait([job], timeout=600)
assert job.is_completed(), job.status
assert job.get_results()["answer"] == 42, job.get_results()
assert Path(job.working_dir, "when.txt").exists()
"""


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist and the wheel. `build` makes the wheel from what it has unpacked from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, folder=folder)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def installed(distributions: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment with the wheel and what it asks for; the checkout is not known there."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", folder, folder=folder)
    run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", distributions[1], folder=folder)
    return folder / "bin"


def run(*command: object, folder: Path) -> str:
    """What a command prints; nothing of Python's settings and of the person's own reaches it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")}
    done = subprocess.run([str(word) for word in command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def files_here(*folders: str) -> set[str]:
    """The files below these folders of the checkout that belong to it."""
    found = {path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()}
    return {path.as_posix() for path in found if "__pycache__" not in path.parts}


def test_the_wheel_holds_the_package_its_templates_its_sites_and_nothing_else(distributions: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(distributions[1]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    packaged = {f"scheduler/{name}" for name in files_here("templates", "site_configs")}
    assert names == files_here("scheduler") | packaged


def test_the_sdist_holds_what_a_wheel_is_made_of_and_what_tells_about_it(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[0]) as sdist:
        names = {member.name.partition("/")[2] for member in sdist if member.isfile()}
    wanted = files_here("scheduler", "templates", "site_configs") | {"pyproject.toml", "README.md", "LICENSE"}
    assert wanted <= names
    assert names - wanted <= {"CHANGELOG.md", "PKG-INFO", ".gitignore"}


def test_the_installed_package_is_not_the_checkout(installed: Path, tmp_path: Path) -> None:
    where = run(installed / "python", "-c", "import scheduler; print(scheduler.__file__)", folder=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)


def test_the_installed_command_speaks(installed: Path, tmp_path: Path) -> None:
    assert "submit" in run(installed / "scheduler", "--help", folder=tmp_path)
    assert "perlmutter" in run(installed / "scheduler", "sites", folder=tmp_path)


def test_a_job_runs_to_its_end_with_the_installed_package(installed: Path, tmp_path: Path) -> None:
    run(installed / "python", "-c", ONE_JOB, folder=tmp_path)
