"""Starting a container, with stand-ins of the runtime: which shell runs in it, and what is reported if it does
not start."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from scheduler import Job, JobError, JobType
from scheduler.job.evidence import End
from tests.unpacked import SHELLS, Unpacked, installed

RUNS = """#!/bin/bash
while [ "$1" != "$IMAGE" ]; do shift; done
shift
[ -z "$TOOLS" ] || PATH=$TOOLS
exec "$@"
"""
"""A runtime that runs the command on this machine, with `TOOLS` as PATH if that is set."""


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that is found as apptainer, first in PATH."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    file = bin_folder / "apptainer"
    monkeypatch.setenv("PATH", f"{bin_folder}:{os.environ['PATH']}")
    monkeypatch.setenv("IMAGE", str(tmp_path / "image.sif"))
    monkeypatch.setenv("TOOLS", "")
    (tmp_path / "image.sif").touch()
    _write(file, RUNS)
    return file


def _write(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


def _ended(folder: Path, command: str | None, *, shell: str = "bash", image: str = "$IMAGE", **job: Any) -> End:
    if not installed(shell):
        pytest.skip(f"{shell} is not installed")
    made = Unpacked(
        folder / f"it's a folder {shell}", "", shell=shell, job_type=JobType.CONTAINER, container_image=image,
        container_command=command, **job,
    )  # fmt: skip
    made.run()
    end = made.end()
    assert end is not None
    return end


@pytest.mark.parametrize(
    ("command", "code"), [("exit 3 | cat", 3), ("set +o pipefail; exit 3 | cat", 0), ("exit 4", 4)]
)
def test_a_pipeline_fails_with_its_programs_in_bash(runtime: Path, tmp_path: Path, command: str, code: int) -> None:
    end = _ended(tmp_path, command)
    assert (end.exit_code, end.cannot) == (code, "")


def test_an_image_that_has_sh_alone_runs_the_command_in_sh(
    runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sh").symlink_to(str(shutil.which("dash") or shutil.which("sh")))
    monkeypatch.setenv("TOOLS", str(tools))
    end = _ended(tmp_path, 'echo "$JOB_ID" >who; exit 5 | :')
    assert (end.exit_code, end.cannot) == (0, "")


STARTS = {
    "a message": ("echo 'INFO:    one' >&2; echo 'FATAL:   no such mount' >&2; exit 255", "FATAL:   no such mount"),
    "another message": ("echo 'cannot exec: out of user namespaces' >&2; exit 1", "out of user namespaces"),
    "no message": ("exit 255", "it printed no message"),
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("text", "words"), STARTS.values(), ids=list(STARTS))
def test_a_container_that_does_not_start_is_reported_with_the_message_of_its_runtime(
    runtime: Path, tmp_path: Path, shell: str, text: str, words: str
) -> None:
    _write(runtime, f"#!/bin/sh\n{text}\n")
    end = _ended(tmp_path, "true", shell=shell)
    assert end.exit_code == 72
    assert end.cannot.startswith("apptainer could not start the container on ") and words in end.cannot


def test_a_command_that_ends_like_a_runtime_has_started(runtime: Path, tmp_path: Path) -> None:
    end = _ended(tmp_path, "echo 'FATAL:   not from the runtime' >&2; exit 255")
    assert (end.exit_code, end.cannot) == (255, "")


@pytest.mark.parametrize(
    ("text", "code", "starts"),
    [("echo 'FATAL:   no image' >&2; exit 255", 72, False), ("echo 'FATAL: mine' >&2; exit 255", 255, True),
     ("exit 3", 3, True)],
)  # fmt: skip
def test_of_an_images_own_run_script_only_the_runtimes_message_proves_it(
    runtime: Path, tmp_path: Path, text: str, code: int, starts: bool
) -> None:
    _write(runtime, f"#!/bin/sh\n{text}\n")
    end = _ended(tmp_path, None)
    assert (end.exit_code, not end.cannot) == (code, starts)


@pytest.mark.parametrize("image", ["$IMAGE", "${IMAGE}", "$FOLDER/image.sif", "~/image.sif"])
def test_variables_and_the_home_folder_in_the_image_are_expanded_on_the_node(
    runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    end = _ended(tmp_path, "exit 6", image=image, env_vars={"FOLDER": str(tmp_path)})
    assert (end.exit_code, end.cannot) == (6, "")


def test_a_variable_that_is_not_set_is_named(runtime: Path, tmp_path: Path) -> None:
    end = _ended(tmp_path, "true", image="$NO_SUCH_ONE/image.sif")
    assert end.cannot.startswith("NO_SUCH_ONE is not set on ") and end.cannot.endswith("container_image uses it")


@pytest.mark.parametrize("image", ["$(touch x).sif", "a$", "${x:-y}.sif"])
def test_nothing_else_is_expanded(image: str) -> None:
    with pytest.raises(JobError, match=r"container_image: a '\$' in a path must begin"):
        Job("one", JobType.CONTAINER, container_image=image, container_command="true")
