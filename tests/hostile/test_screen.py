"""Output of jobs and clusters reaches a terminal as text: no escape moves its cursor, renames it or hides a line."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.cli.screen.console import printable

from .values import HARD

Tried = Callable[[int], None]
ESCAPES = [
    "\x1b[2J", "\x1b]0;owned\x07", "\x1b]52;c;ZWNobyBoaQ==\x07", "\x1bP$q\x1b\\", "\x9b31m", "\r", "\b\b\b",
    "\x00", "\x7f", "\u202egnp.exe", "\u2066", "\ufeff", "\x1b[6n", "\x05", "\x0e", "\u2028", "\x85", "[bold red]",
    "[link=http://x]y[/link]", ":smile:", "\ud800",
]  # fmt: skip
PRINT = """\
import sys
from scheduler.cli.screen import console
text = sys.stdin.buffer.read().decode("utf-8", "surrogatepass")
console.print_line(text); console.print_message(text); console.print_error(text)
from scheduler.cli.screen.columns import column, print_columns
print_columns([column("A", [text, "b"], may_be_cut=True), column(text, ["c", "d"])])
"""


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.lists(st.sampled_from([*ESCAPES, *HARD]) | st.text(max_size=8), max_size=6).map("".join))
def test_any_text_is_made_printable(text: str, tried: Tried) -> None:
    tried(1)
    assert printable(text).isprintable()
    assert all(c.isprintable() or c in "\n\t" for c in printable(text, keep="\n\t"))


def test_a_real_terminal_receives_only_escapes_of_scheduler(tried: Tried) -> None:
    """All output except for colours, which rich adds."""
    text = " ".join(ESCAPES)
    tried(len(ESCAPES))
    main, side = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "400"}
    command = [sys.executable, "-c", f"import sys; {_errors()}\n{PRINT}"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=side, stderr=side, env=environment)
    os.close(side)
    assert process.stdin is not None
    process.stdin.write(text.encode("utf-8", "surrogatepass"))
    process.stdin.close()
    said = _all(main).decode("utf-8", "replace")
    assert process.wait() == 0
    import re

    plain = re.sub("\x1b\\[[0-9;]*m", "", said)
    assert [c for c in plain if not c.isprintable() and c not in "\r\n\t"] == []
    assert "[bold red]" in plain and ":smile:" in plain


def _errors() -> str:
    return "[s.reconfigure(errors='backslashreplace') for s in (sys.stdout, sys.stderr)]"


def _all(main: int) -> bytes:
    said = b""
    while True:
        try:
            piece = os.read(main, 1 << 16)
        except OSError:  # the other end is closed
            return said
        if not piece:
            return said
        said += piece


@pytest.mark.parametrize("kind", ["stdout", "stderr"])
def test_log_lines_of_a_job_are_shown_with_their_escapes_visible(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tried: Tried
) -> None:
    from scheduler import Job, JobType, Runner, Site
    from scheduler.cli.commands.logs import logs

    tried(len(ESCAPES))
    monkeypatch.chdir(tmp_path)
    lines = [one for one in ESCAPES if "\ud800" not in one]
    (tmp_path / "text").write_text("\n".join(lines))
    (tmp_path / "a.sh").write_text(f"cat {tmp_path}/text {'>&2' if kind == 'stderr' else ''}\n")
    keys = {
        "transport": "local",
        "scheduler": "shell",
        "work_dir": str(tmp_path / "w"),
        "limits": {"poll_seconds": 0.1},
    }
    with Runner(Site.from_mapping(keys, name="here")) as runner:
        job = Job("b0", JobType.SCRIPT, script_path="a.sh")
        runner.submit([job])
        runner.wait([job], timeout=600)
    capfd.readouterr()
    assert logs("b0", kind, site=None, campaign=None, lines=1000, attempt=None) == 0
    shown = capfd.readouterr().out
    assert all(c.isprintable() or c in "\n\t" for c in shown)
    assert "\\x1b]0;owned\\x07" in shown and "[bold red]" in shown
