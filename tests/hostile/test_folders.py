"""Folders in which other users may write: reported by `check`, and nothing is submitted with them."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scheduler import BatchError, Job, JobType, Runner, Site
from scheduler.check.finding import Mark
from scheduler.check.look import inspect_site
from scheduler.check.state_folder import state_folder_findings
from scheduler.engine import programs
from scheduler.engine.collect.resumable import _open_part, _part_name
from scheduler.errors import LedgerError
from scheduler.ledger import database
from scheduler.ledger.ledger import Ledger
from scheduler.transports.base import Expanded
from scheduler.transports.local.transport import LocalTransport
from tests.unpacked import SHELLS, installed

Tried = Callable[[int], None]
OTHER = 65534
MODES = {
    0o700: None, 0o755: None, 0o770: Mark.NOTE, 0o775: Mark.NOTE, 0o2770: Mark.NOTE, 0o777: Mark.FAILED,
    0o2777: Mark.FAILED, 0o702: Mark.FAILED, 0o1702: None, 0o1777: Mark.NOTE,
}  # fmt: skip
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")


def site_at(folder: Path) -> Site:
    keys = {"transport": "local", "scheduler": "shell", "work_dir": str(folder), "limits": {"poll_seconds": 0.1}}
    return Site.from_mapping(keys, name="here")


def submit(tmp_path: Path, site: Site, state: Path) -> None:
    (tmp_path / "a.sh").write_text("true\n")
    job = Job("b0", JobType.SCRIPT, script_path=tmp_path / "a.sh", working_dir=tmp_path / "out")
    with Runner(site, ledger=Ledger(state)) as runner:
        runner.submit([job])
        runner.wait([job], timeout=600)


@pytest.mark.parametrize("mode", MODES, ids=oct)
def test_a_work_dir_that_other_users_may_change_is_reported_and_refused(
    mode: int, tmp_path: Path, tried: Tried
) -> None:
    tried(2)
    work = tmp_path / "it's work"
    work.mkdir()
    work.chmod(mode)
    found = {one.name: one.mark for one in inspect_site(site_at(work), LocalTransport())}
    assert found.get("work_dir access") == MODES[mode]
    if MODES[mode] is Mark.FAILED:
        with pytest.raises(BatchError, match="is writable by every user, without the sticky bit"):
            submit(tmp_path, site_at(work), tmp_path / "state")
        assert [path.name for path in work.iterdir()] == []
    elif mode in (0o700, 0o2770):
        submit(tmp_path, site_at(work), tmp_path / "state")


@as_root
def test_a_work_dir_of_another_user_is_reported_and_refused(tmp_path: Path, tried: Tried) -> None:
    tried(2)
    work = tmp_path / "work"
    work.mkdir()
    os.chown(work, OTHER, -1)
    found = {one.name: one for one in inspect_site(site_at(work), LocalTransport())}["work_dir access"]
    assert (found.mark, f"uid {OTHER}" in found.words) == (Mark.FAILED, True)
    with pytest.raises(BatchError, match="belongs to another user"):
        submit(tmp_path, site_at(work), tmp_path / "state")
    assert [path.name for path in work.iterdir()] == []


@pytest.mark.parametrize("shell", [shell for shell in ("dash", "bash", "busybox") if installed(shell)])
def test_every_shell_sees_the_risk_and_a_folder_of_root_is_none(shell: str, tmp_path: Path) -> None:
    folder, link = tmp_path / "a folder's", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    (tmp_path / "ours").symlink_to("nowhere")

    def risk() -> str:
        text = f'{programs.prelude()}\nfolder_risk "$1" "$2"'
        command = [*SHELLS[shell], "-c", text, "sh", str(link), str(tmp_path / "ours")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    for mode, expected in ((0o700, ""), (0o770, "group"), (0o777, "world"), (0o1777, "group")):
        folder.chmod(mode)
        assert risk() == expected
    if os.geteuid() == 0:
        folder.chmod(0o777)
        os.chown(folder, OTHER, -1)
        assert risk() == f"owner {OTHER}"
        os.lchown(tmp_path / "ours", OTHER, -1)  # ours, as this file system numbers us
        assert risk() == "world"


def test_the_upload_of_large_files_is_refused_too(tmp_path: Path, tried: Tried) -> None:
    tried(1)
    (tmp_path / "work").mkdir()
    (tmp_path / "work").chmod(0o777)
    arguments: list[str | Expanded] = [str(tmp_path / "work"), "abcdefghjk", ""]
    reply = LocalTransport().run(programs.program("upload"), arguments)
    assert reply.exit_code == 70 and "is writable by every user" in reply.err


@pytest.mark.parametrize("mode", MODES, ids=oct)
def test_a_state_folder_that_other_users_may_change_is_reported_and_refused(
    mode: int, tmp_path: Path, tried: Tried
) -> None:
    tried(2)
    state = tmp_path / "state"
    Ledger(state).close()
    state.chmod(mode)
    assert next((one.mark for one in state_folder_findings(state)), None) == MODES[mode]
    if MODES[mode] is Mark.FAILED:
        with pytest.raises(LedgerError, match="is writable by every user; nothing was submitted"):
            submit(tmp_path, site_at(tmp_path / "work"), state)
        assert list((state / "spool").iterdir()) == [] and not (tmp_path / "work").exists()


@as_root
def test_a_state_folder_of_another_user_is_reported_and_refused(tmp_path: Path, tried: Tried) -> None:
    tried(2)
    state = tmp_path / "state"
    Ledger(state).close()
    os.chown(state, OTHER, -1)
    (found,) = state_folder_findings(state)
    assert found.mark is Mark.FAILED and found.do.startswith("Name another folder")
    with pytest.raises(LedgerError, match=f"belongs to another user .uid {OTHER}"):
        submit(tmp_path, site_at(tmp_path / "work"), state)


def test_a_locked_ledger_says_that_it_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_LOCKED_SECONDS", 0.2)
    ledger, other = Ledger(tmp_path), sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LedgerError, match="another process has kept it locked") as caught:
        ledger.record_sent("tok")
    assert "disk full" not in str(caught.value)
    other.execute("ROLLBACK")
    other.close()
    ledger.close()


def test_a_second_part_of_a_download_is_a_new_file_that_follows_no_link(tmp_path: Path, tried: Tried) -> None:
    """Its name cannot be known in advance, and a file or link that has it is not opened."""
    precious, folder = tmp_path / "precious", os.open(tmp_path, os.O_RDONLY)
    precious.write_text("precious")
    first, held = _open_part(folder, "large.root")  # this process holds the lock
    names = {first}
    for _ in range(20):
        tried(1)
        name, file = _open_part(folder, "large.root")
        assert name not in names and name.endswith(".once.part")
        names.add(name)
        file.close()
    held.close()
    (tmp_path / first).unlink()
    (tmp_path / first).symlink_to(precious)
    name, file = _open_part(folder, "large.root")
    assert name not in names
    file.write(b"downloaded")
    file.close()
    os.close(folder)
    assert precious.read_text() == "precious" and _part_name("large.root") == first
