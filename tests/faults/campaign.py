"""A small campaign driven through faults, and the counts taken after it from what the payloads recorded."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scheduler import Job, JobState, JobType, OutputError, Resources, Runner, TransportError, WaitTimeout

_PAYLOAD = """#!/bin/sh
echo "$1" >>"$RUNS/$1"
head -c 70000 /dev/zero | tr '\\0' "$1" >out.txt
[ "$1" -ne 2 ] || exit 3
"""
JOBS = 4
"""Elements 0 to 2 are an array; 3 asks for something else. Number 2 fails."""


@dataclass(frozen=True)
class Counts:
    """What a campaign came to."""

    submitted: int
    lost: int
    twice: int
    false_states: int
    broken_outputs: int

    @property
    def clean(self) -> bool:
        """Every job ran exactly once, its state is true, its output is whole."""
        return not (self.lost or self.twice or self.false_states or self.broken_outputs)


def make_jobs(folder: Path, runs: str) -> list[Job]:
    """The jobs; each appends a line to a file of its own in `runs`, a folder over there."""
    script = folder / "payload.sh"
    script.write_text(_PAYLOAD)
    return [
        Job(
            f"job {number}",
            JobType.SCRIPT,
            script_path=script,
            arguments=[number],
            env_vars={"RUNS": runs},
            working_dir=folder / f"home {number}",
            output_files=["out.txt"],
            resources=Resources(walltime="5m" if number < JOBS - 1 else "6m"),
        )
        for number in range(JOBS)
    ]


def drive(runner: Runner, jobs: Sequence[Job], *, seconds: float = 120.0) -> None:
    """What a user does: the same two calls again, until they return."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            runner.submit(jobs)
            runner.wait(jobs, timeout=10)
            return
        except (TransportError, OutputError, WaitTimeout):
            continue
    raise AssertionError(
        f"not done after {seconds:g} s: {[(str(j.status), j.status.reason) for j in jobs]} {runner.trouble}"
    )


def count(jobs: Sequence[Job], recorded: dict[str, int]) -> Counts:
    """The counts, from how often each payload says that it was run."""
    times = [recorded.get(str(number), 0) for number in range(len(jobs))]
    expected = [JobState.FAILED if number == 2 else JobState.COMPLETED for number in range(len(jobs))]
    return Counts(
        submitted=len(jobs),
        lost=times.count(0),
        twice=sum(n > 1 for n in times),
        false_states=sum(job.state is not state for job, state in zip(jobs, expected, strict=True)),
        broken_outputs=sum(not _whole(job, number) for number, job in enumerate(jobs)),
    )


def _whole(job: Job, number: int) -> bool:
    out = Path(job.working_dir, "out.txt")
    return out.is_file() and out.read_text() == str(number) * 70000 and not list(out.parent.glob(".*.part"))
