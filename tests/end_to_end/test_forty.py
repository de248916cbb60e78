"""Forty jobs of each type, as arrays where the batch system has them: each ends as intended, whatever the others do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from job_payloads import CONTENT
from scheduler import Cause, JobState, Resources

from .job_kinds import kinds, why_missing
from .running import FinishedJobs, Jobs
from .sites import Target

TYPES = ("script", "function", "container from image")
ENDS = {2: "exit-3", 9: "no-output", 17: "killed", 25: "memory", 31: "memory", 39: "exit-3"}
"""The jobs that do not succeed, by number."""
EXPECTED = {
    "success": (JobState.COMPLETED, Cause.NONE, 0),
    "exit-3": (JobState.FAILED, Cause.EXIT_CODE, 3),
    "killed": (JobState.FAILED, Cause.SIGNAL, 137),
    "no-output": (JobState.FAILED, Cause.MISSING_OUTPUT, 0),
}


@pytest.fixture(scope="module")
def forties(target: Target, run_jobs: Callable[[Callable[[], Jobs]], FinishedJobs]) -> FinishedJobs:
    """All of them, submitted together."""

    def make() -> Jobs:
        jobs: Jobs = {}
        for minutes, kind in enumerate(TYPES, start=5):
            make_one = kinds(target).get(kind)
            if make_one is None:
                continue
            for number in range(40):
                jobs[f"{kind}-{number}"] = make_one(
                    f"{kind}-{number}",
                    how_of(number, target),
                    output_files=["*.root"],
                    resources=Resources(walltime=f"{minutes}m"),
                )
        return jobs

    return run_jobs(make)


def how_of(number: int, target: Target) -> str:
    """The intended end of one of the forty."""
    how = ENDS.get(number, "success")
    return how if target.enforces_memory or how != "memory" else "success"


@pytest.fixture(params=TYPES)
def kind(request: pytest.FixtureRequest, target: Target) -> str:
    """A type of job."""
    if request.param not in kinds(target):
        pytest.skip(why_missing(request.param, target))
    return str(request.param)


def test_each_of_forty_ends_as_it_should(forties: FinishedJobs, kind: str) -> None:
    for number in range(40):
        status, how = forties.jobs[f"{kind}-{number}"].status, how_of(number, forties.target)
        if how == "memory":
            assert (status.state, status.cause) == (JobState.FAILED, Cause.OUT_OF_MEMORY), (number, status)
        else:
            assert (status.state, status.cause, status.exit_code) == EXPECTED[how], (number, status)


def test_each_of_forty_has_its_own_outputs_and_results(forties: FinishedJobs, kind: str) -> None:
    for number in range(40):
        job = forties.jobs[f"{kind}-{number}"]
        assert Path(str(job.stdout)).read_text() == f"out of {job.job_id}\n"
        assert Path(str(job.stdout)).parent == forties.folder / job.job_id
        if how_of(number, forties.target) == "success":
            assert job.get_results() == {"how": "success"}
            assert job.outputs == {"*.root": [str(forties.folder / job.job_id / "out.root")]}
            assert (forties.folder / job.job_id / "out.root").read_bytes() == CONTENT
        else:
            assert job.outputs == {"*.root": []}
