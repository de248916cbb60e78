"""Input files are uploaded and outputs downloaded unchanged, whatever their names and contents."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from scheduler import Job, JobType

from .job_kinds import why_missing
from .running import FinishedJobs, Jobs
from .sites import Target

ALL_BYTES = bytes(range(256)) * 5
LARGE = bytes(range(251)) * 20_000
ODD_NAMES = [
    b"it's \"odd\" $HOME `id`.root", b"new\nline.root", "é 中 🚀.root".encode(), b"-n.root", b"--checkpoint=1.root",
    b" .root", b"back\\slash\\n.root", b"\xff not UTF-8.root", b"*.root", b"a\tb.root", b"{{ x }}.root", b"#.root",
    b"trailing\n.root",
]  # fmt: skip
PATTERNS = [
    "*.root",
    "hists/**/*.json",
    "plots",
    "exact name[']s [$]HOME.txt",
    "run[0-9].bin",
    "x?.dat",
    "deep/**",
    "one",
]
MADE_BY = r"""
import os
def put(name, content):
    folder = os.path.dirname(name)
    if folder: os.makedirs(folder, exist_ok=True)
    with open(name, "wb") as file: file.write(content)
all_bytes = bytes(range(256)) * 5
for name in NAMES: put(name, all_bytes + name)
put("empty.root", b"")
put("large.root", bytes(range(251)) * 20000)
for name in ("hists/top.json", "hists/a/b.json", "hists/a/b/c d/deep.json"): put(name, name.encode())
for name in ("plots/a.png", "plots/sub folder/b.png", "plots/sub folder/.hidden"): put(name, name.encode())
put("exact name's $HOME.txt", b"exact"); put("run7.bin", b"7"); put("run77.bin", b"no"); put("xy.dat", b"y")
put("deep/er/est.txt", b"deep"); put("one", b"1")
os.symlink("../one", "plots/link"); os.symlink("/no/such", "plots/dangling")
put("undeclared.txt", b"stays"); put("hists/a/undeclared.txt", b"stays")
"""


@pytest.fixture(scope="module")
def collected(target: Target, run_jobs: Callable[[Callable[[], Jobs]], FinishedJobs]) -> FinishedJobs:
    """One job that writes files of all sorts, and three that read inputs of all sorts."""

    def make() -> Jobs:
        if not target.python:
            pytest.skip(why_missing("python script", target))
        Path("leave.py").write_text(MADE_BY.replace("NAMES", repr(ODD_NAMES)))
        leaves = Job("leaves", JobType.SCRIPT, script_path="leave.py", output_files=PATTERNS)
        return {"leaves": leaves, **_with_inputs()}

    return run_jobs(make)


GETS = """\
./tool.sh 'a b' >tool.out
cat 'remote/deep/n'"'"'ame $x' >renamed.out
cat folder/sub/b.txt folder/.hidden >folder.out
cat 'é "data".bin' >data.out
[ ! -s empty ] && [ -e empty ] && echo yes >empty.out
echo changed >>'é "data".bin'; echo changed >>folder/sub/b.txt; rm tool.sh
"""


def _with_inputs() -> Jobs:
    """Two jobs that share inputs, and one with its own inputs, which are uploaded in another way; all change them."""
    Path("tool.sh").write_text('#!/bin/sh\necho "tool: $1"\n')
    Path("tool.sh").chmod(0o755)
    Path('é "data".bin').write_bytes(ALL_BYTES)
    Path("empty").touch()
    Path("folder/sub").mkdir(parents=True)
    Path("folder/sub/b.txt").write_text("b")
    Path("folder/.hidden").write_text("hidden")
    Path("local.txt").write_text("renamed")
    Path("gets.sh").write_text(f"#!/bin/sh\n{GETS}")
    inputs = {name: name for name in ("tool.sh", 'é "data".bin', "empty", "folder")} | {
        "remote/deep/n'ame $x": "local.txt"
    }
    shutil.copytree(".", "own")
    own = {name: Path("own", path) for name, path in inputs.items()}
    return {
        name: Job(name, JobType.SCRIPT, script_path="gets.sh", input_files=files, output_files=["*.out"])
        for name, files in (("gets", inputs), ("gets too", inputs), ("gets its own", own))
    }


def _found(collected: FinishedJobs, pattern: str) -> dict[str, bytes]:
    """Name relative to the job's folder → content, of a pattern's outputs."""
    job = collected.jobs["leaves"]
    assert job.is_completed(), job.get_results()["error"]
    paths = [Path(path) for path in job.outputs[pattern]]
    return {str(path.relative_to(job.working_dir)): path.read_bytes() for path in paths}


def test_any_content_is_downloaded_under_any_name(collected: FinishedJobs) -> None:
    expected = {os.fsdecode(name): ALL_BYTES + name for name in ODD_NAMES}
    expected |= {"empty.root": b"", "large.root": LARGE}
    assert _found(collected, "*.root") == expected


def test_two_asterisks_match_files_at_any_depth(collected: FinishedJobs) -> None:
    names = ("hists/top.json", "hists/a/b.json", "hists/a/b/c d/deep.json")
    assert _found(collected, "hists/**/*.json") == {name: name.encode() for name in names}
    assert _found(collected, "deep/**") == {"deep/er/est.txt": b"deep"}


def test_a_folder_means_everything_in_it(collected: FinishedJobs) -> None:
    names = ("plots/a.png", "plots/sub folder/b.png", "plots/sub folder/.hidden")
    assert _found(collected, "plots") == {**{name: name.encode() for name in names}, "plots/link": b"1"}


def test_brackets_and_question_marks_are_patterns_and_everything_else_is_a_name(collected: FinishedJobs) -> None:
    assert _found(collected, "run[0-9].bin") == {"run7.bin": b"7"}
    assert _found(collected, "x?.dat") == {"xy.dat": b"y"}
    assert _found(collected, "exact name[']s [$]HOME.txt") == {"exact name's $HOME.txt": b"exact"}


def test_undeclared_files_are_not_downloaded(collected: FinishedJobs) -> None:
    if collected.target.local:
        pytest.skip("on a local site the job runs in its working_dir")
    local = Path(collected.jobs["leaves"].working_dir)
    assert not (local / "undeclared.txt").exists()
    assert not (local / "hists/a/undeclared.txt").exists()
    assert not [path for path in local.rglob("*") if path.name.endswith(".part")]


@pytest.mark.parametrize("name", ["gets", "gets too", "gets its own"])
def test_inputs_arrive_unchanged_executable_and_under_their_names(collected: FinishedJobs, name: str) -> None:
    job = collected.jobs[name]
    assert job.is_completed(), job.get_results()["error"]
    contents = {path: Path(job.working_dir, path).read_bytes() for path in map(os.path.basename, _outputs(job))}
    assert contents == {
        "tool.out": b"tool: a b\n",
        "renamed.out": b"renamed",
        "folder.out": b"bhidden",
        "data.out": ALL_BYTES,
        "empty.out": b"yes\n",
    }


def test_a_job_that_changes_its_inputs_changes_no_local_file(collected: FinishedJobs) -> None:
    assert (collected.folder / 'é "data".bin').read_bytes() == ALL_BYTES
    assert (collected.folder / "folder/sub/b.txt").read_text() == "b"
    assert (collected.folder / "tool.sh").exists()


def _outputs(job: Job) -> list[str]:
    found: list[str] = job.outputs["*.out"]
    return found
