"""``scheduler sites new``: writes a site file from answers or from options alone."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scheduler.cli.commands.new_site import collect_values
from scheduler.errors import ConfigError
from scheduler.site.catalog import find_site
from scheduler.site.site import Site

from .workspace import COMMAND, Workspace


def site_file(workspace: Workspace, name: str) -> Path:
    return Path(workspace.environment["SCHEDULER_CONFIG_DIR"]) / "sites" / f"{name}.yaml"


def test_options_alone_make_a_site_that_is_found_by_name(workspace: Workspace) -> None:
    options = ["--host", "far.example.org", "--scheduler", "slurm", "--work-dir", "/scratch/$USER", "--account", "eic"]
    done = workspace.scheduler("sites", "new", "far", *options, "--walltime", "2 days")
    site = find_site(site_file(workspace, "far"))
    assert (site.transport, site.host, site.account) == ("ssh", "far.example.org", "eic")
    assert done.out == site_file(workspace, "far").read_text() and "scheduler check far" in done.err
    listed = {one["name"]: one for one in workspace.scheduler("sites", "--json").json}
    assert listed["far"]["error"] is None and listed["far"]["path"] == str(site_file(workspace, "far"))


def test_the_file_for_a_packaged_site_has_only_the_differences(workspace: Workspace) -> None:
    workspace.scheduler("sites", "new", "perlmutter", "--account", "m3763", "--user", "anna", "--yes")
    assert site_file(workspace, "perlmutter").read_text().splitlines()[1:] == ["ssh:", "  user: anna", "account: m3763"]
    settings = workspace.scheduler("sites", "show", "perlmutter", "--json").json["settings"]
    assert (settings["host"], settings["account"]) == ("perlmutter.nersc.gov", "m3763")


def test_an_existing_file_is_overwritten_only_with_force(workspace: Workspace) -> None:
    command = ["sites", "new", "mine", "--transport", "local", "--scheduler", "shell", "--work-dir"]
    workspace.scheduler(*command, "/a")
    assert "already exists" in workspace.scheduler(*command, "/b", code=1).err
    assert find_site(site_file(workspace, "mine")).work_dir == "/a"
    workspace.scheduler(*command, "/b", "--force")
    assert find_site(site_file(workspace, "mine")).work_dir == "/b"
    assert {path.name for path in site_file(workspace, "mine").parent.iterdir()} == {"local.yaml", "mine.yaml"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["far"], "host is required: --host"),
        (["far", "--host", "-oProxyCommand=x"], "host: must be the name of a host"),
        (["far", "--host", "h", "--scheduler", "slrum"], "did you mean 'slurm'?"),
        (["far", "--host", "h", "--work-dir", "relative"], "work_dir: must begin with '/'"),
        (["far", "--host", "h", "--account", "a b"], "account: may contain letters"),
        (["far", "--transport", "local", "--scheduler", "shell", "--host", "h"], "--host does not apply to this site"),
        (["../far", "--host", "h"], "is not a valid site name"),
        (["far.yaml", "--host", "h"], "is not a valid site name"),
    ],
)
def test_a_wrong_value_is_an_error_and_writes_nothing(workspace: Workspace, arguments: list[str], message: str) -> None:
    assert message in workspace.scheduler("sites", "new", *arguments, code=1).err
    assert not site_file(workspace, "far").exists()


def answers(*texts: str) -> Any:
    """Answers questions with these texts, one after the other."""
    remaining: Iterator[str] = iter(texts)
    return lambda question, default: next(remaining) or default


def test_a_wrong_answer_is_reported_at_once_and_the_question_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    ask = answers("carrier pigeon", "ssh", "a b", "far", "", "slurm", "here", "/w", "", "", "")
    assert collect_values("far", {}, ask) == {
        "transport": "ssh",
        "host": "far",
        "scheduler": "slurm",
        "work_dir": "/w",
    }
    errors = capsys.readouterr().err
    assert all(
        message in errors for message in ("transport: no such transport", "host: must be", "work_dir: must begin")
    )


def test_questions_that_do_not_apply_are_not_asked() -> None:
    values = collect_values("mine", {}, answers("local", "shell", "/w", ""))
    assert values == {"transport": "local", "scheduler": "shell", "work_dir": "/w"}
    assert collect_values("jlab", {}, answers("", "eic", "", "priority")) == {"account": "eic", "queue": "priority"}
    assert Site.from_mapping({**values, "limits": {}}, name="mine")


def test_without_questions_a_missing_required_value_is_an_error() -> None:
    with pytest.raises(ConfigError, match="host is required"):
        collect_values("far", {}, None)


def test_on_a_terminal_questions_are_asked_and_the_file_is_shown_before_it_exists(workspace: Workspace) -> None:
    main, side = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, "sites", "new", "far"],
        stdin=side,
        stdout=side,
        stderr=side,
        cwd=workspace.folder,
        env=workspace.environment,
    )
    os.close(side)
    os.write(main, b"\nfar.example.org\nanna\n\n/w\neic\n\n\n\n")
    output = b""
    while b"To check the site" not in output:
        output += os.read(main, 4096)
    assert process.wait(timeout=600) == 0
    assert b"Batch system" in output and b"host: far.example.org" in output
    assert find_site(site_file(workspace, "far")).ssh.user == "anna"
