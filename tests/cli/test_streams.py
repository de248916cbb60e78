"""Standard streams that are missing, full or closed: the jobs are submitted, waited for and collected all the same."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from .workspace import COMMAND, LONGEST_SECONDS, Finished, Workspace


def shell(workspace: Workspace, text: str) -> Finished:
    """Run a line of bash in which ``$scheduler`` is the command."""
    process = subprocess.run(
        ["bash", "-c", f"scheduler={shlex.quote(COMMAND)}; {text}"], capture_output=True, text=True,
        stdin=subprocess.DEVNULL, cwd=workspace.folder, env=workspace.environment, timeout=LONGEST_SECONDS,
    )  # fmt: skip
    assert "Traceback" not in process.stderr and "Exception ignored" not in process.stderr
    return Finished(process.returncode, process.stdout, process.stderr)


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", "2>&-", "<&- 2>/dev/full"])
def test_missing_streams_are_dev_null_and_the_jobs_run(workspace: Workspace, closed: str) -> None:
    file = workspace.sweep("good", count=1, outputs="[out.txt]")
    done = shell(workspace, f'"$scheduler" run {file} --site local {closed}')
    assert done.code == 0, done
    assert workspace.ran == ["job-good-0"]
    assert (workspace.folder / "job-good-0/out.txt").stat().st_size == 3893


def test_a_full_disk_under_standard_output_is_one_line_and_the_jobs_run(workspace: Workspace) -> None:
    file = workspace.sweep("good", count=1, outputs="[out.txt]")
    done = shell(workspace, f'"$scheduler" run {file} --site local --json >/dev/full')
    assert done.code == 1
    assert done.err.splitlines()[-1] == (
        "scheduler: cannot write to standard output: No space left on device; the jobs are not affected"
    )
    assert (workspace.folder / "job-good-0/out.txt").exists()
    for command in ("status", "status --json", "logs job-good-0", "sites", "--help", "status --history job-good-0"):
        done = shell(workspace, f'"$scheduler" {command} >/dev/full')
        assert done.code == 1, command
        assert sum("cannot write to standard output" in line for line in done.err.splitlines()) == 1, command


def test_a_reader_that_closes_the_pipe_stops_nothing(workspace: Workspace) -> None:
    file = workspace.sweep("good", count=2, outputs="[out.txt]")
    done = shell(workspace, f'"$scheduler" run {file} --site local 2>&1 | head -c 1; exit "${{PIPESTATUS[0]}}"')
    assert done.code in (0, 1)
    assert workspace.ran == ["job-good-0", "job-good-1"]
    assert (workspace.folder / "job-good-1/out.txt").exists()


def test_what_the_module_of_a_function_prints_never_stands_in_the_output(workspace: Workspace) -> None:
    text = "import atexit, os\nprint('early')\natexit.register(print, 'late')\nos.chdir('/')\ndef f():\n    return 1\n"
    (workspace.folder / "loud.py").write_text(text)
    (workspace.folder / "loud.yaml").write_text("job: {type: function, function: 'loud.py:f'}\n")
    done = shell(workspace, '"$scheduler" render loud.yaml --site local')
    assert done.code == 0 and done.out.startswith("#!/bin/bash") and "late" not in done.out.splitlines()
    assert {"early", "late"} <= set(done.err.splitlines())
