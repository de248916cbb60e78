"""One job of each kind and each end, none of them an array task: states, causes, outputs, logs and messages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from job_payloads import CONTENT
from scheduler import Cause, Job, JobState, Resources

from .job_kinds import kinds, why_missing
from .running import FinishedJobs, Jobs
from .sites import Target, alone

KINDS = (
    "script", "python script", "function", "container from image", "container from sandbox", "function in image",
    "function in sandbox",
)  # fmt: skip
ENDS = ("success", "exit-3", "killed", "no-output", "memory")
Run = Callable[[Callable[[], Jobs]], FinishedJobs]


@pytest.fixture(scope="module")
def ended(target: Target, run_jobs: Run) -> FinishedJobs:
    """A job of every kind and end, submitted together."""

    def make() -> Jobs:
        jobs: Jobs = {}
        for kind, job_of in kinds(target).items():
            for how in ENDS if target.enforces_memory else ENDS[:-1]:
                name = f"{kind} {how}"
                resources = alone(len(jobs))
                if how == "memory":
                    resources = Resources(memory="200 MB").over(resources)
                jobs[name] = job_of(name, how, output_files=["*.root"], resources=resources)
        return jobs

    return run_jobs(make)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, target: Target) -> str:
    """A kind of job that the site can run."""
    if request.param not in kinds(target):
        pytest.skip(why_missing(request.param, target))
    return str(request.param)


def test_a_successful_job_has_its_outputs_and_results(ended: FinishedJobs, kind: str) -> None:
    job = ended.jobs[f"{kind} success"]
    assert job.is_completed(), job.get_results()
    results = job.get_results()
    assert results == {"how": "success"} and job.exit_code == 0
    folder = Path(job.working_dir)
    assert folder == ended.folder / job.job_id
    assert job.outputs == {"*.root": [str(folder / "out.root")]}
    assert (folder / "out.root").read_bytes() == CONTENT
    assert json.loads((folder / "result.json").read_text()) == {"how": "success"}
    assert job.result() == results and job.error is None


def test_exit_3_is_a_failure_with_its_exit_code_and_its_last_line(ended: FinishedJobs, kind: str) -> None:
    job = ended.jobs[f"{kind} exit-3"]
    assert (job.status.state, job.status.cause, job.status.exit_code) == (JobState.FAILED, Cause.EXIT_CODE, 3)
    assert str(job.status) == "failed: exit code 3"
    assert job.exit_code == 3
    assert job.get_results()["error"].splitlines()[0] == "failed: exit code 3: the payload ended with exit code 3"
    assert "the last line" in Path(str(job.stderr)).read_text()


def test_the_error_shows_the_last_lines_of_stderr(ended: FinishedJobs, kind: str) -> None:
    error = ended.jobs[f"{kind} exit-3"].get_results()["error"]
    assert "the last line" in error


def test_a_killed_payload_has_failed_by_a_signal(ended: FinishedJobs, kind: str) -> None:
    job = ended.jobs[f"{kind} killed"]
    assert (job.status.state, job.status.cause, job.status.exit_code) == (JobState.FAILED, Cause.SIGNAL, 137)
    assert "KILL" in job.status.reason


def test_a_declared_output_that_is_missing_fails_the_job_and_is_named(ended: FinishedJobs, kind: str) -> None:
    job = ended.jobs[f"{kind} no-output"]
    assert (job.status.state, job.status.cause, job.status.exit_code) == (JobState.FAILED, Cause.MISSING_OUTPUT, 0)
    assert "*.root" in job.status.reason
    assert "*.root" in job.get_results()["error"]


def test_memory_over_the_limit_is_distinguished_from_a_plain_kill(ended: FinishedJobs, kind: str) -> None:
    if not ended.target.enforces_memory:
        pytest.skip("this site does not enforce memory")
    job = ended.jobs[f"{kind} memory"]
    assert (job.status.state, job.status.cause) == (JobState.FAILED, Cause.OUT_OF_MEMORY)
    assert job.get_results()["error"].startswith("failed: out of memory")


def test_both_logs_are_collected_after_every_end(ended: FinishedJobs, kind: str) -> None:
    jobs = [job for name, job in ended.jobs.items() if name in [f"{kind} {how}" for how in ENDS]]
    assert len(jobs) >= len(ENDS) - 1
    for job in jobs:
        assert Path(str(job.stdout)).read_text() == f"out of {job.job_id}\n"
        assert Path(str(job.stderr)).read_text().splitlines()[0] == f"err of {job.job_id}"


def test_start_end_and_node_are_known(ended: FinishedJobs, kind: str) -> None:
    job: Job = ended.jobs[f"{kind} success"]
    assert job.start_time and job.end_time and job.start_time <= job.end_time
    assert job.status.node
