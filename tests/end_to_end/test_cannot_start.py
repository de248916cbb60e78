"""Jobs that cannot begin, or are not taken at all: a person is told what is missing, in plain words."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scheduler import BatchError, Cause, Job, JobError, JobState, JobType, Resources
from scheduler.transports.base import Program
from tests.unpacked import PBS_FUNCTIONS

from .kinds import kinds, why_not
from .payloads import end
from .sites import Place
from .voyage import Jobs, Voyage, changed, runner_in, travel

BARE = 'bare=$(mktemp -d); ln -s "$(command -v uname)" "$bare/uname"; PATH=$bare'
"""Lines for a prologue after which no program is found but the one."""
NO_IMAGE = "/no such/it's $HOME.sif"
_SBATCH = 'sbatch --parsable -A "$1" --wrap=true'
_QSUB = f'{PBS_FUNCTIONS}\nfind_pbs qsub; echo true | qsub -q "$1"'
REFUSED = {
    "slurm": ("account", "Invalid account or account/partition combination specified", _SBATCH),
    "pbs": ("queue", "qsub: Unknown queue", _QSUB),
}
"""A key of a site whose value is refused, the batch system's words for it, and how a person hears them."""
NONE = "no_such_one"


def _run(job_id: str, image: str) -> Job:
    return Job(job_id, JobType.CONTAINER, container_image=image, container_command="true", output_files=["*.root"])


@pytest.fixture(scope="module")
def without_image(send: Callable[[Callable[[], Jobs]], Voyage], place: Place) -> Voyage:
    """A container, a run script and a function in an image that is not there, and one in no image at all."""
    if not place.images:
        pytest.skip(f"no container image for tests on {place.site.name}")
    return send(
        lambda: {
            "command": _run("command", NO_IMAGE),
            "run script": Job("run script", JobType.CONTAINER, container_image=NO_IMAGE),
            "function": Job("function", function=end, params={"how": "success"}, container_image=NO_IMAGE),
        }
    )


@pytest.mark.parametrize("name", ["command", "run script", "function"])
def test_an_image_that_is_not_there_is_named(without_image: Voyage, name: str) -> None:
    job = without_image.jobs[name]
    assert (job.status.state, job.status.cause) == (JobState.FAILED, Cause.CANNOT_START)
    assert f"container image {NO_IMAGE} does not exist on {job.status.node}" in job.status.reason
    assert NO_IMAGE in job.get_results()["error"]
    assert Path(job.get_results()["stderr"]).read_text().startswith("scheduler: container image")


def test_a_runtime_that_is_not_there_is_named(place: Place, tmp_path: Path) -> None:
    place = changed(place, prologue=BARE, container={"runtime": "singularity"})
    job = travel(place, tmp_path, lambda: {"one": _run("one", (*place.images, NO_IMAGE)[0])}).jobs["one"]
    assert (job.status.state, job.status.cause) == (JobState.FAILED, Cause.CANNOT_START)
    assert f"singularity is not installed on {job.status.node}" in job.status.reason
    assert "container.runtime" in job.status.reason


def test_a_python_that_is_not_there_is_named(place: Place, tmp_path: Path) -> None:
    if not place.python:
        pytest.skip(why_not("function", place))
    place = changed(place, python="/no such/python3")
    makers = [kinds(place)[kind] for kind in ("function", "python script")]
    jobs = travel(place, tmp_path, lambda: {str(n): make(str(n), "success") for n, make in enumerate(makers)}).jobs
    for job in jobs.values():
        assert (job.status.state, job.status.cause) == (JobState.FAILED, Cause.CANNOT_START)
        assert "there is no /no such/python3 on" in job.status.reason


def test_an_interpreter_that_is_not_there_is_named(place: Place, tmp_path: Path) -> None:
    lines = ["#!/no/such/interpreter -u", "#!/usr/bin/env no-such-interpreter"]

    def make() -> Jobs:
        paths = [Path(f"script {n}") for n in range(len(lines))]
        for path, line in zip(paths, lines, strict=True):
            path.write_text(f"{line}\n")
        return {path.name: Job(f"job of {path}", JobType.SCRIPT, script_path=path) for path in paths}

    for job in travel(place, tmp_path, make).jobs.values():
        assert (job.status.state, job.status.cause) == (JobState.FAILED, Cause.CANNOT_START)
        assert "such" in job.status.reason and "interpreter" in job.status.reason
        assert job.status.reason.endswith("the first line of the script names it")


def test_a_working_dir_that_is_a_file_is_refused_at_once(folder: Path) -> None:
    (folder / "one").touch()
    with pytest.raises(JobError, match=r"job 'one': working_dir .* is not a folder"):
        Job("one", function=len)


@pytest.fixture
def refused(place: Place) -> tuple[str, str, str]:
    """A row of the table above."""
    if place.site.scheduler not in REFUSED:
        pytest.skip("no batch system that could refuse")
    return REFUSED[place.site.scheduler]


def test_a_refusal_has_the_batch_systems_own_words_and_the_same_jobs_go_to_a_mended_site(
    place: Place, refused: tuple[str, str, str], folder: Path
) -> None:
    key, refusal, by_hand = refused
    job = kinds(place)["script"]("one", "success", output_files=["*.root"])
    with runner_in(folder, changed(place, **{key: NONE})) as runner:
        with pytest.raises(BatchError) as caught:
            runner.submit([job])
        program = Program("by hand", f". /etc/profile >/dev/null 2>&1; {by_hand}")
        said = runner.transport.run(program, [NONE]).err
        assert refusal in said
        assert caught.value.words.strip().endswith(said.strip())
        assert said.strip() in str(caught.value)
        assert (job.status.state, job.status.cause) == (JobState.FAILED, Cause.REFUSED)
        assert said.strip() in job.status.reason
    with runner_in(folder, place) as runner:
        runner.submit([job])
        runner.wait([job], timeout=place.patience)
    assert job.is_completed(), job.status


def test_some_are_refused_and_the_others_go_on(place: Place, refused: tuple[str, str, str], folder: Path) -> None:
    key, refusal, _ = refused
    script = kinds(place)["script"]
    good = [script(f"good {n}", "success") for n in range(2)]
    bad = script("bad", "success", resources=Resources.model_validate({key: NONE}))
    with runner_in(folder, place) as runner:
        with pytest.raises(BatchError, match="1 of 3 jobs were refused, 'bad' first"):
            runner.submit([*good, bad])
        runner.wait(timeout=place.patience)
        assert all(job.is_completed() for job in good)
        assert refusal in bad.get_results()["error"]
        bad.resources = Resources()
        runner.submit([*good, bad])
        runner.wait(timeout=place.patience)
        assert bad.is_completed(), bad.status
        assert len(runner.ledger.chosen()) == 4


def test_a_pickle_for_another_python_is_refused_before_anything_is_submitted(place: Place, folder: Path) -> None:
    if not place.python or place.same_python:
        pytest.skip("the Python over there is the one here, or there is none")
    captured = object()
    job = Job("closure", function=lambda: repr(captured))
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    with runner_in(folder, place) as runner:
        with pytest.raises(JobError, match="Nothing was submitted") as caught:
            runner.submit([job])
        theirs = runner.transport.run(Program("python", f"{place.site.python} --version")).out.split()[1]
        assert f"Python {here}" in str(caught.value)
        assert theirs.rpartition(".")[0] in str(caught.value)
        assert "module-level function" in str(caught.value)
        assert runner.ledger.chosen() == []
        assert list((folder / "state/spool").iterdir()) == []
        assert job.state is JobState.CREATED
