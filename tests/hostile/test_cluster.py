"""A cluster under an attacker's control, over real SSH: any bytes as an answer to any program.

Nothing is executed, no file is written outside the folders of the jobs, every job keeps a state, and the memory of the
process, which is measured, stays below 300 MB.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scheduler import JobState
from tests import ROOT
from tests.end_to_end.hostile import CANARY
from tests.transports import sshd

from .attacker import Attacker
from .test_replies import WORDS
from .values import HARD

Tried = Callable[[int], None]
MOST_MIB = 300
SEED = 20261128
STATES = {state.word for state in JobState}
END = "0 exit=0 signal= started=1 ended=2 host=n id=1 missing= cannot="


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacker]:
    if reason := sshd.why_not():
        pytest.skip(reason)
    attacker = Attacker(tmp_path_factory.mktemp("attacker"))
    yield attacker
    attacker.server.stop()


@pytest.fixture
def attacker(host: Attacker) -> Attacker:
    host.forget()
    return host


Attack = Callable[..., dict[str, Any]]


@pytest.fixture
def attack(attacker: Attacker, tmp_path: Path) -> Attack:
    """Runs steps in a process of its own, and checks what must hold whatever the host answers."""

    def run(*steps: str, system: str = "slurm", **plan: Any) -> dict[str, Any]:
        folder = tmp_path / "victim"
        folder.mkdir()
        asked = {"site": {**attacker.site(), "scheduler": system}, "steps": steps, **plan}
        done = subprocess.run(
            [sys.executable, "-m", "tests.hostile.victim"], cwd=folder, input=json.dumps(asked).encode(),
            env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": str(ROOT)}, capture_output=True,
            timeout=1500,
        )  # fmt: skip
        assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr.decode()[-4000:]
        found: dict[str, Any] = json.loads(done.stdout)
        assert found["peak"] < MOST_MIB, found
        assert {state.split(":")[0] for state in found["states"]} <= STATES
        assert {path.name for path in folder.iterdir()} <= {"a.sh", "state", "out"}
        assert not list(tmp_path.rglob(CANARY)) and not list(attacker.server.folder.rglob(CANARY))
        return found

    return run


def accepted(attacker: Attacker, count: int = 1) -> None:
    """The answer to a submission."""
    text = "folder\t/w/tok\n" + "".join(f"{first}\t0\t7\n" for first in range(count))
    attacker.answers("submit", text.encode())


def junk(dice: random.Random) -> bytes:
    words = dice.choices([*WORDS, *HARD, "tok", "7", "10", "_[0-4000000]", "FAILED", "9:9"], k=dice.randint(1, 12))
    return "".join(words).replace("\n", " ").encode("utf-8", "backslashreplace")


def lines(dice: random.Random, count: int) -> bytes:
    """Lines that begin as poll.sh's do, or not; some are cut in the middle of a character."""
    tags = [b"l ", b"l NAME|", b"h ", b"h 7|", b"e 0 0 ", b"e 0 ", b"g 0 0 ", b"i 0 0 ", b"b 0 ", b"live ", b"clock ",
            b"history ", b"missing ", b"", b"l NAME|0|7|", b"e 0 0 0 exit="]  # fmt: skip
    made = [dice.choice(tags) + junk(dice) for _ in range(count)]
    return b"\n".join(line[: dice.randint(0, len(line))] if dice.random() < 0.2 else line for line in made) + b"\n"


@pytest.mark.parametrize("system", ["slurm", "pbs", "shell"])
def test_thousands_of_hostile_lines_leave_every_job_with_a_state(
    system: str, attacker: Attacker, attack: Attack, tried: Tried
) -> None:
    dice, polls, each = random.Random(f"{SEED}{system}"), 20, 170
    accepted(attacker, 12)
    for _ in range(polls):
        attacker.answers("poll", b"live 0 \n" + lines(dice, each))
        tried(each)
    found = attack("submit", *["poll"] * polls, system=system, jobs=12)  # some stay unfinished
    assert found["outcomes"][0] == "ok" and found["longest"] < 1000


def test_any_answer_to_any_program_is_an_error_or_has_no_effect(
    attacker: Attacker, attack: Attack, tried: Tried
) -> None:
    dice = random.Random(SEED)
    names = ["submit", "check", "tail", "cancel", "manifest", "fetch"]
    steps = {"submit": "submit", "check": "check", "tail": "logs", "cancel": "cancel", "manifest": "collect"}
    for name in names:
        for _ in range(6):
            attacker.answers(name, b"folder\t/w/tok\n" + lines(dice, 20).replace(b" ", b"\t") + lines(dice, 20))
            tried(40)
    for _ in range(6):
        attacker.answers("poll", f"live 0 \ne 0 0 {END}\n".encode())
    order = [step for _ in range(6) for step in ("submit", "poll", *steps.values())]
    attack(*order)


BOMBS = {
    "48 bytes of squeue": "printf 'live 0 \\nl %s|[0-4000000]|7|PENDING||0|Priority\\n' $(cat ../name)",
    "ranges of squeue": "echo live 0; yes \"l $(cat ../name)|[0-4000000,0-3999999]|7|RUNNING|n|1|x\" | head -n 50000",
    "48 bytes of sacct": "printf 'live 0 \\nhistory 0 \\nh 7_[0-4000000]|%s|FAILED|1:0|n|1|2||1G\\n' $(cat ../name)",
    "rows of sacct": "echo live 0; yes 'h ||||||||' | head -c 7000000",
    "steps of sacct": "echo live 0; seq 300000 | sed 's/$/.batch|b|FAILED|1:0|n|1|2|3G|1G/; s/^/h /'",
    "empty lines": "yes '' | head -c 8000000",
    "one line": "printf 'l x|'; head -c 8000000 /dev/zero | tr '\\0' x",
    "characters of four bytes": "printf 'live 0 \\nh '; yes 🚀 | tr -d '\\n' | head -c 8000000",
    "bytes that are no text": "printf 'live 0 \\nh '; head -c 8000000 /dev/zero | tr '\\0' '\\377'",
    "end files": f"seq 100000 | sed 's/^/e 0 /; s/$/ {END}/' | head -c 8000000",
    "logs": "yes 'g 0 0 a line of a log' | head -c 8000000",
    "a list that has no end": "yes 'l other|0|7|RUNNING|n|1|x'",
    "an error that has no end": "yes an error >&2",
    "zeros that have no end": "cat /dev/zero",
}  # fmt: skip


def test_bombs_in_the_answer_to_a_poll_cost_little_memory(attacker: Attacker, attack: Attack, tried: Tried) -> None:
    accepted(attacker)
    for script in BOMBS.values():
        attacker.runs("poll", script)
        tried(1)
    found = attack("submit", *["poll"] * len(BOMBS))
    outcomes = dict(zip(BOMBS, found["outcomes"][1:], strict=True))
    assert [name for name, outcome in outcomes.items() if "no end" in name and "MiB" not in outcome] == []
    assert [
        outcome for outcome in outcomes.values() if not outcome.startswith(("ok", "TransportError", "ReplyTooLong"))
    ] == []


def test_a_line_of_two_megabytes_for_each_job_of_an_array_does_not_fill_the_ledger(
    attacker: Attacker, attack: Attack, tried: Tried
) -> None:
    tried(50)
    accepted(attacker)
    long = "$(head -c 100000 /dev/zero | tr '\\0' x)"
    row = f'echo "l $(cat ../name)|$n|7|PENDING||0|{long}"'
    end = f'echo "e 0 $n 0 exit=1 signal= started=1 ended=2 host={long} id=1 missing= cannot="'
    for line in (row, end):
        attacker.runs("poll", f"echo live 0; for n in $(seq 0 49); do {line}; done")
    found = attack("submit", "poll", "poll", jobs=50)
    assert found["outcomes"] == ["ok"] * 3
    assert found["ledger"] < 3 and found["longest"] < 1000
    assert set(found["states"]) == {"failed: exit code 1"}


LARGE = {
    "submit": "printf 'folder\\t/w/tok\\n0\\t1\\t'; head -c 60000000 /dev/zero | tr '\\0' e",
    "check": "printf 'clock\\t0\\t'; head -c 60000000 /dev/zero | tr '\\0' 9",
    "tail": "head -c 60000000 /dev/zero | tr '\\0' x",
}


def test_large_answers_to_other_programs_cost_little_memory(attacker: Attacker, attack: Attack, tried: Tried) -> None:
    """Each is below the limit of 64 MiB, so that all of it is received."""
    for name, script in LARGE.items():
        attacker.runs(name, script)
        tried(1)
    found = attack("submit", "check", "logs")
    assert found["outcomes"][1:] == ["ok", "ok"] and found["ledger"] < 2 and found["longest"] < 1000


LISTS = [
    "yes 'gone 0' | head -c 60000000; echo; echo files 0",
    "printf 'files 1\\n0\\t0\\0/\\0'; head -c 60000000 /dev/zero | tr '\\0' x; printf '\\0001\\n!\\n'",
    "printf 'bad 0 read '; head -c 60000000 /dev/zero | tr '\\0' '\\377'; echo; echo files 0",
]


def test_large_lists_of_outputs_cost_little_memory(attacker: Attacker, attack: Attack, tried: Tried) -> None:
    accepted(attacker)
    attacker.answers("poll", f"live 0 \ne 0 0 {END}\n".encode())
    for script in LISTS:
        attacker.runs("manifest", script)
        tried(1)
    found = attack("submit", "poll", *["collect"] * len(LISTS))
    assert ["list of outputs is not valid" in one for one in found["outcomes"]] == [False, False, True, True, False]
    assert found["states"][0].startswith("failed: bad output") and found["ledger"] < 2


def test_a_host_that_sends_a_byte_from_time_to_time_does_not_hold_a_command_for_ever(
    attacker: Attacker, attack: Attack, tried: Tried
) -> None:
    accepted(attacker)
    for where in ("", " >&2"):
        attacker.runs("poll", f"while printf x{where}; do sleep 0.1; done")
        tried(1)
    found = attack("submit", "poll", "poll", longest={"poll": 1.0})
    assert [one.split(":")[0] for one in found["outcomes"]] == ["ok", "TimedOut", "TimedOut"]
