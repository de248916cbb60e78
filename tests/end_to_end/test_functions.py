"""Jobs that call functions: errors with their traceback, results that are not a dict, pickles, images."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from job_payloads import answer, leave, raise_deeply
from scheduler import Cause, Job, JobState
from small_functions import multiplying

from .job_kinds import why_missing
from .running import FinishedJobs, Jobs
from .sites import Target

LOCAL_PYTHON = sys.version_info[:2]


@pytest.fixture(scope="module")
def called(target: Target, run_jobs: Callable[[Callable[[], Jobs]], FinishedJobs]) -> FinishedJobs:
    """Functions, with the site's own Python and in an image."""
    images: dict[str, Any] = {"": {}} if target.python else {}
    if target.images:
        images[" in image"] = {"container_image": target.images[0]}

    def make() -> Jobs:
        jobs: Jobs = {}
        for where, more in images.items():
            jobs[f"raises{where}"] = Job(
                f"raises{where}", function=raise_deeply, params={"text": "it's “$HOME”"}, **more
            )
            jobs[f"answers{where}"] = Job(f"answers{where}", function=answer, **more)
            jobs[f"leaves{where}"] = Job(f"leaves{where}", function=leave, **more)
        jobs |= {f"closure{where}": _closure(f"closure{where}", **more) for where, more in images.items() if where}
        if target.python and target.same_python:
            jobs["closure"] = _closure("closure")
        return jobs

    return run_jobs(make)


def _closure(job_id: str, **more: Any) -> Job:
    return Job(job_id, function=multiplying(7), params={"x": 6}, **more)


@pytest.fixture(params=["", " in image"])
def where(request: pytest.FixtureRequest, target: Target) -> str:
    """With the site's own Python, or in an image."""
    if not (target.images if request.param else target.python):
        pytest.skip(why_missing(f"function{request.param}", target))
    return str(request.param)


def test_an_exception_has_its_remote_traceback(called: FinishedJobs, where: str) -> None:
    job = called.jobs[f"raises{where}"]
    assert (job.status.state, job.status.cause, job.status.exit_code) == (JobState.FAILED, Cause.EXIT_CODE, 1)
    lines = job.get_results()["error"].splitlines()
    assert lines[0] == "failed: exit code 1: the payload ended with exit code 1"
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: it's “$HOME”"
    assert any("payloads.py" in line and "raise_deeply" in line for line in lines)
    assert not any("run_function.py" in line for line in lines)


def test_the_traceback_is_in_stderr_too(called: FinishedJobs, where: str) -> None:
    stderr = Path(str(called.jobs[f"raises{where}"].stderr)).read_text()
    assert stderr.splitlines()[-1] == "ValueError: it's “$HOME”"


def test_a_value_that_is_not_a_dict_is_the_result(called: FinishedJobs, where: str) -> None:
    job = called.jobs[f"answers{where}"]
    assert job.is_completed(), job.get_results()["error"]
    assert job.get_results()["result"] == [42, None, "é"]


def test_a_function_that_ends_its_process_before_it_returns_has_failed(called: FinishedJobs, where: str) -> None:
    job = called.jobs[f"leaves{where}"]
    assert (job.status.state, job.status.cause, job.status.exit_code) == (JobState.FAILED, Cause.EXIT_CODE, 1)
    assert "ended with exit code 0 before the function returned" in job.get_results()["error"]


def test_a_closure_runs_by_cloudpickle_on_the_same_python(called: FinishedJobs) -> None:
    if "closure" not in called.jobs:
        pytest.skip("the site has another version of Python")
    assert called.jobs["closure"].get_results()["result"] == 42


def test_a_closure_in_an_image_runs_or_the_error_names_both_versions_of_python(called: FinishedJobs) -> None:
    job = called.jobs.get("closure in image")
    if job is None:
        pytest.skip("no container image for tests")
    if job.is_completed():
        assert job.get_results()["result"] == 42
        return
    error = job.get_results()["error"]
    assert f"pickled by Python {LOCAL_PYTHON[0]}.{LOCAL_PYTHON[1]}" in error
    assert "cannot read" in error
