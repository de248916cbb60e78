"""What the local transport promises beyond the promises of every transport: it leaves no litter on this machine."""

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


def ends(pid: int, seconds: float = 120) -> bool:
    deadline = time.monotonic() + seconds
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_running(pid)


def test_a_program_given_up_is_killed_with_all_its_children() -> None:
    heard: list[bytes] = []
    program = Program("family", "sleep 600 & echo $!; sh -c 'echo $$; sleep 600'; echo not here")
    with pytest.raises(TimedOut):
        LocalTransport().run(program, stdout=heard.append, timeout=5)
    children = [int(word) for word in b"".join(heard).split()]
    assert len(children) == 2
    assert all(ends(pid) for pid in children)


def test_a_program_whose_caller_is_interrupted_goes_on(tmp_path: Path) -> None:
    """As over a line that is cut: a submission that has begun must be able to finish."""
    done = tmp_path / "done"
    program = Program("submission", "trap '' PIPE HUP; echo begun; sleep 0.5; echo id; touch \"$1\"")

    def interrupt(piece: bytes) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LocalTransport().run(program, [str(done)], stdout=interrupt)
    deadline = time.monotonic() + 120
    while not done.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_no_process_and_no_file_stays_behind() -> None:
    transport = LocalTransport()
    transport.run(Program("warm", "true"))
    files, threads, children = open_files(), threading.active_count(), _children()
    for _ in range(20):
        transport.run(Program("cat", "cat"), stdin=b"x" * 100_000)
    assert open_files() == files
    assert threading.active_count() == threads
    assert _children() <= children


def _children() -> set[str]:
    """This process's children, those among them that have ended and were not waited for."""
    threads = Path("/proc/self/task").iterdir()
    return {child for thread in threads for child in (thread / "children").read_text().split()}


def test_a_program_has_a_session_of_its_own() -> None:
    reply = LocalTransport().run(Program("session", "ps -o sid= -p $$"))
    assert int(reply.out) != os.getsid(0)


def test_a_home_that_is_not_there_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nowhere")
    assert LocalTransport().run(Program("pwd", "pwd")).out == "/\n"
