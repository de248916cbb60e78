"""Jobs that share a working_dir never mix results, logs and outputs, whatever they declare, on this machine."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scheduler import Job, JobError, JobType, Runner, Site
from scheduler.ledger.ledger import Ledger

PATTERNS: Sequence[Sequence[str]] = (["*.root"], ["x.root"], ["OWN.root"], ["**"], ["x.*", "OWN.root"], [])
WRITES = """echo "$JOB_ID"; echo "$JOB_ID" >x.root; echo "$JOB_ID" >"$JOB_ID.root"
"""
RESULT = """printf '{"id": "%s"}' "$JOB_ID" >result.json
"""


class One(NamedTuple):
    """A job: its folder and outputs, whether it leaves a result, and whether it is collected before the next one."""

    folder: str
    patterns: Sequence[str]
    has_result: bool
    alone: bool


ONE = st.builds(One, st.sampled_from("ab"), st.sampled_from(PATTERNS), st.booleans(), st.booleans())


def runner_in(folder: Path) -> Runner:
    keys = {"transport": "local", "scheduler": "shell", "work_dir": str(folder / "work")}
    site = Site.from_mapping({**keys, "limits": {"poll_seconds": 0.02}}, name="local")
    return Runner(site, ledger=Ledger(folder / "state"))


def job_of(folder: Path, job_id: str, one: One) -> Job:
    script = folder / f"{job_id}.sh"
    script.write_text(WRITES + (RESULT if one.has_result else ""))
    outputs = [pattern.replace("OWN", job_id) for pattern in one.patterns]
    return Job(job_id, JobType.SCRIPT, script_path=script, working_dir=folder / one.folder, output_files=outputs)


def check(job: Job, one: One) -> None:
    """The job completed, and all that it has is its own."""
    assert job.is_completed(), (job.status, job.error)
    assert job.get_results() == ({"id": job.job_id} if one.has_result else {}), job
    assert Path(str(job.stdout)).read_text() == f"{job.job_id}\n"
    for paths in job.outputs.values():
        assert paths
        for path in map(Path, paths):
            words = path.read_text()
            assert words in (f"{job.job_id}\n", json.dumps({"id": job.job_id})), (job, path, words)


@settings(max_examples=12)
@example([One("a", ["*.root"], False, False), One("a", ["*.root"], False, False)])
@example([One("a", ["**"], True, False), One("a", ["x.*"], True, True), One("a", ["*.root"], False, False)])
@example([One("a", [], False, True), One("a", ["*.root"], False, False)])
@example([One("a", ["*.root"], False, True), One("a", ["**"], True, False)])
@given(st.lists(ONE, min_size=2, max_size=5))
def test_jobs_with_any_mix_of_shared_folders_and_patterns_never_mix(ones: list[One]) -> None:
    with tempfile.TemporaryDirectory() as name, runner_in(Path(name)) as runner:
        accepted = dict[Job, One]()
        for number, one in enumerate(ones):
            job = job_of(Path(name), f"j{number}", one)
            try:
                runner.submit([job])
            except JobError as error:
                assert "is also an output of" in str(error)
                continue
            accepted[job] = one
            if one.alone:
                runner.wait([job], timeout=600)
                check(job, one)
        runner.wait(list(accepted), timeout=600)
        for job, one in accepted.items():
            if not one.alone or not any("x" in pattern or "*" in pattern for pattern in one.patterns):
                check(job, one)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Job]:
    numbers = itertools.count()
    return lambda *patterns, result=True: job_of(
        tmp_path, f"j{next(numbers)}", One("out", patterns, result, alone=False)
    )


def test_a_sweep_may_have_one_folder(tmp_path: Path, make: Callable[..., Job]) -> None:
    jobs = [make("OWN.root") for _ in range(4)]
    with runner_in(tmp_path) as runner:
        runner.submit(jobs)
        runner.wait(jobs, timeout=600)
    out = tmp_path / "out"
    for job in jobs:
        assert job.result() == {"id": job.job_id}
        assert job.outputs == {f"{job.job_id}.root": [str(out / f"{job.job_id}.root")]}
        assert job.stdout == str(out / ".scheduler" / job.job_id / "job.stdout")
        assert json.loads((out / ".scheduler" / job.job_id / "result.json").read_text()) == {"id": job.job_id}
    assert sorted(path.name for path in out.iterdir()) == [".scheduler", *(f"j{n}.root" for n in range(4))]


def test_outputs_of_patterns_that_would_have_one_path_are_named_apart(tmp_path: Path, make: Callable[..., Job]) -> None:
    jobs = [make("x.*"), make("x.*")]
    with runner_in(tmp_path) as runner:
        runner.submit(jobs)
        runner.wait(jobs, timeout=600)
    places = {Path(path) for job in jobs for paths in job.outputs.values() for path in paths}
    assert len(places) == 2 and tmp_path / "out/x.root" in places
    assert places < {tmp_path / "out/x.root", *(tmp_path / f"out/.scheduler/j{n}/x.root" for n in range(2))}
    for job in jobs:
        [[path]] = job.outputs.values()
        assert Path(path).read_text() == f"{job.job_id}\n"


def test_a_name_that_another_job_has_is_refused(tmp_path: Path, make: Callable[..., Job]) -> None:
    first, second, third = make("x.root"), make("x.root"), make("x.root")
    with runner_in(tmp_path) as runner:
        runner.submit([first])
        with pytest.raises(JobError, match=r"'j1': its output 'x.root' .* is also an output of 'j0', of an earlier"):
            runner.submit([second])
        runner.wait([first], timeout=600)
        with pytest.raises(JobError, match="is also an output of 'j0'"):
            runner.submit([second])
        (tmp_path / "out/x.root").unlink()
        runner.submit([third])
        runner.wait([third], timeout=600)
    assert third.is_completed() and Path(third.outputs["x.root"][0]).read_text() == "j2\n"


def test_a_job_alone_in_its_folder_has_its_logs_there(tmp_path: Path, make: Callable[..., Job]) -> None:
    job = make()
    with runner_in(tmp_path) as runner:
        runner.submit([job])
        runner.wait([job], timeout=600)
        later = make(result=False)
        runner.submit([later])
        runner.wait([later], timeout=600)
    assert job.stdout == str(tmp_path / "out/job.stdout") and job.result() == {"id": "j0"}
    assert later.stdout == str(tmp_path / "out/.scheduler/j1/job.stdout") and later.result() is None
