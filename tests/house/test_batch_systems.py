"""A batch system is one folder and one template: a toy one, added to a copy of the package, runs jobs to their end.

Also: outside its folder no module names a batch system.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .code import ROOT, Module, modules

TOY = Path(__file__).parent / "toy"

RUN_JOBS = r"""
import json, sys
from pathlib import Path
import scheduler
from scheduler import Job, JobType, Resources, Retry, Runner

folder = Path(sys.argv[1])


def job(name, text, **more):
    script = folder / f"{name}.sh"
    script.write_text(text)
    return Job(name, JobType.SCRIPT, script_path=script, working_dir=folder / "out" / name, **more)


jobs = [
    *(job(f"good{n}", f"echo {n} >number.txt", output_files=["number.txt"]) for n in range(3)),
    job("bad", "echo oh >&2; exit 3"),
    job("cancelled", "echo >begun; exec sleep 600"),
    job("long", "exec sleep 600", resources=Resources(walltime="2 s")),
    job("again", f"cd {folder}; [ -e tried ] && exit 0; : >tried; exit 4", resources=Resources(cpus=2),
        retry=Retry(times=1, exit_codes=[4])),
]
with Runner(str(folder / "here.yaml"), campaign="toys") as runner:
    runner.submit(jobs)
    while not (folder / "out/cancelled/begun").exists():
        runner.poll()
    runner.cancel([jobs[4]])
    runner.wait(jobs)
print(json.dumps({
    "package": scheduler.__file__,
    "ends": {job.job_id: str(job.status) for job in jobs},
    "outputs": [(Path(job.working_dir) / "number.txt").read_text() for job in jobs[:3]],
}))
"""


@pytest.fixture
def package(package_copy: Path) -> Path:
    """A folder with a copy of the package in which only the files of the toy are new."""
    toy = package_copy / "scheduler/batch/toy"
    shutil.copytree(TOY, toy, ignore=shutil.ignore_patterns("__pycache__"))
    (toy / "toy.sh.j2").rename(package_copy / "templates/toy.sh.j2")
    return package_copy


def run(package: Path, folder: Path, *arguments: object) -> str:
    """What a Python program prints that imports this copy of the package."""
    own = {"PYTHONPATH": str(package), "SCHEDULER_STATE_DIR": str(folder / "state")}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, env={**os.environ, **own}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def test_a_batch_system_that_is_one_folder_and_one_template_runs_jobs_to_their_end(
    package: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "user"
    folder.mkdir()
    (folder / "here.yaml").write_text(
        f"transport: local\nscheduler: toy\nwork_dir: {tmp_path}/work\nlimits: {{poll_seconds: 0.2}}\n"
    )
    (folder / "run_jobs.py").write_text(RUN_JOBS)
    told = json.loads(run(package, folder, "run_jobs.py", folder))
    assert Path(told["package"]).is_relative_to(package)
    assert told["outputs"] == ["0\n", "1\n", "2\n"]
    assert told["ends"] == {
        "good0": "completed",
        "good1": "completed",
        "good2": "completed",
        "bad": "failed: exit code 3",
        "cancelled": "cancelled",
        "long": "failed: time limit",
        "again": "completed",
    }
    rows = json.loads(run(package, folder, "-m", "scheduler.cli", "status", "--json"))
    ids = {row["job_id"]: row["batch_id"] for row in rows}
    assert [re.sub(r"[a-z2-9]{10}", "TOKEN", ids[name]) for name in ("good0", "bad", "long")] == [
        "toy-TOKEN-0.0", "toy-TOKEN-0.3", "toy-TOKEN-5",
    ]  # fmt: skip
    assert {row["job_id"]: row["attempt"] for row in rows}["again"] == 2
    assert "toyq 1.0" in run(package, folder, "-m", "scheduler.cli", "check", "here.yaml")


def test_no_file_outside_the_tests_names_the_toy() -> None:
    files = [path for name in ("scheduler", "templates", "site_configs") for path in (ROOT / name).rglob("*")]
    texts = {path: path.read_text() for path in files if path.is_file() and path.suffix != ".pyc"}
    assert [str(path) for path, text in texts.items() if re.search(r"\btoyq?\b", text, re.IGNORECASE)] == []


# A word that is the name of a batch system, or one of its commands, but means something else or decides nothing.
OTHER_MEANINGS = {
    ("scheduler.check.machine", "shell"),  # a fact: the user's login shell
    ("scheduler.cli.commands.check", "shell"),  # a finding about the login shell
    ("scheduler.check.look", "shell"),  # likewise
    ("scheduler.cli.commands.new_site", "slurm"),  # the answer that is proposed
}
COMMANDS = ("sbatch", "squeue", "sacct", "scancel", "qsub", "qstat", "qdel", "qselect")


def names() -> list[str]:
    """The batch systems: the folders of scheduler/batch."""
    return sorted(path.parent.name for path in (ROOT / "scheduler/batch").glob("*/system.py"))


def test_no_module_outside_its_folder_decides_anything_by_the_name_of_a_batch_system() -> None:
    assert {"slurm", "pbs", "shell"} <= set(names())
    found = [(m, *word) for m in modules("scheduler") for word in _words(m, {*names(), *COMMANDS})]
    assert [m.at(line) for m, line, word in found if (m.name, word) not in OTHER_MEANINGS] == []
    assert {(m.name, word) for m, _, word in found} == OTHER_MEANINGS


def _words(module: Module, words: set[str]) -> Iterator[tuple[int, str]]:
    """The string constants of a module that are such a word, except in the folder of the batch system itself."""
    package = module.name.split(".")
    own = package[2] if package[:2] == ["scheduler", "batch"] and package[2:] and package[2] in names() else ""
    for node in ast.walk(module.tree):
        if not own and isinstance(node, ast.Constant) and node.value in words:
            yield node.lineno, str(node.value)


def test_no_script_outside_its_folder_names_a_batch_system() -> None:
    batch = ROOT / "scheduler/batch"
    paths = [path for path in (ROOT / "scheduler").rglob("*.sh") if not path.is_relative_to(batch)]
    texts = {path: path.read_text() for path in [*paths, ROOT / "templates/base.sh.j2"]}
    assert len(texts) > 10
    code = {path: re.sub(r"(?m)(^|\s)#.*$", "", text) for path, text in texts.items()}
    words = "|".join([*(name for name in names() if name != "shell"), *COMMANDS])
    assert [path.name for path, text in code.items() if re.search(words, text, re.IGNORECASE)] == []
