"""Output is safe and readable: no escapes or markup of jobs, no colours without a terminal, no endless tables."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from scheduler.cli.screen import console

from .workspace import COMMAND, Workspace

HOSTILE_ID = "h\x1b]0;owned\x07\n\u202egnp;$(touch pwned) 'q' [red]x[bold] \x9b31m é 日本"
SHOWN_ID = "h\\x1b]0;owned\\x07\\n\\u202egnp;$(touch pwned) 'q' [red]x[bold] \\x9b31m é 日本"
HOSTILE_JOB = r"""#!/bin/bash
printf 'a\033[2J\033[31mred\033[0m \377 [red]m[bold]\n'
printf '\033]0;owned\007\rlast words\n' >&2
printf '{"k\\u001b[31m": "v\\u001b[2Jw", "[red]": 1.5, "nan": NaN}' >result.json
exit 7
"""
HOSTILE_FILE = r"""
id: "h\e]0;owned\a\n\u202egnp;$(touch pwned) 'q' [red]x[bold] \u009b31m é 日本"
campaign: "[bold]scan"
job: {type: script, script_path: job.sh}
"""


@pytest.fixture
def hostile(workspace: Workspace) -> Workspace:
    """A workspace with a job file whose job has a hostile id and prints escape sequences."""
    workspace.write("job.sh", HOSTILE_JOB)
    workspace.write("job.yaml", HOSTILE_FILE)
    return workspace


def is_harmless(text: str) -> bool:
    """The text has no character that a terminal acts on."""
    return all(character.isprintable() or character in "\n\t" for character in text)


def on_terminal(workspace: Workspace, *arguments: str, columns: int = 100) -> str:
    """All bytes that the command sends to a terminal of this width."""
    main, side = pty.openpty()
    environment = {**workspace.environment, "COLUMNS": str(columns), "LINES": "50"}
    with subprocess.Popen(
        [COMMAND, *arguments], stdin=side, stdout=side, stderr=side, cwd=workspace.folder, env=environment
    ):
        os.close(side)
        sent = b""
        try:
            while piece := os.read(main, 1 << 16):
                sent += piece
        except OSError:  # EIO: the command has closed its side
            pass
    os.close(main)
    return sent.decode()


def without_colour(text: str) -> str:
    """The text without colours, cursor movements and carriage returns."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")


def test_control_characters_in_ids_output_and_results_are_printed_as_escapes(hostile: Workspace) -> None:
    ran = hostile.scheduler("run", "job.yaml", "-s", "local", code=3)
    lines = [
        hostile.scheduler(*arguments)
        for arguments in (
            ["status"],
            ["status", "--history", HOSTILE_ID],
            ["logs", HOSTILE_ID],
            ["logs", HOSTILE_ID, "--stderr"],
            ["submit", "job.yaml", "-s", "local"],
        )
    ]
    assert [is_harmless(done.out + done.err) for done in (ran, *lines)] == [True] * 6
    assert ran.lines[1].startswith(SHOWN_ID) and "v\\x1b[2Jw" in ran.out and "k\\x1b[31m" in ran.out
    assert "[red]" in ran.lines[0] and "[bold]scan" in ran.lines[-1]
    assert lines[2].out == "a\\x1b[2J\\x1b[31mred\\x1b[0m \\xff [red]m[bold]\n"
    assert lines[3].lines[-1] == "last words"
    assert not (hostile.folder / "pwned").exists()


def test_control_characters_do_not_reach_a_terminal(hostile: Workspace) -> None:
    for arguments in (["run", "job.yaml", "-s", "local"], ["logs", HOSTILE_ID], ["render", "job.yaml", "-s", "local"]):
        sent = on_terminal(hostile, *arguments)
        assert "\x1b]0" not in sent and "\x07" not in sent and "\x1b[2J" not in sent and "\u202e" not in sent
        assert is_harmless(without_colour(sent))


def test_json_is_ascii_and_has_nan_as_text(hostile: Workspace) -> None:
    done = hostile.scheduler("run", "job.yaml", "-s", "local", "--json", code=3)
    assert done.out.isascii() and is_harmless(done.out)
    assert done.json[0]["job_id"] == HOSTILE_ID
    assert done.json[0]["results"]["nan"] == "nan"


def test_control_characters_in_errors_are_printed_as_escapes(hostile: Workspace) -> None:
    done = hostile.scheduler("run", "\x1b[31mred\x1b[0m.yaml", "-s", "local", code=1)
    assert is_harmless(done.err) and "\\x1b[31mred" in done.err
    assert is_harmless(hostile.scheduler("status", "\x1b[2J", code=1).err)


def test_on_a_terminal_there_is_a_progress_bar_which_is_removed_at_the_end(workspace: Workspace) -> None:
    workspace.end_slow_jobs()
    sent = on_terminal(workspace, "run", workspace.sweep("good", "slow", count=2, outputs="[]"), "-s", "local")
    assert "━" in sent and "/4" in without_colour(sent) and "completed" in sent
    after_the_bar = sent.rpartition("\x1b[?25h")[2]  # the cursor is visible again
    assert "━" not in after_the_bar and "4 completed" in after_the_bar


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_table_fits_the_terminal_and_never_cuts_a_job_id(workspace: Workspace, columns: int) -> None:
    workspace.scheduler(
        "run", workspace.sweep("good", "bad", outputs="[a-long-name-of-an-output.root]"), "-s", "local", code=3
    )
    lines = without_colour(on_terminal(workspace, "status", columns=columns)).splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["job-good-0", "job-good-1", "job-bad-0", "job-bad-1"]
    assert max(map(len, lines[:5])) <= columns or columns == 40
    assert ("a-long-name-of-an-output.root" in "".join(lines)) == (columns == 200)


def test_a_terminal_shows_60_jobs_and_a_pipe_gets_all(workspace: Workspace) -> None:
    workspace.write("job.sh", "#!/bin/sh\nexit $1\n")
    keys = "id: 'j{{ n }}'\njob: {type: script, script_path: job.sh, arguments: ['{{ 1 if n == 99 else 0 }}']}\n"
    workspace.write("many.yaml", keys + "matrix: {n: 'range(0, 100)'}\n")
    workspace.scheduler("run", "many.yaml", "-s", "local", code=3)
    assert len(workspace.scheduler("status").lines) == 102
    lines = without_colour(on_terminal(workspace, "status")).splitlines()
    assert len(lines) < 70 and any(line.startswith("j99 ") for line in lines)
    assert "40 of 100 jobs are not shown" in lines[0]


def test_a_pipe_that_is_closed_early_is_no_error(workspace: Workspace) -> None:
    workspace.scheduler("run", workspace.sweep("good"), "-s", "local")
    command = f"'{COMMAND}' status | head -n 1; '{COMMAND}' status --json | true"
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, cwd=workspace.folder, env=workspace.environment
    )
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


def test_an_ascii_terminal_gets_other_characters_as_escapes(workspace: Workspace) -> None:
    ascii_only = Workspace(workspace.folder, {**workspace.environment, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    workspace.write("job.sh", "#!/bin/sh\n")
    workspace.write("é.yaml", "id: é\njob: {type: script, script_path: job.sh}\n")
    assert "\\xe9" in ascii_only.scheduler("run", "é.yaml", "-s", "local").out


def test_a_ledger_that_cannot_be_opened_is_an_error_without_a_traceback(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    broken = Workspace(workspace.folder, {**workspace.environment, "SCHEDULER_STATE_DIR": str(tmp_path / "a file")})
    done = broken.scheduler("status", code=1)
    assert "SCHEDULER_STATE_DIR" in done.err and "Traceback" not in done.err


def test_ctrl_c_prints_what_happens_to_the_jobs(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), console.on_interrupt("Interrupted. The jobs keep running."):
        raise KeyboardInterrupt
    assert "The jobs keep running" in capfd.readouterr().err
