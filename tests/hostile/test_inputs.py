"""Pipes, devices, directories and endless files where a user names a file: refused at once, in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Tried = Callable[[int], None]
KINDS = ("pipe", "device", "link to a device", "directory", "huge", "socket", "nothing")


def made(kind: str, path: Path) -> Path:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        return Path("/dev/zero")
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    elif kind == "directory":
        path.mkdir()
    elif kind == "huge":
        path.touch()
        os.truncate(path, 6 << 30)
    elif kind == "socket":
        import socket

        with socket.socket(socket.AF_UNIX) as one:
            one.bind(os.path.relpath(path))
    return path


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ok.sh").write_text("true\n")
    (tmp_path / "ok.yaml").write_text("job: {type: script, script_path: ok.sh}\n")
    yield tmp_path


def run(room: Path, *arguments: str, state: str = "state") -> tuple[int, str]:
    """The exit code and the error output of the command, which must end by itself and without a traceback."""
    environment = {**os.environ, "SCHEDULER_STATE_DIR": str(room / state), "HOME": str(room)}
    command = [sys.executable, "-m", "scheduler.cli", *arguments]
    # 1.5 GB of address space: a program that reads /dev/zero to its end fails here, instead of filling the memory
    limited = ["sh", "-c", 'ulimit -v 1500000; exec "$@"', "sh", *command]
    done = subprocess.run(limited, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
    error = done.stderr.decode()
    assert "Traceback" not in error, error
    return done.returncode, error.strip()


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_file_or_site_file_that_is_no_regular_file_is_refused(kind: str, room: Path, tried: Tried) -> None:
    path = made(kind, room / "x.yaml")
    for arguments in (("render", str(path), "--site", "local"), ("render", "ok.yaml", "--site", str(path))):
        tried(1)
        code, error = run(room, *arguments)
        assert code == 1 and len(error.splitlines()) == 1 and str(path) in error, error


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "huge"])
def test_scripts_inputs_and_templates_that_are_no_regular_files_are_refused(
    kind: str, room: Path, tried: Tried
) -> None:
    (room / "folder").mkdir()
    path = made(kind, room / "folder/x.sh")
    inside = "folder" if kind not in ("device", "directory", "nothing") else str(path)
    jobs = [f"type: script, script_path: '{path}'", f"type: script, script_path: ok.sh, template: '{path}'"]
    jobs += [f"type: script, script_path: ok.sh, input_files: ['{inside}']"] if kind != "directory" else []
    for job in jobs:
        tried(1)
        (room / "job.yaml").write_text(f"job: {{{job}}}\n")
        code, error = run(room, "submit", "job.yaml", "--site", "local")
        assert code == 1 and len(error.splitlines()) == 1, (job, error)
    spool = room / "state/spool"
    assert not spool.exists() or list(spool.iterdir()) == []


def test_a_link_that_leads_back_to_its_folder_is_refused(room: Path, tried: Tried) -> None:
    tried(1)
    (room / "folder/deep").mkdir(parents=True)
    (room / "folder/deep/up").symlink_to("..")
    (room / "job.yaml").write_text("job: {type: script, script_path: ok.sh, input_files: [folder]}\n")
    code, error = run(room, "submit", "job.yaml", "--site", "local")
    assert code == 1 and "a link leads back to a folder that contains it" in error


def test_the_first_line_of_a_script_is_read_in_bounded_memory(room: Path, tried: Tried) -> None:
    tried(1)
    path = made("huge", room / "x.sh")
    (room / "job.yaml").write_text(f"job: {{type: script, script_path: '{path}'}}\n")
    assert run(room, "render", "job.yaml", "--site", "local") == (0, "")


def test_a_huge_function_file_is_refused(room: Path, tried: Tried) -> None:
    tried(1)
    made("huge", room / "x.py")
    (room / "job.yaml").write_text("job: {type: function, function: 'x.py:f'}\n")
    code, error = run(room, "render", "job.yaml", "--site", "local")
    assert code == 1 and "is larger than 16 MiB" in error


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "nothing"])
def test_a_ledger_that_is_no_regular_file_or_no_database_is_an_error(kind: str, room: Path, tried: Tried) -> None:
    tried(2)
    (room / "state").mkdir()
    path = made(kind, room / "state/ledger.sqlite")
    if kind != "device":
        code, error = run(room, "status")
        assert code == 1 and len(error.splitlines()) == 1 and str(path) in error, error
    code, error = run(room, "status", state="state/ledger.sqlite")
    assert code == 1 or kind in ("directory", "device"), error


COMMANDS = ["status", "sites", "check local", "render ok.yaml -s local", "submit ok.yaml -s local", "wait", "collect",
            "cancel --all --yes", "logs x", "sites show local", "retry x", "check ./here.yaml", "--help"]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_a_current_directory_that_is_gone_is_no_traceback(command: str, room: Path, tried: Tried) -> None:
    tried(1)
    gone = room / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    try:
        code, error = run(room, *command.split())
    finally:
        os.chdir(room)
    words = command.split()
    if words[0] in ("render", "submit") or "./here.yaml" in words:
        assert code == 1 and "the current directory no longer exists" in error
    elif words[0] in ("status", "sites", "check", "--help", "wait"):
        assert "current directory" not in error
