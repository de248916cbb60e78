"""Jobs whose script or values have changed since they were submitted: what the command asks, refuses and runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.prompters import Terminal

from .workspace import COMMAND, Workspace

SCRIPT = '#!/bin/sh\necho "$JOB_ID" >>"$RAN"\n'
FILE = """\
campaign: opt
id: "t{{ n }}"
job: {type: script, script_path: run.sh}
matrix: {n: [0, 1]}
"""


@pytest.fixture
def file(workspace: Workspace) -> str:
    """Two jobs; t1 fails."""
    workspace.write("run.sh", SCRIPT + '[ "$JOB_ID" = t0 ] && echo \'{"v": 1}\' >result.json')
    return workspace.write("opt.yaml", FILE)


def values(workspace: Workspace) -> dict[str, object]:
    jobs = workspace.scheduler("status", "--all", "--json", "--no-refresh").json
    return {job["job_id"]: job["results"].get("v") for job in jobs}


def fix(workspace: Workspace) -> None:
    """The script is changed: every job completes now."""
    workspace.write("run.sh", SCRIPT + "echo '{\"v\": 2}' >result.json")


def test_changed_jobs_are_refused_with_what_differs_and_both_options(workspace: Workspace, file: str) -> None:
    workspace.scheduler("run", file, "-s", "local", code=3)
    fix(workspace)
    for command in ("run", "submit"):
        done = workspace.scheduler(command, file, "-s", "local", code=1)
        assert "t0: script differs" in done.err and "t1: script differs" in done.err
        assert "--keep" in done.err and "--rerun-changed" in done.err
    assert sorted(workspace.ran) == ["t0", "t1"]


def test_keep_prints_the_recorded_results_and_rerun_changed_runs_again(workspace: Workspace, file: str) -> None:
    workspace.scheduler("run", file, "-s", "local", code=3)
    fix(workspace)
    kept = workspace.scheduler("run", file, "-s", "local", "--keep", code=3)
    assert "2 jobs with other content than recorded" in kept.err and sorted(workspace.ran) == ["t0", "t1"]
    workspace.scheduler("run", file, "-s", "local", "--rerun-changed")
    assert values(workspace) == {"t0": 2, "t1": 2}
    assert "not both" in workspace.scheduler("run", file, "-s", "local", "--keep", "--rerun-changed", code=2).err


def test_run_failed_runs_only_what_did_not_complete_with_todays_script(workspace: Workspace, file: str) -> None:
    workspace.scheduler("run", file, "-s", "local", code=3)
    fix(workspace)
    done = workspace.scheduler("run", file, "-s", "local", "--failed")
    assert "1 completed job left as before" in done.err
    assert (values(workspace), sorted(workspace.ran)) == ({"t0": 1, "t1": 2}, ["t0", "t1", "t1"])
    assert "every job of the file has completed" in workspace.scheduler("run", file, "-s", "local", "--failed").err


def test_retry_from_a_file_uses_todays_script_and_retry_reports_it(workspace: Workspace, file: str) -> None:
    workspace.scheduler("run", file, "-s", "local", code=3)
    fix(workspace)
    plain = workspace.scheduler("retry", "t1")
    assert "run.sh has changed; the retry uses what was submitted" in plain.err and "retry --from FILE" in plain.err
    workspace.scheduler("wait", code=3)
    done = workspace.scheduler("retry", "--from", file)
    assert done.lines[1].split()[0] == "t1" and done.lines[-1] == "1 of 1 job retried"
    workspace.scheduler("wait")
    assert values(workspace) == {"t0": 1, "t1": 2}
    assert "Nothing to retry" in workspace.scheduler("retry", "--from", file).err
    assert workspace.scheduler("retry", "--from", file, "--failed", code=2).code == 2


@pytest.mark.parametrize(("answer", "result"), [("k", 1), ("r", 2), ("s", 1)])
def test_at_a_terminal_the_command_asks(workspace: Workspace, file: str, answer: str, result: int) -> None:
    workspace.scheduler("run", file, "-s", "local", code=3)
    fix(workspace)
    command = [COMMAND, "run", file, "-s", "local"]
    with Terminal(command, folder=Path(workspace.folder), environment=workspace.environment) as terminal:
        terminal.shows("or stop (s)?")
        terminal.types(answer)
        assert terminal.ends() == {"k": 3, "r": 0, "s": 1}[answer]
    assert values(workspace)["t0"] == result
