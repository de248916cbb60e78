"""The end of a file is read in a few kilobytes, on this machine and on the cluster."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from scheduler.engine import programs
from scheduler.engine.file_end import end_of_file, last_lines, window
from scheduler.transports.local.transport import LocalTransport

PROGRESS = b" 50%\r" * 4_000_000 + b"99%\r\n"
CONTENTS = {
    "one line of 20 MB": (b"x" * 20_000_000, 1),
    "a progress bar of 20 MB": (PROGRESS, 1),
    "empty lines": (b"\n" * 20_000_000, 50),
    "short": (b"a\nb\r\nc", 3),
    "empty": (b"", 0),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_the_last_lines_cost_little_memory_locally_and_remotely(kind: str, tmp_path: Path) -> None:
    content, count = CONTENTS[kind]
    (tmp_path / "0").mkdir()
    path = tmp_path / "0/stdout.0"
    path.write_bytes(content)
    tracemalloc.start()
    local = last_lines(end_of_file(path, window(50)), 50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 << 20
    arguments = [str(tmp_path), "0", "stdout", "50", str(window(50))]
    reply = LocalTransport().run(programs.program("tail"), arguments)
    assert reply.exit_code == 0 and len(reply.stdout) <= window(50)
    assert last_lines(reply.stdout, 50) == local and len(local) == count


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"10%\r20%\r\n", ["20%"]), (b"a\r\nb\r\n", ["a", "b"]), (b"one\n\ntwo", ["one", "", "two"]), (b"\n", [""]),
        (b"\xff\x85 \xe2\x80\xa8\n", ["\\xff\\x85 \u2028"]),
    ],
)  # fmt: skip
def test_lines_end_with_newlines_and_show_what_a_terminal_shows(text: bytes, lines: list[str]) -> None:
    assert last_lines(text, 50) == lines
    assert last_lines(text, 1) == lines[-1:]


def test_what_is_not_a_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    import os

    (tmp_path / "0").mkdir()
    os.mkfifo(tmp_path / "0/stdout.0")
    reply = LocalTransport().run(programs.program("tail"), [str(tmp_path), "0", "stdout", "50"], timeout=600)
    assert (reply.exit_code, reply.stdout) == (0, b"")
