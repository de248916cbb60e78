"""What the screen is spared: escapes, control characters, markup, colour where there is no terminal, walls of text."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from scheduler.cli.screen import console

from .desk import COMMAND, Desk

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
def hostile(desk: Desk) -> Desk:
    """A desk with a job file whose job has a hostile name and says hostile things."""
    desk.write("job.sh", HOSTILE_JOB)
    desk.write("job.yaml", HOSTILE_FILE)
    return desk


def is_harmless(text: str) -> bool:
    """A terminal would only show it."""
    return all(character.isprintable() or character in "\n\t" for character in text)


def on_terminal(desk: Desk, *words: str, columns: int = 100) -> str:
    """All that a terminal of that width is sent by the command."""
    ours, theirs = pty.openpty()
    environment = {**desk.environment, "COLUMNS": str(columns), "LINES": "50"}
    with subprocess.Popen(
        [COMMAND, *words], stdin=theirs, stdout=theirs, stderr=theirs, cwd=desk.folder, env=environment
    ):
        os.close(theirs)
        said = b""
        try:
            while piece := os.read(ours, 1 << 16):
                said += piece
        except OSError:  # EIO: the other side is closed
            pass
    os.close(ours)
    return said.decode()


def without_colour(text: str) -> str:
    """What is left without colours, the cursor's moves and the line feeds of a terminal."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")


def test_hostile_names_words_and_results_are_shown_as_escapes(hostile: Desk) -> None:
    ran = hostile.scheduler("run", "job.yaml", "-s", "local", code=3)
    lines = [
        hostile.scheduler(*words)
        for words in (
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


def test_hostile_words_do_not_reach_a_terminal_either(hostile: Desk) -> None:
    for words in (["run", "job.yaml", "-s", "local"], ["logs", HOSTILE_ID], ["render", "job.yaml", "-s", "local"]):
        said = on_terminal(hostile, *words)
        assert "\x1b]0" not in said and "\x07" not in said and "\x1b[2J" not in said and "\u202e" not in said
        assert is_harmless(without_colour(said))


def test_json_is_plain_ascii_and_strict(hostile: Desk) -> None:
    done = hostile.scheduler("run", "job.yaml", "-s", "local", "--json", code=3)
    assert done.out.isascii() and is_harmless(done.out)
    assert done.json[0]["job_id"] == HOSTILE_ID
    assert done.json[0]["results"]["nan"] == "nan"


def test_errors_name_hostile_things_harmlessly(hostile: Desk) -> None:
    done = hostile.scheduler("run", "\x1b[31mred\x1b[0m.yaml", "-s", "local", code=1)
    assert is_harmless(done.err) and "\\x1b[31mred" in done.err
    assert is_harmless(hostile.scheduler("status", "\x1b[2J", code=1).err)


def test_on_a_terminal_there_is_a_bar_which_is_gone_in_the_end(desk: Desk) -> None:
    said = on_terminal(desk, "run", desk.sweep("good", "slow", count=2, outputs="[]"), "-s", "local")
    assert "━" in said and "/4" in without_colour(said) and "completed" in said
    after_the_bar = said.rpartition("\x1b[?25h")[2]  # the cursor is back
    assert "━" not in after_the_bar and "4 completed" in after_the_bar


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_table_fits_the_terminal_and_never_cuts_a_job_id(desk: Desk, columns: int) -> None:
    desk.scheduler("run", desk.sweep("good", "bad", outputs="[a-long-name-of-an-output.root]"), "-s", "local", code=3)
    lines = without_colour(on_terminal(desk, "status", columns=columns)).splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["job-good-0", "job-good-1", "job-bad-0", "job-bad-1"]
    assert max(map(len, lines[:5])) <= columns or columns == 40
    assert ("a-long-name-of-an-output.root" in "".join(lines)) == (columns == 200)


def test_many_jobs_are_no_wall_on_a_terminal_and_whole_elsewhere(desk: Desk) -> None:
    desk.write("job.sh", "#!/bin/sh\nexit $1\n")
    keys = "id: 'j{{ n }}'\njob: {type: script, script_path: job.sh, arguments: ['{{ 1 if n == 99 else 0 }}']}\n"
    desk.write("many.yaml", keys + "matrix: {n: 'range(0, 100)'}\n")
    desk.scheduler("run", "many.yaml", "-s", "local", code=3)
    assert len(desk.scheduler("status").lines) == 102
    lines = without_colour(on_terminal(desk, "status")).splitlines()
    assert len(lines) < 70 and any(line.startswith("j99 ") for line in lines)
    assert "40 of 100 jobs are not shown" in lines[0]


def test_what_is_cut_off_by_a_pager_is_no_error(desk: Desk) -> None:
    desk.scheduler("run", desk.sweep("good"), "-s", "local")
    command = f"'{COMMAND}' status | head -n 1; '{COMMAND}' status --json | true"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=desk.folder, env=desk.environment)
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


def test_a_screen_that_knows_ascii_only_is_no_error(desk: Desk) -> None:
    ascii_only = Desk(desk.folder, {**desk.environment, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    desk.write("job.sh", "#!/bin/sh\n")
    desk.write("é.yaml", "id: é\njob: {type: script, script_path: job.sh}\n")
    assert "\\xe9" in ascii_only.scheduler("run", "é.yaml", "-s", "local").out


def test_a_ledger_that_cannot_be_opened_is_an_error_without_a_traceback(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    lost = Desk(desk.folder, {**desk.environment, "SCHEDULER_STATE_DIR": str(tmp_path / "a file")})
    done = lost.scheduler("status", code=1)
    assert "SCHEDULER_STATE_DIR" in done.err and "Traceback" not in done.err


def test_ctrl_c_is_answered_with_what_becomes_of_the_jobs(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), console.on_interrupt("Interrupted. The jobs keep running."):
        raise KeyboardInterrupt
    assert "The jobs keep running" in capfd.readouterr().err
