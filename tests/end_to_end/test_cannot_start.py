"""Jobs that cannot start or are refused: the message names what is missing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from job_payloads import end
from scheduler import BatchError, Cause, Job, JobError, JobState, JobType, Resources
from scheduler.transports.base import Program
from small_functions import representing
from tests.unpacked import PBS_FUNCTIONS

from .job_kinds import kinds, why_missing
from .running import FinishedJobs, Jobs, changed, run_to_the_end, runner_in, skip_without_enforced_accounts
from .sites import Target

BARE = 'bare=$(mktemp -d); ln -s "$(command -v uname)" "$bare/uname"; PATH=$bare'
"""A prologue after which PATH has one program only."""
NO_IMAGE = "/no such/it's `here`.sif"
NOT_STARTED = {
    "damaged": ("/etc/passwd", "image format not recognized"),
    "address": ("docker://127.0.0.1:1/no/such", "connection refused"),
    "no shell": ("/etc", "executable file not found"),
}
"""Images that Apptainer does not start, and a part of its message."""
_SBATCH = 'sbatch --parsable -A "$1" --wrap=true'
_QSUB = f'{PBS_FUNCTIONS}\nfind_pbs qsub; echo true | qsub -q "$1"'
REFUSED = {
    "slurm": ("account", "Invalid account or account/partition combination specified", _SBATCH),
    "pbs": ("queue", "qsub: Unknown queue", _QSUB),
}
"""A key of a site whose value is refused, the batch system's message, and the command that prints it."""
NONE = "no_such_one"


def _run(job_id: str, image: str) -> Job:
    return Job(job_id, JobType.CONTAINER, container_image=image, container_command="true", output_files=["*.root"])


@pytest.fixture(scope="module")
def without_image(run_jobs: Callable[[Callable[[], Jobs]], FinishedJobs], target: Target) -> FinishedJobs:
    """Containers, a run script and functions in images that do not exist, do not start, or do."""
    if not target.images:
        pytest.skip(f"no container image for tests on {target.site.name}")
    here, real = {"IMAGES": target.images[0].rpartition("/")[0]}, target.images[0].rpartition("/")[2]
    return run_jobs(
        lambda: {
            **{name: _run(name, image) for name, (image, _) in NOT_STARTED.items()},
            "a pipeline": Job(
                "a pipeline",
                JobType.CONTAINER,
                container_image=f"$IMAGES/{real}",
                env_vars=here,
                container_command="(echo lines; exit 4) | cat >log",
            ),
            "command": _run("command", NO_IMAGE),
            "run script": Job("run script", JobType.CONTAINER, container_image=NO_IMAGE),
            "function": Job("function", function=end, params={"how": "success"}, container_image=NO_IMAGE),
        }
    )


@pytest.mark.parametrize("name", ["command", "run script", "function"])
def test_a_missing_image_is_named(without_image: FinishedJobs, name: str) -> None:
    job = without_image.jobs[name]
    assert (job.status.state, job.status.cause) == (JobState.FAILED, Cause.CANNOT_START)
    assert f"container image {NO_IMAGE} does not exist on {job.status.node}" in job.status.reason
    assert NO_IMAGE in job.get_results()["error"]
    assert Path(str(job.stderr)).read_text().startswith("scheduler: container image")


@pytest.mark.parametrize("name", NOT_STARTED)
def test_a_container_that_does_not_start_is_reported_with_the_message_of_the_runtime(
    without_image: FinishedJobs, name: str
) -> None:
    status = without_image.jobs[name].status
    assert (status.state, status.cause) == (JobState.FAILED, Cause.CANNOT_START)
    assert status.reason.startswith(f"apptainer could not start the container on {status.node}: FATAL:")
    assert NOT_STARTED[name][1] in status.reason


def test_a_program_of_a_pipeline_fails_in_an_image_whose_path_has_a_variable(without_image: FinishedJobs) -> None:
    status = without_image.jobs["a pipeline"].status
    assert (status.cause, status.exit_code) == (Cause.EXIT_CODE, 4)


def test_a_missing_container_runtime_is_named(target: Target, tmp_path: Path) -> None:
    target = changed(target, prologue=BARE, container={"runtime": "singularity"})
    job = run_to_the_end(target, tmp_path, lambda: {"one": _run("one", (*target.images, NO_IMAGE)[0])}).jobs["one"]
    assert (job.status.state, job.status.cause) == (JobState.FAILED, Cause.CANNOT_START)
    assert f"singularity is not installed on {job.status.node}" in job.status.reason
    assert "container.runtime" in job.status.reason


def test_a_missing_python_is_named(target: Target, tmp_path: Path) -> None:
    if not target.python:
        pytest.skip(why_missing("function", target))
    target = changed(target, python="/no such/python3")
    makers = [kinds(target)[kind] for kind in ("function", "python script")]
    jobs = run_to_the_end(
        target, tmp_path, lambda: {str(n): make(str(n), "success") for n, make in enumerate(makers)}
    ).jobs
    for job in jobs.values():
        assert (job.status.state, job.status.cause) == (JobState.FAILED, Cause.CANNOT_START)
        assert "there is no /no such/python3 on" in job.status.reason


def test_a_missing_interpreter_is_named(target: Target, tmp_path: Path) -> None:
    lines = ["#!/no/such/interpreter -u", "#!/usr/bin/env no-such-interpreter"]

    def make() -> Jobs:
        paths = [Path(f"script {n}") for n in range(len(lines))]
        for path, line in zip(paths, lines, strict=True):
            path.write_text(f"{line}\n")
        return {path.name: Job(f"job of {path}", JobType.SCRIPT, script_path=path) for path in paths}

    for job in run_to_the_end(target, tmp_path, make).jobs.values():
        assert (job.status.state, job.status.cause) == (JobState.FAILED, Cause.CANNOT_START)
        assert "such" in job.status.reason and "interpreter" in job.status.reason
        assert job.status.reason.endswith("the first line of the script names it")


def test_a_working_dir_that_is_a_file_is_refused_when_the_job_is_made(folder: Path) -> None:
    (folder / "one").touch()
    with pytest.raises(JobError, match=r"job 'one': working_dir .* is not a folder"):
        Job("one", function=len)


@pytest.fixture
def refused(target: Target) -> tuple[str, str, str]:
    """The row of REFUSED for this site."""
    if target.site.scheduler not in REFUSED:
        pytest.skip("a site without a batch system refuses nothing")
    if target.site.scheduler == "slurm":
        skip_without_enforced_accounts(target)
    return REFUSED[target.site.scheduler]


def test_a_refusal_quotes_the_batch_system_and_the_same_jobs_run_once_the_site_is_fixed(
    target: Target, refused: tuple[str, str, str], folder: Path
) -> None:
    key, refusal, by_hand = refused
    job = kinds(target)["script"]("one", "success", output_files=["*.root"])
    with runner_in(folder, changed(target, **{key: NONE})) as runner:
        with pytest.raises(BatchError) as caught:
            runner.submit([job])
        program = Program("by hand", f". /etc/profile >/dev/null 2>&1; {by_hand}")
        printed = runner.transport.run(program, [NONE]).err
        assert refusal in printed
        assert caught.value.words.strip().endswith(printed.strip())
        assert printed.strip() in str(caught.value)
        assert (job.status.state, job.status.cause) == (JobState.FAILED, Cause.REFUSED)
        assert printed.strip() in job.status.reason
    with runner_in(folder, target) as runner:
        runner.submit([job])
        runner.wait([job], timeout=target.patience)
    assert job.is_completed(), job.status


def test_some_jobs_are_refused_and_the_others_run(target: Target, refused: tuple[str, str, str], folder: Path) -> None:
    key, refusal, _ = refused
    script = kinds(target)["script"]
    good = [script(f"good {n}", "success") for n in range(2)]
    bad = script("bad", "success", resources=Resources.model_validate({key: NONE}))
    with runner_in(folder, target) as runner:
        with pytest.raises(BatchError, match="1 of 3 jobs were refused, 'bad' first"):
            runner.submit([*good, bad])
        runner.wait(timeout=target.patience)
        assert all(job.is_completed() for job in good)
        assert refusal in bad.get_results()["error"]
        bad.resources = Resources()
        runner.submit([*good, bad])
        runner.wait(timeout=target.patience)
        assert bad.is_completed(), bad.status
        assert len(runner.ledger.chosen()) == 4


def test_a_pickle_for_another_python_is_refused_before_anything_is_submitted(target: Target, folder: Path) -> None:
    if not target.python or target.same_python:
        pytest.skip("the site has no Python, or the local version")
    job = Job("closure", function=representing(object()))
    local = f"{sys.version_info[0]}.{sys.version_info[1]}"
    with runner_in(folder, target) as runner:
        with pytest.raises(JobError, match="Nothing was submitted") as caught:
            runner.submit([job])
        remote = runner.transport.run(Program("python", f"{target.site.python} --version")).out.split()[1]
        assert f"Python {local}" in str(caught.value)
        assert remote.rpartition(".")[0] in str(caught.value)
        assert "module-level function" in str(caught.value)
        assert runner.ledger.chosen() == []
        assert list((folder / "state/spool").iterdir()) == []
        assert job.state is JobState.CREATED
