"""Our Job with AID2E's own runners and trials: the stand-ins behave like those of AID2E, and know only its enums.

Theirs compare `job.job_type` and `job.state` with members of their enums, set `job.state` to them, start a script in
`job.working_dir`, and report the end by `job.complete` and `job.fail`.
"""

from __future__ import annotations

import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from enum import Enum, auto
from pathlib import Path
from typing import Any, cast

import pytest

from scheduler import Cause, Job, JobError
from scheduler import JobState as OurState
from scheduler import JobType as OurType

_theirs: dict[str, Any] = {
    "type": Enum("JobType", {"FUNCTION": "function", "SCRIPT": "script", "CONTAINER": "container", "MULTI": "multi"}),
    "state": Enum(
        "JobState", ["NEW", "READY", "CREATED", "QUEUED", "RUNNING", "COMPLETED", "FAILED", "PAUSED", "CANCELLED"]
    ),
}
TheirType, TheirState = _theirs["type"], _theirs["state"]


class TrialState(Enum):
    RUNNING = auto()
    COMPLETED = auto()
    FAILED = auto()


class PoolRunner:
    """As AID2E's JobLibRunner: a pool of threads, and futures that `check_job_status` looks at."""

    def __init__(self) -> None:
        self.executor = ThreadPoolExecutor(2)
        self.futures: dict[str, Future[dict[str, Any]]] = {}

    def run_job(self, job: Job) -> None:
        if job.job_type == TheirType.FUNCTION:
            self.futures[job.job_id] = self.executor.submit(self._function, job)
        elif job.job_type == TheirType.SCRIPT:
            self.futures[job.job_id] = self.executor.submit(self._script, job)
        else:
            job.fail(f"Unsupported job type: {job.job_type}")

    def check_job_status(self, job: Job) -> None:
        future = self.futures.get(job.job_id)
        if future is None or not future.done():
            return
        if error := future.exception():
            job.fail(str(error))
        elif job.state != TheirState.COMPLETED:
            job.complete(future.result())
        del self.futures[job.job_id]

    def cancel_job(self, job: Job) -> None:
        self.futures.pop(job.job_id).cancel()
        job.state = TheirState.CANCELLED

    def finish(self) -> None:
        self.executor.shutdown()

    @staticmethod
    def _function(job: Job) -> dict[str, Any]:
        assert job.function is not None
        return {"result": job.function(**job.params)}

    @staticmethod
    def _script(job: Job) -> dict[str, Any]:
        assert job.script_path is not None
        command = ["bash", job.script_path]
        done = subprocess.run(command, cwd=job.working_dir, env=job.env_vars, capture_output=True, text=True)
        return {"stdout": done.stdout}


class QueueRunner:
    """As AID2E's SlurmRunner: it sets the state at each check, and reports a result or an error at the end."""

    def __init__(self) -> None:
        self.left = 2
        self.error = ""

    def run_job(self, job: Job) -> None:
        job.state = TheirState.QUEUED

    def check_job_status(self, job: Job) -> None:
        self.left -= 1
        if self.left:
            job.state = TheirState.RUNNING
        elif self.error:
            job.fail(self.error)
        else:
            job.complete({"objective": 1.0})

    def cancel_job(self, job: Job) -> None:
        job.state = TheirState.CANCELLED


class Trial:
    """As AID2E's Trial: it runs jobs, checks each of them, and reads their states only with their methods."""

    def __init__(self, jobs: list[Job]) -> None:
        self.jobs = jobs
        self.state: TrialState | None = None

    def run(self) -> None:
        self.state = TrialState.RUNNING
        for job in self.jobs:
            job.run()

    def check_status(self) -> TrialState | None:
        for job in self.jobs:
            job.check_status()
        if any(job.is_running() for job in self.jobs):
            self.state = TrialState.RUNNING
        elif all(job.is_completed() for job in self.jobs):
            self.state = TrialState.COMPLETED
        elif any(job.has_failed() for job in self.jobs):
            self.state = TrialState.FAILED
        return self.state


def double(x: float) -> float:
    return 2 * x


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def function_job(runner: Any, job_id: str = "f") -> Job:
    job = Job(job_id, function=double, params={"x": 1.5})
    job.set_runner(runner)
    return job


def test_their_pool_runs_our_functions_and_scripts() -> None:
    Path("where.sh").write_text("pwd; echo $WHAT")
    runner = PoolRunner()
    script = Job("s", OurType.SCRIPT, script_path="where.sh", env_vars={"WHAT": "a b"})
    script.set_runner(runner)
    trial = Trial([function_job(runner), script])
    trial.run()
    assert all(job.is_running() and job.start_time for job in trial.jobs)
    runner.finish()
    assert trial.check_status() is TrialState.COMPLETED
    assert trial.jobs[0].get_results() == {"result": 3.0}
    assert script.get_results() == {"stdout": f"{script.working_dir}\na b\n"}
    assert script.end_time is not None


def test_an_exception_under_their_pool_fails_our_job() -> None:
    runner = PoolRunner()
    job = Job("f", function=double, params={"y": 1})
    job.set_runner(runner)
    trial = Trial([job])
    trial.run()
    runner.finish()
    assert trial.check_status() is TrialState.FAILED
    assert "'y'" in job.get_results()["error"]


def test_their_pool_reports_an_unsupported_type_with_fail() -> None:
    job = Job("c", OurType.CONTAINER, container_image="a.sif")
    job.set_runner(PoolRunner())
    job.run()
    assert job.has_failed()
    assert "Unsupported" in job.get_results()["error"]


def test_their_queue_sets_the_states_of_our_job() -> None:
    runner = QueueRunner()
    job = function_job(runner)
    trial = Trial([job])
    trial.run()
    assert (job.queued, job.state) == (True, OurState.QUEUED)
    assert trial.check_status() is TrialState.RUNNING
    assert job.is_running()
    assert trial.check_status() is TrialState.COMPLETED
    assert (job.state, job.status.cause, job.get_results()) == (OurState.COMPLETED, Cause.NONE, {"objective": 1.0})
    assert job.end_time is not None


def test_their_queue_fails_our_job() -> None:
    runner = QueueRunner()
    runner.error = "no result file"
    job = function_job(runner)
    trial = Trial([job])
    trial.run()
    trial.check_status()
    assert trial.check_status() is TrialState.FAILED
    assert job.get_results() == {"error": "no result file"}


def test_a_job_that_their_runner_cancels_is_cancelled_and_not_checked_any_more() -> None:
    runner = QueueRunner()
    job = function_job(runner)
    job.run()
    runner.cancel_job(job)
    job.check_status()
    assert (job.state, job.status.cause, runner.left) == (OurState.CANCELLED, Cause.CANCELLED, 2)
    assert job.has_failed()
    assert job.end_time is not None


def test_an_unfinished_job_has_no_cause() -> None:
    job = function_job(QueueRunner())
    job.fail("lost")
    job.state = TheirState.RUNNING
    assert (job.state, job.status.cause, job.final) == (OurState.RUNNING, Cause.NONE, False)


@pytest.mark.parametrize("name", ["NEW", "READY", "PAUSED"])
def test_an_unknown_state_is_refused(name: str) -> None:
    with pytest.raises(JobError, match="unknown state"):
        function_job(QueueRunner()).state = TheirState[name]


@pytest.mark.parametrize("ours", [*OurType, *OurState])
def test_our_enum_members_equal_those_of_aid2e_with_the_same_name_and_no_others(ours: Enum) -> None:
    theirs = TheirType if isinstance(ours, OurType) else TheirState
    for other in theirs:
        assert (ours == other, other == ours) == ((other.name == ours.name),) * 2
        assert (ours != other) is (other.name != ours.name)
        assert other.name != ours.name or hash(other) == hash(ours)
    assert ours != cast(Any, Enum)("Colour", [ours.name])[ours.name]
