"""Job objects from the ledger in a later process, and jobs in the order of their ends, on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scheduler import Job, JobError, JobFailed, JobType, Runner, Site, WaitTimeout
from scheduler.ledger.ledger import Ledger

MakeRunner = Callable[..., Runner]


def three() -> int:
    return 3


@pytest.fixture
def runner_of(tmp_path: Path) -> MakeRunner:
    keys = {"transport": "local", "scheduler": "shell", "work_dir": str(tmp_path / "work")}
    site = Site.from_mapping({**keys, "limits": {"poll_seconds": 0.05}}, name="local")
    return lambda campaign=None: Runner(site, campaign=campaign, ledger=Ledger(tmp_path / "state"))


def script(folder: Path, job_id: str, text: str, **more: object) -> Job:
    path = folder / f"{job_id}.sh"
    path.write_text(f"{text}\n")
    return Job(job_id, JobType.SCRIPT, script_path=path, working_dir=folder / "out" / job_id, **more)  # type: ignore[arg-type]


def test_a_later_process_gets_the_jobs_of_a_campaign_with_results_and_facts(
    tmp_path: Path, runner_of: MakeRunner
) -> None:
    good = Job("three", function=three, working_dir=tmp_path / "out" / "three")
    text = """echo 1 >a.root; echo '{"exit_code": 5, "stdout": 6, "output_files": 7}' >result.json"""
    own, bad = script(tmp_path, "own", text, output_files=["*.root"]), script(tmp_path, "bad", "echo words >&2; exit 3")
    with runner_of("scan") as runner:
        runner.submit([good, own, bad])
        assert good.runner is runner
        with pytest.raises(JobFailed, match="words"):
            bad.result(timeout=600)
        assert good.result(timeout=600) == 3
    with runner_of() as later:
        jobs = {job.job_id: job for job in later.jobs(campaign="scan")}
        assert list(jobs) == ["three", "own", "bad"]
        assert jobs["three"].result(timeout=600) == 3
        assert jobs["own"].result(timeout=600) == {"exit_code": 5, "stdout": 6, "output_files": 7}
        assert (jobs["own"].exit_code, jobs["own"].outputs) == (0, {"*.root": [str(tmp_path / "out/own/a.root")]})
        [remote] = jobs["own"].remote_outputs
        assert (remote.size, len(remote.sha256)) == (2, 64)
        assert str(jobs["own"].remote_dir).startswith(str(tmp_path / "work")) and jobs["own"].batch_id
        failed = jobs["bad"].exception()
        assert failed is not None and failed.last_lines == "words" and failed.exit_code == 3
        assert Path(str(jobs["bad"].stderr)).read_text() == "words\n"
        assert later.jobs("scan") == list(jobs.values())
        later.retry([jobs["bad"]])
        later.wait([jobs["bad"]], timeout=600)
        assert (jobs["bad"].attempts, jobs["bad"].exit_code) == (2, 3)
    with runner_of("scan") as other:
        with pytest.raises(JobError, match="was read from the ledger"):
            Runner.submit(runner_of("another"), list(jobs.values()))
        assert [job.job_id for job in other.jobs()] == ["three", "own", "bad"]
        assert other.jobs("no such") == []
    with pytest.raises(JobError, match="Name a campaign"):
        runner_of().jobs()


def test_jobs_are_given_as_they_complete(tmp_path: Path, runner_of: MakeRunner) -> None:
    late = script(tmp_path, "late", f"until [ -e {tmp_path}/go ]; do sleep 0.1; done")
    first, second = script(tmp_path, "first", "exit 1"), script(tmp_path, "second", "true")
    with runner_of() as runner:
        runner.submit([late, first, second])
        with pytest.raises(WaitTimeout, match="1 of 1 jobs"):
            list(runner.as_completed([late], timeout=0.2))
        given = []
        for job in runner.as_completed(timeout=600):
            given.append(job.job_id)
            assert job.stdout is not None
            if len(given) == 2:
                (tmp_path / "go").touch()
        assert (set(given[:2]), given[2:]) == ({"first", "second"}, ["late"])
        assert [job.job_id for job in runner.as_completed([late, first])] == ["late", "first"]
        with pytest.raises(JobError, match="was not submitted by this runner"):
            next(runner.as_completed([script(tmp_path, "stranger", "true")]))


def test_the_runner_that_the_user_has_assigned_is_kept(tmp_path: Path, runner_of: MakeRunner) -> None:
    class Wrapper:
        def __init__(self, runner: Runner) -> None:
            self.run_job, self.check_job_status = runner.run_job, runner.check_job_status
            self.cancel_job = runner.cancel_job

    job = script(tmp_path, "a", "true")
    with runner_of() as runner:
        job.set_runner(wrapper := Wrapper(runner))
        job.run()
        assert job.runner is wrapper
        runner.wait([job], timeout=600)
    assert job.is_completed()
