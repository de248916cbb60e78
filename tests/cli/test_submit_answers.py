"""What ``scheduler submit`` reports of jobs that were refused, wait for a slot, or got no answer: with the fake PBS."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakepbs_host import LocalFakePbs

from .workspace import Workspace, wait_for, workspace_in


@pytest.fixture
def pbs() -> Iterator[LocalFakePbs]:
    """A fake PBS."""
    with tempfile.TemporaryDirectory(prefix="pbs-") as folder:
        pbs = LocalFakePbs.started(Path(folder, "pbs"))
        yield pbs
        pbs.stop()


@pytest.fixture
def workspace(pbs: LocalFakePbs, tmp_path: Path) -> Workspace:
    """A workspace with the fake PBS as site `mypbs`."""
    made = workspace_in(tmp_path, PATH=pbs.path)
    keys = 'transport: local\nscheduler: pbs\nwork_dir: "{}"\nlimits: {{poll_seconds: 0.2}}\n'
    made.write("site_configs/mypbs.yaml", keys.format(tmp_path / "work"))
    return made


def test_jobs_without_an_answer_are_not_reported_as_submitted_until_the_server_is_back(
    workspace: Workspace, pbs: LocalFakePbs
) -> None:
    file, down = workspace.sweep("good", name="scan"), pbs.home / "down"
    down.touch()
    wait_for(lambda: _qstat(pbs) == 255, what="a server that does not listen")
    for _ in range(2):
        done = workspace.scheduler("submit", file, "--site", "mypbs", code=1)
        assert "mypbs: 2 jobs without an answer yet: it is not known whether qsub has accepted them" in done.err
        assert "cannot connect to server" in done.err
        assert "submitted to" not in done.err and "already submitted" not in done.err
        assert "scheduler wait --campaign scan" in done.err
    words = workspace.scheduler("status", "--no-refresh").out
    assert "Connection refused qsub: cannot connect to server" in " ".join(words.split())  # not its first line alone
    down.unlink()
    assert "2 completed" in workspace.scheduler("run", file, "--site", "mypbs").lines[-1]
    assert len(_submitted(pbs)) == 1  # an array of two


def test_jobs_that_wait_for_a_slot_are_reported_apart(workspace: Workspace, pbs: LocalFakePbs) -> None:
    qsub, qdel = (str(pbs.prefix / "bin" / name) for name in ("qsub", "qdel"))
    own = subprocess.run([qsub, "-h"], input="true\n", capture_output=True, text=True, check=True).stdout.strip()
    (pbs.home / "limits").write_text("jobs 2\n")
    done = workspace.scheduler("submit", workspace.sweep("good", name="scan"), "--site", "mypbs")
    assert "2 jobs are waiting for a free slot: qsub: would exceed complex's per-user limit" in done.err
    assert "submitted to" not in done.err
    subprocess.run([qdel, own], check=True)
    workspace.scheduler("wait")
    assert len(_submitted(pbs)) == 2  # that job, and an array of two


def test_waiting_is_not_proposed_for_jobs_that_were_all_refused(workspace: Workspace) -> None:
    with (workspace.folder / "site_configs/mypbs.yaml").open("a") as site:
        site.write("queue: nosuch\n")
    sweep = workspace.sweep("good", name="scan")
    done = workspace.scheduler("submit", sweep, "--site", "mypbs", code=1)
    assert "2 of 2 jobs were refused" in done.err and "qsub: Unknown queue" in done.err
    assert "scheduler wait" not in done.err and "submitted to" not in done.err
    assert "not collected" not in workspace.scheduler("status").out
    again = workspace.scheduler("submit", sweep, "--site", "mypbs", "--again", code=1)
    assert "2 of 2 jobs were refused" in again.err and "scheduler wait" not in again.err


def _qstat(pbs: LocalFakePbs) -> int:
    return subprocess.run([str(pbs.prefix / "bin/qstat")], capture_output=True).returncode


def _submitted(pbs: LocalFakePbs) -> list[str]:
    """The ids of all jobs and arrays that the server has had."""
    command = [str(pbs.prefix / "bin/qselect"), "-x"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
