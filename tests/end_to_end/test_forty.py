"""Forty jobs of each type, as job arrays where there are such: each ends as it should, whatever its siblings do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scheduler import Cause, JobState, Resources

from .kinds import kinds, why_not
from .payloads import CONTENT
from .sites import Place
from .voyage import Jobs, Voyage

TYPES = ("script", "function", "container from image")
ENDS = {2: "exit-3", 9: "no-output", 17: "killed", 25: "memory", 31: "memory", 39: "exit-3"}
"""What does not end well, by its number."""
EXPECTED = {
    "success": (JobState.COMPLETED, Cause.NONE, 0),
    "exit-3": (JobState.FAILED, Cause.EXIT_CODE, 3),
    "killed": (JobState.FAILED, Cause.SIGNAL, 137),
    "no-output": (JobState.FAILED, Cause.MISSING_OUTPUT, 0),
}


@pytest.fixture(scope="module")
def forties(place: Place, send: Callable[[Callable[[], Jobs]], Voyage]) -> Voyage:
    """All of them, sent together."""

    def make() -> Jobs:
        jobs: Jobs = {}
        for minutes, kind in enumerate(TYPES, start=5):
            make_one = kinds(place).get(kind)
            if make_one is None:
                continue
            for number in range(40):
                jobs[f"{kind}-{number}"] = make_one(
                    f"{kind}-{number}",
                    how_of(number, place),
                    output_files=["*.root"],
                    resources=Resources(walltime=f"{minutes}m"),
                )
        return jobs

    return send(make)


def how_of(number: int, place: Place) -> str:
    """How one of the forty is to end."""
    how = ENDS.get(number, "success")
    return how if place.enforces_memory or how != "memory" else "success"


@pytest.fixture(params=TYPES)
def kind(request: pytest.FixtureRequest, place: Place) -> str:
    """A type of job."""
    if request.param not in kinds(place):
        pytest.skip(why_not(request.param, place))
    return str(request.param)


def test_each_of_forty_ends_as_it_should(forties: Voyage, kind: str) -> None:
    for number in range(40):
        status, how = forties.jobs[f"{kind}-{number}"].status, how_of(number, forties.place)
        if how == "memory":
            assert (status.state, status.cause) == (JobState.FAILED, Cause.OUT_OF_MEMORY), (number, status)
        else:
            assert (status.state, status.cause, status.exit_code) == EXPECTED[how], (number, status)


def test_each_of_forty_has_its_own_outputs_and_results(forties: Voyage, kind: str) -> None:
    for number in range(40):
        job = forties.jobs[f"{kind}-{number}"]
        results = job.get_results()
        assert Path(results["stdout"]).read_text() == f"out of {job.job_id}\n"
        assert Path(results["stdout"]).parent == forties.folder / job.job_id
        if how_of(number, forties.place) == "success":
            assert results["how"] == "success"
            assert results["output_files"] == {"*.root": [str(forties.folder / job.job_id / "out.root")]}
            assert (forties.folder / job.job_id / "out.root").read_bytes() == CONTENT
        else:
            assert results["output_files"] == {"*.root": []}
