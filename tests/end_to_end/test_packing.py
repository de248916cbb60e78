"""Jobs that share nodes: enough jobs for two nodes on each batch system; what happens to one affects no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from job_payloads import CONTENT
from scheduler import Cause, Job, JobState, JobType, Resources

from .job_kinds import Make, kinds
from .running import Jobs, changed, in_hostile_folder, runner_in
from .sites import RUN, Target
from .test_cancel import RunningJobs

SHORT = "short"
SHORT_WALLTIME = "15s"
"""The walltime of one job, which this package enforces: batch systems know the walltime of the whole node."""


@pytest.fixture(scope="module")
def shared(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningJobs]:
    """Jobs of one core for two nodes; all of them have started."""
    if target.site.name == "slurm-as-tess":
        pytest.skip("runs as alice: the login shell makes no difference on the nodes")
    limits = target.site.limits.model_dump(exclude_none=True) | {"whole_node": True, "cores_per_node": target.cores}
    target = changed(target, limits=limits)
    with in_hostile_folder(tmp_path_factory.mktemp("packing")) as folder, runner_in(folder, target) as runner:
        running = RunningJobs(target, runner, _jobs(target))
        try:
            runner.submit(running.jobs.values())
            running.until(lambda: all(job.is_running() or job.final for job in running.jobs.values()))
            yield running
        finally:
            runner.cancel(job for job in running.jobs.values() if not job.final)


def _kinds(target: Target) -> dict[str, Make]:
    made = kinds(target)
    return made if target.cores == 8 else {kind: make for kind, make in made.items() if kind in ("script", "function")}


def _jobs(target: Target) -> Jobs:
    """One job of each kind, one that fails, two that tests end, one with a short walltime, and neighbours that run."""
    Path("endless.sh").write_text("echo begun; exec sleep 3600")
    makers = _kinds(target)
    jobs = {kind: make(f"packed {kind}", "success", output_files=["*.root"]) for kind, make in makers.items()}
    jobs["failing"] = makers["script"]("packed failing", "exit-3")
    for name in ("cancelled", "killed", SHORT):
        walltime = Resources(walltime=SHORT_WALLTIME) if name == SHORT else None
        script = Path("endless.sh").absolute()
        jobs[name] = Job(f"packed {name} of {RUN}", JobType.SCRIPT, script_path=script, resources=walltime)
    while len(jobs) < 2 * target.cores:
        jobs[f"beside {len(jobs)}"] = makers["script"](f"packed beside {len(jobs)} of {RUN}", "endless")
    return jobs


def test_there_are_as_many_batch_jobs_as_nodes(shared: RunningJobs) -> None:
    rows = shared.runner.ledger.of_keys(shared.runner.keys(shared.jobs.values()))
    assert sorted(Counter(row.batch_id for row in rows).values()) == [shared.target.cores] * 2


def test_each_successful_job_is_completed_and_collected_while_its_neighbours_run(shared: RunningJobs) -> None:
    well = [shared.jobs[kind] for kind in _kinds(shared.target)]
    shared.runner.wait(well, timeout=shared.target.patience)
    for job in well:
        assert job.is_completed(), (job.job_id, job.get_results())
        assert (Path(job.working_dir) / "out.root").read_bytes() == CONTENT
    assert any(job.is_running() for name, job in shared.jobs.items() if name.startswith("beside"))


def test_a_job_that_fails_affects_no_other(shared: RunningJobs) -> None:
    job = shared.jobs["failing"]
    shared.runner.wait([job], timeout=shared.target.patience)
    assert (job.status.cause, job.status.exit_code) == (Cause.EXIT_CODE, 3)
    assert "the last line" in job.get_results()["error"]
    _neighbours_run(shared)


def test_cancelling_one_job_ends_that_job_alone(shared: RunningJobs) -> None:
    job = shared.jobs["cancelled"]
    shared.runner.cancel([job])
    shared.runner.wait([job], timeout=shared.target.patience)
    assert (job.status.state, job.status.cause) == (JobState.CANCELLED, Cause.CANCELLED)
    shared.until(lambda: not shared.processes("cancelled"))
    _neighbours_run(shared)


def test_a_job_whose_processes_are_killed_affects_no_other(shared: RunningJobs) -> None:
    job = shared.jobs["killed"]
    shared.until(lambda: shared.begun("killed"))
    shared.do('kill -KILL "$@"', *shared.processes("killed"))
    shared.runner.wait([job], timeout=shared.target.patience)
    assert (job.status.state, job.status.cause, job.status.exit_code) == (JobState.FAILED, Cause.SIGNAL, 137)
    _neighbours_run(shared)


def test_a_job_over_its_walltime_is_killed_alone(shared: RunningJobs) -> None:
    job = shared.jobs[SHORT]
    shared.runner.wait([job], timeout=2 * shared.target.patience)
    assert (job.status.state, job.status.cause) == (JobState.FAILED, Cause.TIME_LIMIT)
    _neighbours_run(shared)


def test_the_batch_job_ends_when_the_last_jobs_of_the_node_are_cancelled(shared: RunningJobs) -> None:
    rest = [job for name, job in shared.jobs.items() if name.startswith("beside")]
    shared.runner.cancel(rest)
    shared.runner.wait(rest, timeout=shared.target.patience)
    assert {job.status.cause for job in rest} == {Cause.CANCELLED}


def _neighbours_run(shared: RunningJobs) -> None:
    shared.runner.poll()
    beside = [job for name, job in shared.jobs.items() if name.startswith("beside")]
    assert all(job.is_running() for job in beside), {job.job_id: str(job.status) for job in beside}


def test_one_job_is_cancelled_while_its_node_is_queued(shared: RunningJobs) -> None:
    if shared.target.site.scheduler != "slurm":
        pytest.skip("this batch system has no option that makes a job wait")
    waits = Resources(native=["--begin=now+1hour"])
    script = Path("endless.sh").absolute()
    jobs = [Job(f"waiting {n} of {RUN}", JobType.SCRIPT, script_path=script, resources=waits) for n in range(3)]
    waiting = RunningJobs(shared.target, shared.runner, {job.job_id: job for job in jobs})
    shared.runner.submit(jobs)
    waiting.until(lambda: all(job.status.raw == "PENDING" for job in jobs))
    shared.runner.cancel(jobs[:1])
    shared.runner.wait(jobs[:1], timeout=shared.target.patience)
    assert [job.status.state for job in jobs] == [JobState.CANCELLED, JobState.QUEUED, JobState.QUEUED]
    shared.runner.cancel(jobs)
    shared.runner.wait(jobs, timeout=shared.target.patience)
    assert {job.status.cause for job in jobs} == {Cause.CANCELLED}
