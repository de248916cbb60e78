"""The public Job: its exact signature, its methods, and its attributes."""

from __future__ import annotations

import inspect
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from scheduler import Cause, Job, JobState, JobType, Resources, Status

T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def half(x: float) -> float:
    return x / 2


def job(job_id: str = "b0", **more: Any) -> Job:
    return Job(job_id, function=half, params={"x": 1.0}, **more)


class Recording:
    """A runner that only records the calls of its methods."""

    reports_states = True

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def run_job(self, job: Job) -> None:
        self.calls.append(("run", job.job_id))

    def check_job_status(self, job: Job) -> None:
        self.calls.append(("check", job.job_id))

    def cancel_job(self, job: Job) -> None:
        self.calls.append(("cancel", job.job_id))


# The exact interface


def test_the_signature_is_the_documented_one() -> None:
    parameters = inspect.signature(Job).parameters
    positional = [p.name for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == [
        "job_id", "job_type", "function", "script_path", "container_image", "container_command", "params", "env_vars",
        "working_dir", "output_files",
    ]  # fmt: skip
    by_name = {p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY}
    assert by_name == {"resources", "input_files", "arguments", "retry", "template"}
    defaults = {p.name: p.default for p in parameters.values() if p.name != "job_id"}
    assert defaults.pop("job_type") is JobType.FUNCTION
    assert set(defaults.values()) == {None}


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("complete", ["results"]), ("fail", ["error"]), ("get_results", []), ("has_failed", []), ("is_completed", []),
        ("is_running", []), ("run", []), ("set_runner", ["runner"]), ("check_status", []),
    ],
)  # fmt: skip
def test_every_documented_method_exists(method: str, parameters: list[str]) -> None:
    signature = inspect.signature(getattr(Job, method))
    assert list(signature.parameters) == ["self", *parameters]


def test_the_types_of_jobs_are_function_script_and_container() -> None:
    assert [(t.name, t.value) for t in JobType] == [
        ("FUNCTION", "function"), ("SCRIPT", "script"), ("CONTAINER", "container"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["status", "queued", "final"])
def test_read_only_attributes_cannot_be_set(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(job(), name, None)


# Its methods


def test_a_job_without_a_runner_does_not_run() -> None:
    with pytest.raises(ValueError, match="No runner assigned"):
        job().run()


def test_run_calls_the_runner_and_does_not_change_the_state() -> None:
    runner, one = Recording(), job()
    one.set_runner(runner)
    one.run()
    assert runner.calls == [("run", "b0")]
    assert (one.state, one.start_time) == (JobState.CREATED, None)


@pytest.mark.parametrize(
    ("state", "asked"),
    [
        (JobState.CREATED, False), (JobState.SUBMITTING, True), (JobState.QUEUED, True), (JobState.HELD, True),
        (JobState.RUNNING, True), (JobState.SUSPENDED, True), (JobState.COMPLETED, False), (JobState.FAILED, False),
        (JobState.CANCELLED, False),
    ],
)  # fmt: skip
def test_check_status_polls_only_submitted_jobs_that_are_not_collected(state: JobState, asked: bool) -> None:
    runner, one = Recording(), job()
    one.set_runner(runner)
    one.observe(Status(state))
    one.results = {"exit_code": 0} if state.final else {}
    one.check_status()
    assert bool(runner.calls) is asked


def test_check_status_polls_a_finished_job_that_is_not_collected() -> None:
    runner, one = Recording(), job()
    one.set_runner(runner)
    one.observe(Status(JobState.COMPLETED))
    one.check_status()
    assert runner.calls


def test_check_status_without_a_runner_does_nothing() -> None:
    one = job()
    one.observe(Status(JobState.RUNNING))
    one.check_status()
    assert one.is_running()


@pytest.mark.parametrize("state", JobState)
def test_the_state_methods_agree_with_the_state(state: JobState) -> None:
    one = job()
    one.observe(Status(state))
    answers = [
        one.queued, one.is_running(), one.is_completed(), one.has_failed(), one.final,
    ]  # fmt: skip
    waiting = state in (JobState.SUBMITTING, JobState.QUEUED, JobState.HELD)
    failed = state in (JobState.FAILED, JobState.CANCELLED)
    done = state is JobState.COMPLETED
    assert answers == [waiting, state is JobState.RUNNING, done, failed, done or failed]


def test_complete_stores_results_and_end_time() -> None:
    one = job()
    one.complete({"resolution": 0.01})
    assert one.is_completed()
    assert one.get_results() == {"resolution": 0.01}
    assert one.end_time is not None


def test_fail_adds_the_error_to_the_results() -> None:
    one = job()
    one.results = {"exit_code": 3}
    one.fail("no beam")
    assert (one.has_failed(), one.is_completed(), one.state) == (True, False, JobState.FAILED)
    assert one.get_results() == {"exit_code": 3, "error": "no beam"}
    assert one.end_time is not None


def test_fail_without_an_error_adds_none() -> None:
    one = job()
    one.fail()
    assert one.has_failed()
    assert one.get_results() == {}


@pytest.mark.parametrize(
    "status",
    [Status(JobState.FAILED, Cause.TIME_LIMIT, 143), Status(JobState.CANCELLED, Cause.CANCELLED, 143)],
)
def test_fail_does_not_overwrite_a_known_cause(status: Status) -> None:
    one = job()
    one.observe(status)
    one.fail("too slow")
    assert one.status == status
    assert one.get_results()["error"] == "too slow"


def test_fail_changes_a_completed_job_to_failed() -> None:
    one = job()
    one.complete({})
    one.fail("its output is wrong")
    assert (one.state, one.status.cause) == (JobState.FAILED, Cause.UNKNOWN)


def test_the_times_are_those_of_the_payload() -> None:
    one = job()
    assert one.creation_time.tzinfo is not None
    one.observe(Status(JobState.RUNNING, started=T0))
    one.observe(Status(JobState.COMPLETED, ended=T0 + timedelta(seconds=9)))
    one.complete({})
    assert (one.start_time, one.end_time) == (T0, T0 + timedelta(seconds=9))


def test_repr_shows_id_type_and_status() -> None:
    one = job("it's")
    one.observe(Status(JobState.FAILED, Cause.EXIT_CODE, 3))
    assert repr(one) == """<Job "it's" function: failed: exit code 3>"""


# Its attributes


def test_arguments_that_are_not_given_are_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = job()
    assert (one.env_vars, one.output_files, one.input_files, one.arguments, one.results) == ({}, [], {}, [], {})
    assert (one.resources, one.retry, one.template, one.runner) == (Resources(), None, None, None)
    assert one.working_dir == str(tmp_path / "b0")


def test_the_working_dir_is_made_absolute_when_the_job_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = job(working_dir="out here")
    monkeypatch.chdir("/")
    assert one.working_dir == str(tmp_path / "out here")


def test_the_script_path_is_made_absolute_when_the_job_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.sh").write_text("")
    (tmp_path / "own.sh.j2").write_text("")
    monkeypatch.chdir(tmp_path)
    one = Job("b0", JobType.SCRIPT, script_path="run.sh", template="own.sh.j2")
    monkeypatch.chdir("/")
    assert (one.script_path, one.template) == (str(tmp_path / "run.sh"), str(tmp_path / "own.sh.j2"))


@pytest.mark.parametrize("word", [JobType.FUNCTION, "function", "FUNCTION"])
def test_a_type_may_be_given_as_text(word: Any) -> None:
    assert job(job_type=word).job_type is JobType.FUNCTION


def test_numpy_values_and_paths_may_be_params(tmp_path: Path) -> None:
    class Scalar:
        def item(self) -> float:
            return 1.5

    from scheduler.job.validation import params_as_json

    (tmp_path / "x").write_text("#!/bin/sh\n")
    one = Job("b0", JobType.SCRIPT, script_path=tmp_path / "x", params={"z": Scalar(), "path": Path("/a")})
    assert params_as_json(one) == b'{"z": 1.5, "path": "/a"}'
