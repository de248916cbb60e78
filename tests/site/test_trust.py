"""Trust in the site files of a folder: what is asked, what is recorded, what is refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from scheduler import ConfigError, Job, JobType
from scheduler.render.bundle import render
from scheduler.site.catalog import find_site, list_sites
from scheduler.site.packaged import packaged_folder
from scheduler.site.site import Site
from scheduler.site.trust import RECORD, is_trusted, trust
from scheduler.transports.prompt import NoPrompter, Prompter

THEIRS = "transport: ssh\nhost: theirs\nscheduler: slurm\nwork_dir: /w\n"
NOBODY = NoPrompter("prompts are turned off")


class Answering(Prompter):
    """A user who gives one answer."""

    def __init__(self, answer: str | None) -> None:
        self.answer, self.shown, self.asked = answer, "", 0

    def unavailable(self) -> str:
        return ""

    def show(self, text: str) -> None:
        self.shown += text

    def ask(self, question: str, *, shown: bool) -> str | None:
        self.asked += 1
        return self.answer


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stranger's folder as the current directory; the user has no files of their own yet."""
    current = tmp_path / "it's theirs"
    (current / "site_configs").mkdir(parents=True)
    monkeypatch.chdir(current)
    monkeypatch.setenv("SCHEDULER_CONFIG_DIR", str(tmp_path / "mine"))
    monkeypatch.setenv("SCHEDULER_STATE_DIR", str(tmp_path / "state"))
    return current


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_folders_site_file_is_asked_for_once_and_again_when_it_has_changed(folder: Path, tmp_path: Path) -> None:
    file = written(folder / "site_configs/far.yaml", THEIRS)
    yes = Answering("y")
    assert find_site("far", prompter=yes).host == "theirs"
    assert find_site("far", prompter=yes).host == "theirs"
    assert yes.asked == 1 and str(file) in yes.shown and "under your name" in yes.shown
    assert find_site("far", prompter=NOBODY).host == "theirs"
    file.write_text(THEIRS + "prologue: echo\n")
    with pytest.raises(ConfigError, match="has changed since you trusted it"):
        find_site("far", prompter=NOBODY)
    assert find_site("far", prompter=yes).prologue == "echo" and yes.asked == 2
    record = tmp_path / "state" / RECORD
    assert stat.S_IMODE(record.stat().st_mode) == 0o600


@pytest.mark.parametrize("answer", ["", "n", None, "yes please", "\x1b", "nay"])
def test_any_answer_but_yes_refuses_and_records_nothing(folder: Path, answer: str | None) -> None:
    file = written(folder / "site_configs/far.yaml", THEIRS)
    with pytest.raises(ConfigError, match="scheduler sites trust"):
        find_site("far", prompter=Answering(answer))
    assert not is_trusted(file)


def test_without_a_prompt_it_is_refused_with_the_command_that_trusts_it(folder: Path) -> None:
    file = written(folder / "site_configs/far.yaml", THEIRS)
    with pytest.raises(ConfigError) as error:
        find_site("far", prompter=NOBODY)
    assert "scheduler sites trust '" in str(error.value) and "prompts are turned off" in str(error.value)
    (entry,) = [entry for entry in list_sites() if entry.name == "far"]
    assert "scheduler sites trust" in entry.error
    assert list(trust(file)) == [file]
    assert find_site("far", prompter=NOBODY).host == "theirs"


def test_the_users_own_file_is_above_a_folders_file(folder: Path, tmp_path: Path) -> None:
    trust(written(folder / "site_configs/far.yaml", THEIRS + "account: theirs\nqueue: theirs\n"))
    written(tmp_path / "mine/sites/far.yaml", "host: mine\naccount: mine\n")
    site = find_site("far", prompter=NOBODY)
    assert (site.host, site.account, site.queue) == ("mine", "mine", "theirs")


def test_a_path_is_consent_and_a_packaged_file_of_a_clone_is_recognised(folder: Path, tmp_path: Path) -> None:
    file = written(folder / "site_configs/far.yaml", THEIRS)
    for path in ("./site_configs/far.yaml", "site_configs/far.yaml", file):
        assert find_site(path, prompter=NOBODY).host == "theirs"
    for packaged in packaged_folder("site_configs").glob("*.yaml"):
        written(folder / "site_configs" / packaged.name, packaged.read_text())
    written(tmp_path / "mine/sites/jlab.yaml", "account: mine\nwork_dir: /mine\n")
    site = find_site("jlab", prompter=NOBODY)
    assert (site.account, site.work_dir) == ("mine", "/mine")
    assert folder / "site_configs/jlab.yaml" not in site.sources


@pytest.mark.parametrize("mode", [0o666, 0o602, 0o777])
def test_a_file_that_everybody_can_write_is_refused_also_if_it_was_trusted(folder: Path, mode: int) -> None:
    file = written(folder / "site_configs/far.yaml", THEIRS)
    trust(file)
    file.chmod(mode)
    for act in (lambda: find_site("far", prompter=Answering("y")), lambda: trust(file)):
        with pytest.raises(ConfigError, match=r"writable by every user.*chmod o-w"):
            act()


def test_a_folder_that_everybody_can_write_is_refused_and_a_groups_file_is_reported(folder: Path) -> None:
    file = written(folder / "site_configs/far.yaml", THEIRS)
    file.chmod(0o664)
    said: list[str] = []
    assert find_site("far", prompter=Answering("y"), report=said.append).host == "theirs"
    assert len(said) == 1 and "group" in said[0] and "the folder" not in said[0]
    file.parent.chmod(0o775)
    file.chmod(0o644)
    find_site("far", prompter=Answering("y"), report=said.append)
    assert len(said) == 2 and f"can change the folder {file.parent}" in said[1]
    file.parent.chmod(0o777)
    with pytest.raises(ConfigError, match=r"the folder .* is writable by every user"):
        find_site("far", prompter=Answering("y"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_file_of_another_user_is_refused(folder: Path, what: str) -> None:
    file = written(folder / "site_configs/far.yaml", THEIRS)
    os.chown(file if what == "file" else file.parent, 12345, -1)
    with pytest.raises(ConfigError, match=f"the {what} .* belongs to another user"):
        find_site("far", prompter=Answering("y"))


def test_a_template_beside_the_file_and_what_it_includes_are_part_of_it(folder: Path) -> None:
    own = '{% extends "slurm.sh.j2" %}{% block prologue %}{% include "part.j2" %}{% endblock %}'
    template = written(folder / "site_configs/own.sh.j2", own)
    part = written(folder / "site_configs/part.j2", "echo part")
    file = written(folder / "site_configs/far.yaml", THEIRS + "template: own.sh.j2\n")
    assert list(trust(file)) == [file, template, part]
    script = written(folder / "x.sh", "echo\n")
    site = find_site("far", prompter=NOBODY)
    recorded = Site.from_json(site.to_json())
    job = Job("b0", JobType.SCRIPT, script_path=script)
    assert b"echo part" in (render([job], recorded).files["0/script.sh"])  # type: ignore[operator]
    for changed in (template, part):
        before = changed.read_text()
        changed.write_text(before + "\n")
        with pytest.raises(ConfigError, match="has changed since you trusted it"):
            find_site("far", prompter=NOBODY)
        with pytest.raises(ConfigError, match="has changed since you trusted it"):
            render([job], recorded)
        changed.write_text(before)
    for sly in ('{% include "pa" ~ "rt.j2" %}', "{% include x %}", '{% import ["part.j2"][0] as p %}'):
        template.write_text(own + sly)
        with pytest.raises(ConfigError, match="computes the name"):
            trust(file)


def test_a_damaged_record_trusts_nothing_more(folder: Path, tmp_path: Path) -> None:
    file = written(folder / "site_configs/far.yaml", THEIRS)
    for text in ("", "{", '{"path": 1}\n', "[]\n5\nnull\n", '{"path": "/x", "sha256": "y"}\n', "\0\xff\n"):
        written(tmp_path / "state" / RECORD, text)
        assert not is_trusted(file)
    (tmp_path / "state" / RECORD).unlink()
    trust(file)
    assert is_trusted(file)
    (tmp_path / "state" / RECORD).chmod(0o666)
    assert not is_trusted(file)


@pytest.mark.parametrize("kind", ["pipe", "device", "directory", "huge"])
def test_a_record_that_is_no_file_is_refused_at_once(kind: str, folder: Path, tmp_path: Path) -> None:
    file = written(folder / "site_configs/far.yaml", THEIRS)
    record = tmp_path / "state" / RECORD
    record.parent.mkdir(exist_ok=True)
    match kind:
        case "pipe":
            os.mkfifo(record)
        case "device":
            record.symlink_to("/dev/zero")
        case "directory":
            record.mkdir()
        case _:
            record.touch()
            os.truncate(record, 5 << 30)
    assert not is_trusted(file)
    with pytest.raises(ConfigError, match=RECORD):
        trust(file)
    with pytest.raises(ConfigError):
        find_site("far", prompter=Answering("y"))
