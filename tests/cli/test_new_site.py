"""``scheduler sites new``: a site file by asking, or by options alone."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scheduler.cli.commands.new_site import collected
from scheduler.errors import ConfigError
from scheduler.site.catalog import find_site
from scheduler.site.site import Site

from .desk import COMMAND, Desk


def written(desk: Desk, name: str) -> Path:
    return Path(desk.environment["SCHEDULER_CONFIG_DIR"]) / "sites" / f"{name}.yaml"


def test_options_alone_make_a_site_that_is_found_by_its_name(desk: Desk) -> None:
    words = ["--host", "far.example.org", "--scheduler", "slurm", "--work-dir", "/scratch/$USER", "--account", "eic"]
    done = desk.scheduler("sites", "new", "far", *words, "--walltime", "2 days")
    site = find_site(written(desk, "far"))
    assert (site.transport, site.host, site.account) == ("ssh", "far.example.org", "eic")
    assert done.out == written(desk, "far").read_text() and "scheduler check far" in done.err
    listed = {one["name"]: one for one in desk.scheduler("sites", "--json").json}
    assert listed["far"]["error"] is None and listed["far"]["path"] == str(written(desk, "far"))


def test_of_a_packaged_site_only_what_differs_is_written(desk: Desk) -> None:
    desk.scheduler("sites", "new", "perlmutter", "--account", "m3763", "--user", "anna", "--yes")
    assert written(desk, "perlmutter").read_text().splitlines()[1:] == ["ssh:", "  user: anna", "account: m3763"]
    settings = desk.scheduler("sites", "show", "perlmutter", "--json").json["settings"]
    assert (settings["host"], settings["account"]) == ("perlmutter.nersc.gov", "m3763")


def test_a_file_that_is_there_is_not_written_over_unless_told(desk: Desk) -> None:
    words = ["sites", "new", "mine", "--transport", "local", "--scheduler", "shell", "--work-dir"]
    desk.scheduler(*words, "/a")
    assert "is there already" in desk.scheduler(*words, "/b", code=1).err
    assert find_site(written(desk, "mine")).work_dir == "/a"
    desk.scheduler(*words, "/b", "--force")
    assert find_site(written(desk, "mine")).work_dir == "/b"
    assert [path.name for path in written(desk, "mine").parent.iterdir()] == ["mine.yaml"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["far"], "host is needed: --host"),
        (["far", "--host", "-oProxyCommand=x"], "host: must be a host's name"),
        (["far", "--host", "h", "--scheduler", "slrum"], "did you mean 'slurm'?"),
        (["far", "--host", "h", "--work-dir", "relative"], "work_dir: must begin with '/'"),
        (["far", "--host", "h", "--account", "a b"], "account: must be letters"),
        (["far", "--transport", "local", "--scheduler", "shell", "--host", "h"], "--host is no matter of such a site"),
        (["../far", "--host", "h"], "cannot be a site's name"),
        (["far.yaml", "--host", "h"], "cannot be a site's name"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(desk: Desk, words: list[str], said: str) -> None:
    assert said in desk.scheduler("sites", "new", *words, code=1).err
    assert not written(desk, "far").exists()


def answers(*words: str) -> Any:
    """Somebody who says these in turn."""
    said: Iterator[str] = iter(words)
    return lambda question, default: next(said) or default


def test_every_answer_is_checked_at_once_and_asked_again(capsys: pytest.CaptureFixture[str]) -> None:
    someone = answers("carrier pigeon", "ssh", "a b", "far", "", "slurm", "here", "/w", "", "", "")
    assert collected("far", {}, someone) == {"transport": "ssh", "host": "far", "scheduler": "slurm", "work_dir": "/w"}
    complaints = capsys.readouterr().err
    assert all(
        words in complaints for words in ("transport: no such transport", "host: must be", "work_dir: must begin")
    )


def test_questions_that_do_not_matter_are_not_asked() -> None:
    values = collected("mine", {}, answers("local", "shell", "/w", ""))
    assert values == {"transport": "local", "scheduler": "shell", "work_dir": "/w"}
    assert collected("jlab", {}, answers("", "eic", "", "priority")) == {"account": "eic", "queue": "priority"}
    assert Site.from_mapping({**values, "limits": {}}, name="mine")


def test_what_is_needed_cannot_be_left_out_where_nobody_can_be_asked() -> None:
    with pytest.raises(ConfigError, match="host is needed"):
        collected("far", {}, None)


def test_a_terminal_is_asked_and_shown_the_file_before_it_is_written(desk: Desk) -> None:
    main, side = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, "sites", "new", "far"], stdin=side, stdout=side, stderr=side, cwd=desk.folder, env=desk.environment
    )
    os.close(side)
    os.write(main, b"\nfar.example.org\nanna\n\n/w\neic\n\n\n\n")
    said = b""
    while b"Is all well there" not in said:
        said += os.read(main, 4096)
    assert process.wait(timeout=600) == 0
    assert b"Which batch system" in said and b"host: far.example.org" in said
    assert find_site(written(desk, "far")).ssh.user == "anna"
