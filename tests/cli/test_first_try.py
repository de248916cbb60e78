"""A first try that failed, at a site whose login needs a password, is in the way of no later command."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.prompters import Terminal
from tests.transports import sshd

from .workspace import COMMAND, Workspace


@pytest.fixture
def server(tmp_path: Path) -> Iterator[sshd.Sshd]:
    """A server whose login needs a key and a password."""
    if reason := sshd.why_not():
        pytest.skip(reason)
    methods = "AuthenticationMethods publickey,password"
    running = sshd.start(tmp_path / "sshd", first="PasswordAuthentication yes", extra=methods)
    yield running
    running.stop()


def test_a_first_try_that_failed_disturbs_no_later_command(workspace: Workspace, server: sshd.Sshd) -> None:
    ssh = {
        "user": getpass.getuser(), "port": server.port, "identity_file": str(server.identity),
        "known_hosts": str(server.known_hosts),
    }  # fmt: skip
    far = {"transport": "ssh", "host": "127.0.0.1", "scheduler": "shell", "work_dir": "/nowhere", "ssh": ssh}
    workspace.write("site_configs/far.yaml", json.dumps(far))
    refused = workspace.scheduler("submit", workspace.sweep("good", name="first", count=1), "--site", "far", code=1)
    assert "another authentication method too (password)" in refused.err
    workspace.scheduler("submit", workspace.sweep("good", name="second", count=1), "--site", "local")

    with Terminal([COMMAND, "status"], environment=workspace.environment, folder=workspace.folder) as terminal:
        assert terminal.ends() == 1
    assert "skipped far: its login needs a password" in terminal.screen
    assert "password:" not in terminal.screen

    asked = [COMMAND, "status", "--site", "far"]
    with Terminal(asked, environment=workspace.environment, folder=workspace.folder) as terminal:
        terminal.shows("password:")

    [job] = workspace.scheduler("status", "--no-refresh", "--json", "--site", "far").json
    assert job["state"] == "submitting" and job["reason"].startswith("nothing of it is submitted yet: ")
    server.stop()
    workspace.scheduler("cancel", "--site", "far", "--all", "--yes")
    [job] = workspace.scheduler("status", "--json", "--site", "far", "--all").json
    assert (job["state"], job["reason"]) == ("cancelled", "withdrawn before anything of it was submitted")
    assert workspace.scheduler("wait", "--site", "local", "--json").json[0]["state"] == "completed"


def test_jobs_that_a_site_refused_before_any_was_submitted_are_cancelled(workspace: Workspace) -> None:
    blocked = workspace.folder.parent / "blocked"
    blocked.write_text("a file, not a folder")
    path = json.dumps(str(blocked / "work"))
    workspace.write("site_configs/denied.yaml", f"{{transport: local, scheduler: shell, work_dir: {path}}}")
    refused = workspace.scheduler("submit", workspace.sweep("good", count=2), "--site", "denied", code=1)
    assert "nothing was submitted" in refused.err
    jobs = workspace.scheduler("status", "--no-refresh", "--json").json
    assert [job["state"] for job in jobs] == ["submitting"] * 2
    assert all("cannot make the work_dir" in job["reason"] for job in jobs)
    assert all("scheduler cancel withdraws it" in job["reason"] for job in jobs)
    workspace.scheduler("cancel", "--site", "denied", "--all", "--yes")
    assert {job["state"] for job in workspace.scheduler("status", "--json", "--all").json} == {"cancelled"}
    assert workspace.ran == []
