"""The recorded output of squeue, sacct and sbatch (tests/cases/slurm, one file for each case), and what it means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest

import tests
from scheduler.batch.base import find
from scheduler.batch.indices import read_indices, write_indices
from scheduler.batch.outcome import Accepted, Outcome, Refused, Unknown
from scheduler.batch.slurm.states import STATES
from scheduler.job.evidence import Observation
from scheduler.job.state import Cause, JobState
from tests.batch.counts import EVERY

SLURM = find("slurm")
CASES = {path.stem: json.loads(path.read_text()) for path in (tests.CASES / "slurm").glob("*.json")}
LIVE, HISTORY, SUBMIT = (sorted(n for n, c in CASES.items() if c["reads"] == w) for w in ("squeue", "sacct", "sbatch"))
Attributes = dict[str, dict[str, Any]]
"""Batch name and index → attributes of the observation, as the cases write them."""


def attributes(found: Mapping[tuple[str, int], Observation], expected: Attributes) -> Attributes:
    """The observations in the form of a case: only the attributes that the case has."""
    as_text = {f"{name} {index}": one for (name, index), one in found.items()}
    return {key: {name: _plain(s, name) for name in expected.get(key, ["state"])} for key, s in as_text.items()}


def _plain(one: Observation, name: str) -> Any:
    value = getattr(one, name)
    if isinstance(value, (JobState, Cause)):
        return value.word
    return int(value.timestamp()) if isinstance(value, datetime) else value


@pytest.mark.parametrize("case", LIVE)
def test_squeue_output_is_read_as_recorded(case: str) -> None:
    found = SLURM.read_live(CASES[case]["lines"], EVERY)
    means = CASES[case]["means"]
    if CASES[case].get("others"):
        found = {key: one for key, one in found.items() if " ".join(map(str, key)) in means}
    assert attributes(found, means) == means


@pytest.mark.parametrize("case", HISTORY)
def test_sacct_output_is_read_as_recorded(case: str) -> None:
    found = SLURM.read_history(CASES[case]["lines"], CASES[case]["names"], EVERY)
    assert attributes(found, CASES[case]["means"]) == CASES[case]["means"]


@pytest.mark.parametrize("case", LIVE)
def test_the_order_of_squeue_lines_does_not_matter(case: str) -> None:
    lines = CASES[case]["lines"]
    assert SLURM.read_live(lines[::-1], EVERY) == SLURM.read_live(lines, EVERY)


@pytest.mark.parametrize("case", HISTORY)
def test_the_order_of_sacct_rows_does_not_matter(case: str) -> None:
    lines, names = CASES[case]["lines"], CASES[case]["names"]
    assert SLURM.read_history(lines[::-1], names, EVERY) == SLURM.read_history(lines, names, EVERY)


@pytest.mark.parametrize("case", SUBMIT)
def test_sbatch_output_is_read_as_recorded(case: str) -> None:
    words, code = CASES[case]["words"], CASES[case]["exit_code"]
    outcome = SLURM.read_submit(code, words)
    expected = CASES[case]["outcome"]
    outcomes: dict[str, Outcome] = {
        "unknown": Unknown(words, code),
        "refused": Refused(words.replace("\r", "\n").strip(), code),
    }
    assert outcome == (Accepted(expected["accepted"]) if isinstance(expected, dict) else outcomes[expected])


def test_every_state_of_slurms_manual_is_known() -> None:
    base = (
        "BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PENDING PREEMPTED RUNNING SUSPENDED"
        " TIMEOUT"
    )
    flags = (
        "COMPLETING CONFIGURING LAUNCH_FAILED POWER_UP_NODE RECONFIG_FAIL REQUEUED REQUEUE_FED REQUEUE_HOLD RESIZING"
        " EXPEDITING RESV_DEL_HOLD REVOKED SIGNALING SPECIAL_EXIT STAGE_OUT STOPPED UPDATE_DB"
    )
    assert set(STATES) == {*base.split(), *flags.split()}


def test_no_flag_is_a_final_state() -> None:
    base = {"CANCELLED", "COMPLETED", "FAILED", "TIMEOUT", "DEADLINE", "OUT_OF_MEMORY", "NODE_FAIL", "BOOT_FAIL"}
    assert {word for word, (state, _) in STATES.items() if state.final} == {*base, "PREEMPTED"}


@pytest.mark.parametrize(
    ("words", "none"),
    [
        ("Slurm accounting storage is disabled", True),
        ("sacct: command not found", True),
        ("sacct: error: slurm_persist_conn_open_without_init: failed to open persistent connection", False),
        ("sacct: error: Problem talking to the database: Connection refused", False),
        ("", False),
    ],
)
def test_a_site_without_accounting_is_distinguished_from_one_whose_accounting_is_down(words: str, none: bool) -> None:
    assert SLURM.no_history(words) is none


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0-3,7", [0, 1, 2, 3, 7]), ("[1-9:2%4]", [1, 3, 5, 7, 9]), ("5", [5]), ("[32-34]", [32, 33, 34]), ("N/A", []),
        ("", []), ("rest", []), ("3-5%2", [3, 4, 5]), ("1-2,x,4", [1, 2, 4]),
    ],
)  # fmt: skip
def test_array_expressions_are_read(text: str, numbers: list[int]) -> None:
    assert read_indices(text, below=100) == numbers


def test_array_expressions_are_written_in_their_shortest_form() -> None:
    assert write_indices([7, 0, 1, 2, 3]) == "0-3,7"
    assert read_indices(write_indices(range(0, 1000, 3)), below=1000) == list(range(0, 1000, 3))
