"""Jobs that share nodes: two nodes' worth of them goes to each batch system, and what befalls one concerns no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler import Cause, Job, JobState, JobType, Resources

from .kinds import Make, kinds
from .payloads import CONTENT
from .sites import RUN, Place
from .test_cancel import Cancelled
from .voyage import Jobs, changed, in_folder, runner_in

SHORT = "short"
SHORT_WALLTIME = "15s"
"""Of a job, which is ours to enforce: batch systems count minutes, and know the node's alone."""


@pytest.fixture(scope="module")
def shared(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cancelled]:
    """Jobs of one core for two nodes, all begun: most do as they are told once there is a file `go`."""
    if place.site.name == "slurm-as-tess":
        pytest.skip("as alice; another login shell changes nothing on the nodes")
    limits = place.site.limits.model_dump(exclude_none=True) | {"whole_node": True, "cores_per_node": place.cores}
    place = changed(place, limits=limits)
    with in_folder(tmp_path_factory.mktemp("packing")) as folder, runner_in(folder, place) as runner:
        going = Cancelled(place, runner, _jobs(place))
        try:
            runner.submit(going.jobs.values())
            going.until(lambda: all(job.is_running() or job.final for job in going.jobs.values()))
            yield going
        finally:
            runner.cancel(job for job in going.jobs.values() if not job.final)


def _kinds(place: Place) -> dict[str, Make]:
    made = kinds(place)
    return made if place.cores == 8 else {kind: make for kind, make in made.items() if kind in ("script", "function")}


def _jobs(place: Place) -> Jobs:
    """Each kind once, one that fails, two that are ended in the middle, one with a short walltime, and company."""
    Path("endless.sh").write_text("echo begun; exec sleep 3600")
    makers = _kinds(place)
    jobs = {kind: make(f"packed {kind}", "success", output_files=["*.root"]) for kind, make in makers.items()}
    jobs["failing"] = makers["script"]("packed failing", "exit-3")
    for name in ("cancelled", "killed", SHORT):
        walltime = Resources(walltime=SHORT_WALLTIME) if name == SHORT else None
        script = Path("endless.sh").absolute()
        jobs[name] = Job(f"packed {name} of {RUN}", JobType.SCRIPT, script_path=script, resources=walltime)
    while len(jobs) < 2 * place.cores:
        jobs[f"beside {len(jobs)}"] = makers["script"](f"packed beside {len(jobs)} of {RUN}", "endless")
    return jobs


def test_they_are_as_many_batch_jobs_as_nodes(shared: Cancelled) -> None:
    rows = shared.runner.ledger.of_keys(shared.runner.keys(shared.jobs.values()))
    assert sorted(Counter(row.batch_id for row in rows).values()) == [shared.place.cores] * 2


def test_each_that_ends_well_is_complete_and_home_while_its_neighbours_go_on(shared: Cancelled) -> None:
    well = [shared.jobs[kind] for kind in _kinds(shared.place)]
    shared.runner.wait(well, timeout=shared.place.patience)
    for job in well:
        assert job.is_completed(), (job.job_id, job.get_results())
        assert (Path(job.working_dir) / "out.root").read_bytes() == CONTENT
    assert any(job.is_running() for name, job in shared.jobs.items() if name.startswith("beside"))


def test_one_that_fails_fails_alone(shared: Cancelled) -> None:
    job = shared.jobs["failing"]
    shared.runner.wait([job], timeout=shared.place.patience)
    assert (job.status.cause, job.status.exit_code) == (Cause.EXIT_CODE, 3)
    assert "the last words" in job.get_results()["error"]
    _go_on(shared)


def test_cancel_of_one_ends_that_one_alone(shared: Cancelled) -> None:
    job = shared.jobs["cancelled"]
    shared.runner.cancel([job])
    shared.runner.wait([job], timeout=shared.place.patience)
    assert (job.status.state, job.status.cause) == (JobState.CANCELLED, Cause.CANCELLED)
    shared.until(lambda: not shared.processes("cancelled"))
    _go_on(shared)


def test_one_whose_processes_are_killed_fails_alone(shared: Cancelled) -> None:
    job = shared.jobs["killed"]
    shared.until(lambda: shared.begun("killed"))
    shared.do('kill -KILL "$@"', *shared.processes("killed"))
    shared.runner.wait([job], timeout=shared.place.patience)
    assert (job.status.state, job.status.cause, job.status.exit_code) == (JobState.FAILED, Cause.SIGNAL, 137)
    _go_on(shared)


def test_one_that_runs_longer_than_it_may_is_ended_alone(shared: Cancelled) -> None:
    job = shared.jobs[SHORT]
    shared.runner.wait([job], timeout=2 * shared.place.patience)
    assert (job.status.state, job.status.cause) == (JobState.FAILED, Cause.TIME_LIMIT)
    _go_on(shared)


def test_when_the_last_of_a_node_are_cancelled_the_node_is_given_back(shared: Cancelled) -> None:
    rest = [job for name, job in shared.jobs.items() if name.startswith("beside")]
    shared.runner.cancel(rest)
    shared.runner.wait(rest, timeout=shared.place.patience)
    assert {job.status.cause for job in rest} == {Cause.CANCELLED}


def _go_on(shared: Cancelled) -> None:
    shared.runner.poll()
    beside = [job for name, job in shared.jobs.items() if name.startswith("beside")]
    assert all(job.is_running() for job in beside), {job.job_id: str(job.status) for job in beside}


def test_one_is_cancelled_while_its_node_is_waited_for(shared: Cancelled) -> None:
    if shared.place.site.scheduler != "slurm":
        pytest.skip("jobs cannot be told to wait here")
    waits = Resources(native=["--begin=now+1hour"])
    script = Path("endless.sh").absolute()
    jobs = [Job(f"waiting {n} of {RUN}", JobType.SCRIPT, script_path=script, resources=waits) for n in range(3)]
    waiting = Cancelled(shared.place, shared.runner, {job.job_id: job for job in jobs})
    shared.runner.submit(jobs)
    waiting.until(lambda: all(job.status.raw == "PENDING" for job in jobs))
    shared.runner.cancel(jobs[:1])
    shared.runner.wait(jobs[:1], timeout=shared.place.patience)
    assert [job.status.state for job in jobs] == [JobState.CANCELLED, JobState.QUEUED, JobState.QUEUED]
    shared.runner.cancel(jobs)
    shared.runner.wait(jobs, timeout=shared.place.patience)
    assert {job.status.cause for job in jobs} == {Cause.CANCELLED}
