"""The sdist, the wheel that is built from it, and an environment that has only that wheel."""

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
    """The sdist and the wheel, which `build` makes from the unpacked sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, folder=folder)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def installed(distributions: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new environment with the wheel and its dependencies, which does not know the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", folder, folder=folder)
    run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", distributions[1], folder=folder)
    return folder / "bin"


def run(*command: object, folder: Path) -> str:
    """Run a command without the Python settings and the files of the user; return its output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")}
    done = subprocess.run([str(word) for word in command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def files_of(*folders: str) -> set[str]:
    """The files below these folders of the checkout."""
    found = {path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()}
    return {path.as_posix() for path in found if "__pycache__" not in path.parts}


def test_the_wheel_holds_the_package_its_templates_its_sites_and_nothing_else(distributions: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(distributions[1]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    packaged = {f"scheduler/{name}" for name in files_of("templates", "site_configs")}
    assert names == files_of("scheduler") | packaged


def test_the_sdist_holds_the_sources_of_the_wheel_and_the_documents(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[0]) as sdist:
        names = {member.name.partition("/")[2] for member in sdist if member.isfile()}
    wanted = files_of("scheduler", "templates", "site_configs") | {"pyproject.toml", "README.md", "LICENSE"}
    assert wanted <= names
    assert names - wanted <= {"CHANGELOG.md", "PKG-INFO", ".gitignore"}


def test_the_installed_package_is_not_the_checkout(installed: Path, tmp_path: Path) -> None:
    where = run(installed / "python", "-c", "import scheduler; print(scheduler.__file__)", folder=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)


def test_the_installed_command_runs(installed: Path, tmp_path: Path) -> None:
    assert "submit" in run(installed / "scheduler", "--help", folder=tmp_path)
    assert "perlmutter" in run(installed / "scheduler", "sites", folder=tmp_path)


def test_a_job_runs_to_its_end_with_the_installed_package(installed: Path, tmp_path: Path) -> None:
    run(installed / "python", "-c", ONE_JOB, folder=tmp_path)
