"""What every batch system has: its files, the ids that users type, and the causes that it reads from a job's log."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from scheduler.batch.base import find, text_of
from scheduler.batch.shown_id import shown_id
from scheduler.job.state import Cause
from scheduler.site.packaged import packaged_folder
from scheduler.site.site import batch_systems

FUNCTIONS = (
    "batch_prepare", "batch_submit", "batch_id", "batch_submitted",
    "batch_live", "batch_history", "batch_cancel", "batch_check",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A job, as far as its id depends on it."""

    batch_system: str
    batch_id: str | None
    index: int
    in_array: bool


@pytest.mark.parametrize("name", batch_systems())
def test_every_batch_system_has_a_template_and_the_functions_of_the_contract(name: str) -> None:
    assert find(name).name == name
    assert (packaged_folder("templates") / f"{name}.sh.j2").is_file()
    script = text_of(name, f"{name}.sh")
    assert [function for function in FUNCTIONS if f"\n{function}() {{" not in script] == []
    assert "\nunfinished='" in script
    assert all(text_of(name, file) for file in find(name).bundle_files)


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        (Row("slurm", "77", 0, False), "77"),
        (Row("slurm", "77", 3, True), "77_3"),
        (Row("slurm", "77;perlmutter", 0, False), "77"),
        (Row("slurm", "77;perlmutter", 12, True), "77_12"),
        (Row("pbs", "231.server", 0, False), "231.server"),
        (Row("pbs", "231[].server", 3, True), "231[3].server"),
        (Row("shell", "abcdefghjk-0", 0, False), "abcdefghjk-0"),
        (Row("shell", "abcdefghjk-0", 3, True), "abcdefghjk-0"),
        (Row("slurm", None, 3, True), ""),
        (Row("", "77", 3, True), "77"),  # a ledger that does not know the batch system
    ],
)
def test_an_id_is_shown_as_the_commands_of_the_batch_system_accept_it(row: Row, shown: str) -> None:
    assert shown_id(row) == shown


CANCELLED = "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-01T00:05:00 ***"


@pytest.mark.parametrize(
    ("name", "log", "cause"),
    [
        ("slurm", [CANCELLED], Cause.CANCELLED),
        ("slurm", [CANCELLED.replace(" ***", " DUE TO TIME LIMIT ***")], Cause.TIME_LIMIT),
        ("slurm", [CANCELLED.replace(" ***", " DUE TO PREEMPTION ***")], Cause.PREEMPTED),
        ("slurm", [CANCELLED.replace(" ***", " DUE TO NODE FAILURE ***")], Cause.NODE_FAILURE),
        ("slurm", ["StepId=7.batch exceeded memory limit (2 > 1), being killed", CANCELLED], Cause.OUT_OF_MEMORY),
        ("slurm", ["slurmstepd: error: Detected 1 oom_kill event in StepId=7.batch"], Cause.OUT_OF_MEMORY),
        ("slurm", [CANCELLED.replace(" ***", " DUE TO JOB REQUEUE ***")], None),  # about an earlier run
        ("slurm", ["PBS: job killed: walltime 3605 exceeded limit 3600"], None),
        ("pbs", ["=>> PBS: job killed: walltime 3605 exceeded limit 3600"], Cause.TIME_LIMIT),
        ("pbs", ["=>> PBS: job killed: mem 2097152kb exceeded limit 1048576kb"], Cause.OUT_OF_MEMORY),
        ("pbs", ["Cgroup memory limit exceeded: Killed process 7"], Cause.OUT_OF_MEMORY),
        ("pbs", ["slurmstepd: error: Detected 1 oom_kill event"], None),
        ("shell", ["hello"], None),
        ("shell", [], None),
    ],
)
def test_a_batch_system_reads_the_causes_that_it_writes_into_a_log(name: str, log: list[str], cause: Cause) -> None:
    assert find(name).log_cause(log) is cause


@pytest.mark.parametrize("name", batch_systems())
def test_the_causes_that_a_pack_writes_are_read_on_every_batch_system(name: str) -> None:
    line = "scheduler: job 3 of 7 CANCELLED AT 2026-01-01T00:05:00"
    assert find(name).log_cause([line]) is Cause.CANCELLED
    assert find(name).log_cause([f"{line} DUE TO TIME LIMIT"]) is Cause.TIME_LIMIT


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("slurm", CANCELLED),
        ("slurm", "srun: error: n1: task 0: Exited with exit code 3"),
        ("pbs", "=>> PBS: job killed: walltime 3605 exceeded limit 3600"),
        ("shell", "scheduler: job 3 of 7 CANCELLED AT 2026-01-01T00:05:00"),
    ],
)
def test_only_lines_of_the_batch_system_and_of_our_scripts_are_evidence(name: str, line: str) -> None:
    others = ["script.sh: line 84: wait: pid 4711 is not a child of this shell", "module: loaded", "Terminated"]
    assert find(name).own_lines([others[0], line, *others[1:]]) == [line]
