"""The errors of impossible jobs: each names the job and the field."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

import pytest

from scheduler import Job, JobError, JobType


def half(x: float) -> float:
    return x / 2


def job(job_id: str = "b0", **more: Any) -> Job:
    return Job(job_id, function=half, params={"x": 1.0}, **more)


def link_to_git(folder: Path) -> Path:
    (folder / "plots").symlink_to(".git/hooks")
    return folder / "plots"


Maker = Callable[[Path], Job]


def script(path: str, content: bytes = b"", **more: Any) -> Maker:
    def make(folder: Path) -> Job:
        if content or path.endswith((".sh", ".py")):
            (folder / path).write_bytes(content)
        return Job("b0", JobType.SCRIPT, script_path=folder / path, **more)

    return make


@pytest.mark.parametrize(
    "make",
    [script("x.sh"), script("x.py"), script("x", b"#!/usr/bin/perl\n"), script("x.sh", params={"é": [1, None, "a"]})],
)
def test_a_script_with_an_interpreter_is_accepted(make: Maker, tmp_path: Path) -> None:
    assert make(tmp_path).script_path


REFUSED: list[tuple[Maker, str]] = [
    (lambda _: Job("b0"), "job 'b0': a FUNCTION job needs function="),
    (lambda _: Job("b0", function=3), "job 'b0': a FUNCTION job needs function="),  # type: ignore[arg-type]
    (lambda _: Job("b0", function=half, params={1: 2}), "params: the names"),  # type: ignore[dict-item]
    (lambda _: job(arguments=["x"]), "job 'b0': arguments belong"),
    (lambda _: Job("b0", JobType.SCRIPT), "job 'b0': a SCRIPT job needs script_path="),
    (lambda folder: Job("b0", JobType.SCRIPT, script_path=folder / "no.sh"), "no.sh' is not a local file"),
    (lambda folder: Job("b0", JobType.SCRIPT, script_path=folder), "is not a local file"),
    (script("x", b"\x7fELF"), "has no interpreter"),
    (script("x.sh", params={"f": half}), "params: JSON cannot hold 'f'"),
    (script("x.sh", arguments=["a\0"]), "arguments: an argument of a program cannot contain a NUL"),
    (script("x.sh", template="/no/such.j2"), "template '/no/such.j2' does not exist"),
    (lambda _: Job("b0", JobType.CONTAINER), "job 'b0': a CONTAINER job needs container_image="),
    (lambda _: Job("b0", JobType.CONTAINER, container_image="-x"), "container_image '-x'"),
    (lambda _: Job("b0", JobType.CONTAINER, container_image="a\nb"), "container_image"),
    (lambda _: Job("b0", JobType.CONTAINER, container_image="a", params={"s": {1}}), "params: JSON cannot hold 's'"),
    (lambda _: Job("b0", JobType.CONTAINER, None, None, "a", "b", arguments=["c"]), "arguments are for the image's"),
    (lambda _: Job("b0", "shell", half), "unknown job_type 'shell'; use one of function, script, container"),  # type: ignore[arg-type]
    (lambda _: job(env_vars={"A-B": "1"}), "env_vars: 'A-B' is not a valid name"),
    (lambda _: job(env_vars={"A\n": "1"}), "env_vars"),
    (lambda _: job(env_vars={"JOB_ID": "1"}), "env_vars: JOB_ID is set by the job's own script"),
    (lambda _: job(env_vars={"A": None}), "env_vars: A must be text or a number"),
    (lambda _: job(env_vars={"A": "\0"}), "env_vars: A contains a NUL"),
    (lambda _: job(env_vars={"A": "é" * 65536}), "env_vars: A is larger than 128 kB"),
    (lambda folder: job(working_dir=folder / "a/.Git /b"), "is in a .git folder"),
    (lambda folder: job(working_dir=link_to_git(folder) / "new"), "is in a .git folder"),
    (lambda _: job(output_files="*.root"), "output_files must be a list"),
    (lambda _: job(output_files=["/etc/passwd"]), "output_files: '/etc/passwd' leads out"),
    (lambda _: job(output_files=["a/../../b"]), "output_files: 'a/../../b' leads out"),
    (lambda _: job(output_files=[""]), "output_files: '' is not a relative path"),
    (lambda _: job(output_files=[b"x"]), "output_files: b'x' is not a relative path"),
    (lambda _: job(output_files=["a**/b"]), "output_files: 'a**/b': '**' must stand alone"),
    (lambda _: job(output_files=["**/a/**"]), "output_files"),
    (lambda _: job(working_dir="$HOME/out"), "working_dir '$HOME/out': variables are not expanded"),
    (lambda _: job(working_dir=Path("out/${USER}/b")), "working_dir 'out/${USER}/b': variables are not expanded"),
    (lambda folder: job(working_dir=folder / "$x"), "variables are not expanded"),
    (lambda _: job(working_dir="~no.such.user/out"), "there is no such user"),
    *((script("x.sh", arguments=["a", value]), f"arguments[1] is {words}: it must be text, a number or a path")
      for value, words in ((True, "a bool"), (None, "None"), ([1], "a list"), ({}, "a dict"), ((), "a tuple"),
                           (b"x", "a bytes"), (object(), "a object"))),
    *((script("x.sh", arguments=value), "arguments must be a list of words") for value in ("abc", b"abc", {"a": 1}, 5)),
    (script("x.sh", params={"t": type("Series", (), {"__module__": "pandas.core", "tolist": lambda _: [1]})()}),
     "params: JSON cannot hold 't': a Series has an index, names or types that it would lose"),
    (lambda _: job(input_files="x"), "input_files must be a list or a mapping"),
    (lambda _: job(input_files=["/no/such"]), "input_files: '/no/such' does not exist"),
    (lambda folder: job(input_files={"../x": folder}), "input_files: '../x' leads out"),
    (lambda folder: job(input_files=[folder, str(folder)]), "is the name of two of them"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_an_impossible_job_is_an_error_that_names_the_job_and_the_field(
    make: Maker, words: str, tmp_path: Path
) -> None:
    with pytest.raises(JobError) as error:
        make(tmp_path)
    assert str(error.value).startswith("job 'b0': ")
    assert words in str(error.value)
    assert isinstance(error.value, ValueError)


@pytest.mark.parametrize("job_id", ["", ".", "..", "a/b", "a\0b", "é" * 101, "\ud800", 7, None])
def test_a_job_id_that_cannot_be_a_folder_name_is_refused(job_id: Any) -> None:
    with pytest.raises(JobError, match="job_id"):
        job(job_id)


@pytest.mark.parametrize("job_id", ["a b", "it's", '"', "$(id)", "`id`", "\\", "a\nb", "-rf", "é中🚀", "é" * 100, "*"])
def test_a_job_id_may_contain_whatever_a_folder_name_may(job_id: str) -> None:
    assert job(job_id).working_dir.endswith("/" + job_id)


def test_a_leading_tilde_of_a_working_dir_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert job(working_dir="~/out").working_dir == job(working_dir=Path("~/out")).working_dir == str(tmp_path / "out")
    assert job("~").working_dir == str(tmp_path / "~")
    assert job("$x").working_dir == str(tmp_path / "$x")
    (tmp_path / "its $x").mkdir()
    for folder in ("./~x/b", "a$", "a$5", "$(id)", "its $x/out"):
        assert job(working_dir=folder).working_dir == str(tmp_path / folder)


class Level(IntEnum):
    HIGH = 3


class Word(str, Enum):
    RED = "red"


def test_arguments_are_text_numbers_and_paths(tmp_path: Path) -> None:
    given = ["a b", 1, 2.5, Decimal("1.50"), Level.HIGH, Word.RED, Path("/x"), ""]
    made = script("x.sh", arguments=(one for one in given))(tmp_path)
    assert made.arguments == ["a b", "1", "2.5", "1.50", "3", "red", "/x", ""]
