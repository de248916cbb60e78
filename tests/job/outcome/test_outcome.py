"""What became of a job: results, facts, and its result as in Python's futures."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from scheduler import Cause, Job, JobError, JobFailed, JobState, JobType, SchedulerError, Status, WaitTimeout
from scheduler.job.outcome.facts import CollectedFile, Facts, RemoteOutput, ResultKind
from scheduler.job.outcome.recorded import RecordedJob

COMPLETED = Status(JobState.COMPLETED, exit_code=0)
FAILED = Status(JobState.FAILED, Cause.EXIT_CODE, exit_code=3, reason="the payload ended with exit code 3")
STDERR = CollectedFile("stderr", "/out/job.stderr", "/far/tok/0/stderr.0", 5, "aa", 1)


class Ending:
    """A runner whose jobs end when they are waited for."""

    reports_states = True

    def __init__(self, status: Status, results: dict[str, Any] | None, facts: Facts | None) -> None:
        self.found = (status, results, facts)
        self.calls: list[str] = []

    def run_job(self, job: Job) -> None:
        job.observe(Status(JobState.QUEUED))

    def check_job_status(self, job: Job) -> None:
        self.calls.append("check")

    def cancel_job(self, job: Job) -> None:
        self.calls.append("cancel")

    def wait(self, jobs: Sequence[Job], timeout: float | None = None) -> None:
        self.calls.append(f"wait {timeout}")
        status, results, facts = self.found
        for job in jobs:
            job.observe(status, results, facts=facts)


def submitted(status: Status, results: dict[str, Any] | None = None, facts: Facts | None = None) -> Job:
    job = Job("b0", function=print, output_files=["*.root"])
    job.set_runner(Ending(status, results, facts))
    job.run()
    return job


@pytest.mark.parametrize(
    ("results", "kind", "value"),
    [
        ({"x": 1, "exit_code": "mine", "stdout": 2, "output_files": []}, ResultKind.OBJECT, ...),
        ({}, ResultKind.OBJECT, {}),
        ({}, ResultKind.NONE, None),
        ({"result": [1, None]}, ResultKind.VALUE, [1, None]),
        ({"result": None}, ResultKind.VALUE, None),
        ({"result": {"result": 3}}, ResultKind.VALUE, {"result": 3}),
        ({"result": 3}, ResultKind.OBJECT, {"result": 3}),
    ],
)
def test_result_waits_and_gives_what_was_returned(results: dict[str, Any], kind: ResultKind, value: Any) -> None:
    job = submitted(COMPLETED, results, Facts(result=kind))
    assert job.result(timeout=5) == (results if value is ... else value)
    assert (job.get_results(), job.results, job.error, job.exception()) == (results, results, None, None)
    assert isinstance(job.runner, Ending) and job.runner.calls == ["wait 5"]


def test_an_empty_result_is_a_result() -> None:
    job = submitted(COMPLETED, {}, Facts())
    job.wait()
    job.check_status()
    assert isinstance(job.runner, Ending) and (job.runner.calls, job.done()) == (["wait None"], True)


def test_result_of_a_failed_job_raises_what_is_known() -> None:
    facts = Facts((), [STDERR], problem="failed: exit code 3: no beam", last_lines="last words", printed_on="stderr")
    job = submitted(FAILED, {"hits": 2, "error": facts.error}, facts)
    with pytest.raises(JobFailed) as raised:
        job.result()
    found = raised.value
    assert (found.job_id, found.cause, found.exit_code) == ("b0", Cause.EXIT_CODE, 3)
    assert (found.traceback, found.last_lines, found.stderr, found.stdout) == (
        "",
        "last words",
        "/out/job.stderr",
        None,
    )
    for part in (
        "'b0'",
        "no beam",
        "last lines of stderr (/out/job.stderr):\nlast words",
        "its output: /out/job.stderr",
    ):
        assert part in str(found)
    assert isinstance(found, SchedulerError) and str(job.exception()) == str(found)
    assert pickle.loads(pickle.dumps(found)).exit_code == 3


def test_result_of_a_failed_function_has_its_traceback() -> None:
    trace = 'Traceback (most recent call last):\n  File "sim.py", line 7\nValueError: no beam\n'
    facts = Facts((), [STDERR], problem="failed: exit code 1", traceback=trace)
    with pytest.raises(JobFailed, match=r"ValueError: no beam") as raised:
        submitted(FAILED, {"error": facts.error}, facts).result()
    assert raised.value.traceback == trace


def test_a_failed_job_that_left_nothing_names_its_remote_folder() -> None:
    job = submitted(Status(JobState.CANCELLED, Cause.CANCELLED), {}, Facts())
    job.remote_dir = "/far/tok/0"
    with pytest.raises(JobFailed, match="its remote folder: /far/tok/0"):
        job.result()


def test_a_timeout_of_the_runner_is_passed_on() -> None:
    class Slow(Ending):
        def wait(self, jobs: Sequence[Job], timeout: float | None = None) -> None:
            raise WaitTimeout("not yet")

    job = submitted(COMPLETED)
    job.set_runner(Slow(COMPLETED, None, None))
    with pytest.raises(TimeoutError):
        job.result(timeout=0)
    with pytest.raises(TimeoutError):
        job.exception(timeout=0)


def test_a_job_does_not_wait_without_a_runner_that_can() -> None:
    job = Job("b0", function=print)
    with pytest.raises(ValueError, match="no runner is assigned"):
        job.result()
    with pytest.raises(ValueError, match="no runner is assigned"):
        job.cancel()
    assert not job.done()
    job.set_runner(Ending(COMPLETED, None, None))
    with pytest.raises(JobError, match="is not submitted"):
        job.wait()

    class Foreign:
        def run_job(self, job: Job) -> None: ...
        def check_job_status(self, job: Job) -> None: ...
        def cancel_job(self, job: Job) -> None: ...

    job.set_runner(Foreign())
    job.state = JobState.RUNNING
    with pytest.raises(JobError, match=r"a Foreign, cannot wait: call check_status\(\)"):
        job.result()
    job.complete({"x": 1})
    assert (job.result(), job.done()) == ({"x": 1}, True)


def test_cancel_and_done_ask_the_runner() -> None:
    job = submitted(COMPLETED)
    job.cancel()
    assert not job.done()
    assert isinstance(job.runner, Ending) and job.runner.calls == ["cancel", "check"]


def test_facts_are_attributes(tmp_path: Path) -> None:
    local = tmp_path / "a.root"
    local.write_text("content")
    output = CollectedFile("0", str(local), "/far/tok/0/dir/a.root", 7, "bb", local.stat().st_mtime_ns)
    job = submitted(COMPLETED, {}, Facts(("*.root", "log"), [STDERR], [output], ResultKind.OBJECT))
    assert (job.outputs, job.remote_outputs, job.stdout, job.stderr, job.exit_code) == ({}, [], None, None, None)
    assert (job.batch_id, job.remote_dir, job.attempts) == (None, None, 1)
    job.wait()
    assert job.outputs == {"*.root": [str(local)], "log": []}
    assert job.remote_outputs == [RemoteOutput("/far/tok/0/dir/a.root", 7, "bb")]
    assert (job.stdout, job.stderr, job.exit_code) == (None, "/out/job.stderr", 0)
    for name in ("outputs", "remote_outputs", "exit_code", "stdout", "stderr", "error", "attempts"):
        with pytest.raises(AttributeError):
            setattr(job, name, None)


def test_facts_of_an_earlier_attempt_are_dropped() -> None:
    job = submitted(FAILED, {"error": "x"}, Facts((), [STDERR], problem="x"))
    job.wait()
    job.observe(Status(JobState.QUEUED, retries=1))
    assert (job.stderr, job.get_results(), job.attempts, job.error) == (None, {}, 2, None)


def test_a_recorded_job_cannot_run() -> None:
    job = RecordedJob("b0", JobType.FUNCTION, working_dir="/out", output_files=["*.root"])
    assert (job.output_files, job.function, job.working_dir) == (["*.root"], None, "/out")
    with pytest.raises(JobError, match="was read from the ledger, which does not hold what it runs"):
        job.run()
