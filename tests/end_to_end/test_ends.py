"""One job of each kind and each end, none an element of an array; and what a person is told of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from scheduler import Cause, Job, JobState, Resources

from .kinds import kinds, why_not
from .payloads import CONTENT
from .sites import Place, alone
from .voyage import Jobs, Voyage

KINDS = (
    "script", "python script", "function", "container from image", "container from sandbox", "function in image",
    "function in sandbox",
)  # fmt: skip
ENDS = ("success", "exit-3", "killed", "no-output", "memory")
Send = Callable[[Callable[[], Jobs]], Voyage]


@pytest.fixture(scope="module")
def ended(place: Place, send: Send) -> Voyage:
    """A job of every kind and end, sent together."""

    def make() -> Jobs:
        jobs: Jobs = {}
        for kind, job_of in kinds(place).items():
            for how in ENDS if place.enforces_memory else ENDS[:-1]:
                name = f"{kind} {how}"
                resources = alone(len(jobs))
                if how == "memory":
                    resources = Resources(memory="200 MB").over(resources)
                jobs[name] = job_of(name, how, output_files=["*.root"], resources=resources)
        return jobs

    return send(make)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, place: Place) -> str:
    """A kind of job."""
    if request.param not in kinds(place):
        pytest.skip(why_not(request.param, place))
    return str(request.param)


def test_success_brings_outputs_and_results_home(ended: Voyage, kind: str) -> None:
    job = ended.jobs[f"{kind} success"]
    assert job.is_completed(), job.get_results()
    results = job.get_results()
    assert (results["how"], results["exit_code"]) == ("success", 0)
    home = Path(job.working_dir)
    assert home == ended.folder / job.job_id
    assert results["output_files"] == {"*.root": [str(home / "out.root")]}
    assert (home / "out.root").read_bytes() == CONTENT
    assert json.loads((home / "result.json").read_text()) == {"how": "success"}
    assert "error" not in results


def test_exit_3_is_a_failure_with_its_exit_code_and_its_last_words(ended: Voyage, kind: str) -> None:
    job = ended.jobs[f"{kind} exit-3"]
    assert (job.status.state, job.status.cause, job.status.exit_code) == (JobState.FAILED, Cause.EXIT_CODE, 3)
    assert str(job.status) == "failed: exit code 3"
    assert job.get_results()["exit_code"] == 3
    assert job.get_results()["error"].splitlines()[0] == "failed: exit code 3: the payload ended with exit code 3"
    assert "the last words" in Path(job.get_results()["stderr"]).read_text()


def test_the_error_shows_the_last_lines_of_stderr(ended: Voyage, kind: str) -> None:
    error = ended.jobs[f"{kind} exit-3"].get_results()["error"]
    assert "the last words" in error


def test_a_payload_that_is_killed_is_a_signal(ended: Voyage, kind: str) -> None:
    job = ended.jobs[f"{kind} killed"]
    assert (job.status.state, job.status.cause, job.status.exit_code) == (JobState.FAILED, Cause.SIGNAL, 137)
    assert "KILL" in job.status.reason


def test_a_declared_output_that_is_missing_fails_the_job_and_is_named(ended: Voyage, kind: str) -> None:
    job = ended.jobs[f"{kind} no-output"]
    assert (job.status.state, job.status.cause, job.status.exit_code) == (JobState.FAILED, Cause.MISSING_OUTPUT, 0)
    assert "*.root" in job.status.reason
    assert "*.root" in job.get_results()["error"]


def test_memory_over_the_limit_is_told_from_a_plain_kill(ended: Voyage, kind: str) -> None:
    if not ended.place.enforces_memory:
        pytest.skip("this site does not enforce memory")
    job = ended.jobs[f"{kind} memory"]
    assert (job.status.state, job.status.cause) == (JobState.FAILED, Cause.OUT_OF_MEMORY)
    assert job.get_results()["error"].startswith("failed: out of memory")


def test_both_logs_come_home_however_it_ended(ended: Voyage, kind: str) -> None:
    jobs = [job for name, job in ended.jobs.items() if name in [f"{kind} {how}" for how in ENDS]]
    assert len(jobs) >= len(ENDS) - 1
    for job in jobs:
        assert Path(job.get_results()["stdout"]).read_text() == f"out of {job.job_id}\n"
        assert Path(job.get_results()["stderr"]).read_text().splitlines()[0] == f"err of {job.job_id}"


def test_when_and_where_it_ran_is_known(ended: Voyage, kind: str) -> None:
    job: Job = ended.jobs[f"{kind} success"]
    assert job.start_time and job.end_time and job.start_time <= job.end_time
    assert job.status.node
