"""Hostile job ids, params, arguments and variables reach the payload byte for byte, and none is executed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from job_payloads import RECORD, record
from scheduler import Job, JobError, JobType, Runner
from scheduler.transports.base import Program

from .hostile import CANARY, JOB_IDS, VALUES
from .job_kinds import why_missing
from .running import FinishedJobs, Jobs, runner_in
from .sites import Target, alone

PARAMS = {f"v{n}": value for n, value in enumerate(VALUES)}
ENVIRONMENT = {f"V{n}": value for n, value in enumerate(VALUES)}
KINDS = ("script", "python script", "container", "run script", "function", "function in image")
FILES = ["id", "env", "params", "args", "job-dir"]
PY = """\
import os, sys
open("id", "wb").write(os.environb[b"JOB_ID"])
open("env", "wb").write(b"".join(b"%s=%s\\0" % pair for pair in os.environb.items()))
open("params", "wb").write(open(os.environ["JOB_PARAMS_FILE"], "rb").read())
open("args", "wb").write(b"".join(os.fsencode(arg) + b"\\0" for arg in sys.argv[1:]))
open("job-dir", "w").write(os.environ["JOB_DIR"])
"""


@pytest.fixture(scope="module")
def recorded(target: Target, run_jobs: Callable[[Callable[[], Jobs]], FinishedJobs]) -> FinishedJobs:
    """Jobs that record their environment: per kind, one with all values and one for every odd job_id."""
    return run_jobs(lambda: {**_with_all_values(target), **_with_odd_ids(target)})


def _with_all_values(target: Target) -> Jobs:
    sh, py = Path("record.sh"), Path("record.py")
    sh.write_text("#!/bin/sh\n" + RECORD + "printf '%s\\0' \"$@\" >args\n")
    py.write_text(PY)
    arguments = [*(f"{{{{ {name} }}}}" for name in PARAMS), "{% raw %}{{ x }}{% endraw %}", '$HOME `id` "it\'s"']
    common: dict[str, Any] = {"params": PARAMS, "env_vars": ENVIRONMENT}
    jobs = {
        "script": Job("s", JobType.SCRIPT, script_path=sh, arguments=arguments, output_files=FILES, **common),
    }
    if target.python:
        jobs["python script"] = Job(
            "p", JobType.SCRIPT, script_path=py, arguments=arguments, output_files=FILES, **common
        )
        jobs["function"] = Job("f", function=record, **common)
    if target.images:
        image = target.images[0]
        jobs["container"] = Job(
            "c", JobType.CONTAINER, container_image=image, container_command=_command(), output_files=FILES, **common
        )
        command = ["sh", "-c", RECORD + "printf '%s\\0' \"$@\" >args\n", "sh", *arguments]
        jobs["run script"] = Job(
            "r", JobType.CONTAINER, container_image=image, arguments=command, output_files=FILES, params=PARAMS,
            env_vars={name: value for name, value in ENVIRONMENT.items() if value != "\r\n"},
        )  # fmt: skip
        jobs["function in image"] = Job("fc", function=record, container_image=image, **common)
    for number, job in enumerate(jobs.values()):  # not array tasks: their values are part of what sbatch reads
        job.resources = alone(number)
    return jobs


def _command() -> str:
    """Every value three times: as a word, in double quotes, in single quotes."""
    words = (f"{{{{ {name} }}}} \"<{{{{ {name} }}}}>\" '<{{{{ {name} }}}}>'" for name in PARAMS)
    return RECORD + f"printf '%s\\0' {' '.join(words)} >args\n"


def _with_odd_ids(target: Target) -> Jobs:
    jobs: Jobs = {}
    script = Path("id.sh")
    script.write_text('#!/bin/sh\nprintf %s "$JOB_ID" >id; pwd >folder\n')
    for number, name in enumerate(JOB_IDS):
        common: dict[str, Any] = {"job_id": name, "output_files": ["id"]}
        jobs[f"script {number}"] = Job(
            job_type=JobType.SCRIPT, script_path=script, working_dir=_made("scripts", name), **common
        )
        if target.images:
            jobs[f"container {number}"] = Job(
                job_type=JobType.CONTAINER, container_image=target.images[0], working_dir=_made("containers", name),
                container_command=script.read_text(), **common,
            )  # fmt: skip
        if target.python:
            jobs[f"function {number}"] = Job(name, function=record, working_dir=_made("functions", name))
    return jobs


def _made(parent: str, name: str) -> Path:
    """A folder of that name, which exists: one that looks like a variable is refused otherwise."""
    folder = Path(parent, name)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(params=KINDS)
def job(request: pytest.FixtureRequest, recorded: FinishedJobs) -> Job:
    """A finished job with all values."""
    if request.param not in recorded.jobs:
        pytest.skip(why_missing(request.param, recorded.target))
    found = recorded.jobs[request.param]
    assert found.is_completed(), found.get_results().get("error")
    return found


def test_every_variable_arrives_unchanged(job: Job) -> None:
    environment = _environment(job)
    assert {name: environment.get(name) for name in job.env_vars} == job.env_vars
    assert len(job.env_vars) >= len(VALUES) - 1


def test_a_variable_that_the_runtime_would_change_is_refused(target: Target, folder: Path) -> None:
    if not target.images:
        pytest.skip("no container image for tests")
    job = Job("r", JobType.CONTAINER, container_image=target.images[0], env_vars={"LINES": "a\r\nb"})
    with runner_in(folder, target) as runner, pytest.raises(JobError, match="CR LF by LF in the value of LINES"):
        runner.submit([job])


def test_the_sites_own_variables_arrive_unchanged(job: Job, target: Target) -> None:
    environment = _environment(job)
    assert {name: environment.get(name) for name in target.site.environment} == target.site.environment


def test_every_param_arrives_unchanged_in_the_params_file(job: Job) -> None:
    if job.job_type is JobType.FUNCTION:
        assert job.get_results()["file"] == PARAMS
    else:
        assert json.loads(_read(job, "params")) == PARAMS


def test_a_function_is_called_with_every_param_unchanged(recorded: FinishedJobs) -> None:
    found = [recorded.jobs[name] for name in ("function", "function in image") if name in recorded.jobs]
    if not found:
        pytest.skip(why_missing("function", recorded.target))
    assert [job.get_results()["params"] for job in found] == [PARAMS] * len(found)


@pytest.mark.parametrize("kind", ["script", "python script", "run script"])
def test_every_argument_arrives_as_one_word(recorded: FinishedJobs, kind: str) -> None:
    if kind not in recorded.jobs:
        pytest.skip(why_missing(kind, recorded.target))
    words = _read(recorded.jobs[kind], "args").decode().split("\0")[:-1]
    assert words == [*VALUES, "{{ x }}", '$HOME `id` "it\'s"']


def test_every_param_in_a_command_is_data_whatever_quotes_it_stands_in(recorded: FinishedJobs) -> None:
    if "container" not in recorded.jobs:
        pytest.skip("no container image for tests")
    words = _read(recorded.jobs["container"], "args").decode().split("\0")[:-1]
    assert words == [word for value in VALUES for word in (value, f"<{value}>", f"<{value}>")]


@pytest.mark.parametrize("number", range(len(JOB_IDS)))
@pytest.mark.parametrize("kind", ["script", "container", "function"])
def test_a_job_id_arrives_unchanged_and_names_the_local_folder(recorded: FinishedJobs, kind: str, number: int) -> None:
    if (name := f"{kind} {number}") not in recorded.jobs:
        pytest.skip(why_missing(kind, recorded.target))
    job = recorded.jobs[name]
    assert job.is_completed(), job.get_results().get("error")
    assert Path(job.working_dir) == recorded.folder / f"{kind}s" / JOB_IDS[number]
    if kind == "function":
        assert job.get_results()["env"]["JOB_ID"] == JOB_IDS[number]
    else:
        assert _read(job, "id").decode() == JOB_IDS[number]


def test_the_job_runs_in_its_own_folder(job: Job, target: Target) -> None:
    environment = _environment(job)
    if job.job_type is JobType.FUNCTION:
        assert environment["JOB_DIR"] == job.get_results()["folder"]
    else:
        assert environment["JOB_DIR"] == _read(job, "job-dir").decode()
    if target.local:
        assert environment["JOB_DIR"] == job.working_dir


def test_nothing_was_executed(recorded: FinishedJobs) -> None:
    assert not [path for path in recorded.folder.rglob("*") if path.name == CANARY]
    with Runner(recorded.target.site) as runner:
        look = 'find "$HOME" /tmp -name "$1" 2>/dev/null || :'
        assert runner.transport.run(Program("look", look), [CANARY]).out == ""


def _read(job: Job, name: str) -> bytes:
    return Path(job.working_dir, name).read_bytes()


def _environment(job: Job) -> dict[str, str]:
    if job.job_type is JobType.FUNCTION:
        found: dict[str, str] = job.get_results()["env"]
        return found
    entries = _read(job, "env").decode().split("\0")[:-1]
    return dict(entry.split("=", 1) for entry in entries)
