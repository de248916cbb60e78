"""The local transport, beyond the promises of every transport: it leaves no processes and no open files."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from scheduler.errors import TimedOut
from scheduler.transports.base import Program
from scheduler.transports.local.transport import LocalTransport


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def exits(pid: int, seconds: float = 120) -> bool:
    deadline = time.monotonic() + seconds
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_running(pid)


def test_a_program_is_killed_with_its_children_at_the_timeout() -> None:
    output: list[bytes] = []
    program = Program("family", "sleep 600 & echo $!; sh -c 'echo $$; sleep 600'; echo not here")
    with pytest.raises(TimedOut):
        LocalTransport().run(program, stdout=output.append, timeout=5)
    children = [int(word) for word in b"".join(output).split()]
    assert len(children) == 2
    assert all(exits(pid) for pid in children)


def test_a_program_keeps_running_when_its_caller_is_interrupted(tmp_path: Path) -> None:
    """As when a connection is lost: a submission that has started must be able to finish."""
    done = tmp_path / "done"
    program = Program("submission", "trap '' PIPE HUP; echo started; sleep 0.5; echo id; touch \"$1\"")

    def interrupt(piece: bytes) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LocalTransport().run(program, [str(done)], stdout=interrupt)
    deadline = time.monotonic() + 600
    while not done.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_runs_leave_no_process_thread_or_open_file() -> None:
    transport = LocalTransport()
    transport.run(Program("warm", "true"))
    files, threads, children = open_files(), threading.active_count(), _children()
    for _ in range(20):
        transport.run(Program("cat", "cat"), stdin=b"x" * 100_000)
    assert open_files() == files
    assert threading.active_count() == threads
    assert _children() <= children


def _children() -> set[str]:
    """The children of this process, zombies included."""
    threads = Path("/proc/self/task").iterdir()
    return {child for thread in threads for child in (thread / "children").read_text().split()}


def test_a_program_runs_in_its_own_session() -> None:
    reply = LocalTransport().run(Program("session", "ps -o sid= -p $$"))
    assert int(reply.out) != os.getsid(0)


def test_without_a_home_directory_a_program_runs_in_the_root_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nowhere")
    assert LocalTransport().run(Program("pwd", "pwd")).out == "/\n"
