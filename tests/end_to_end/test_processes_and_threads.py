"""One Runner in several threads, in forked processes, and in processes that get it by pickle, over SSH on Slurm."""

from __future__ import annotations

import multiprocessing
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scheduler import Job, JobState, JobType, Resources, Runner
from scheduler.ledger.ledger import Ledger
from tests.testcluster import Cluster

PATIENCE = 600.0


def job(folder: Path, name: str, text: str = "echo $JOB_ID >out.txt") -> Job:
    script = folder / f"{name}.sh"
    script.write_text(f"#!/bin/sh\n{text}\n")
    resources = Resources(memory="100MB", walltime="10m")
    return Job(
        name, JobType.SCRIPT, script_path=script, working_dir=folder / name, output_files=["out.txt"],
        resources=resources,
    )  # fmt: skip


def runs(runner: Runner, one: Job) -> None:
    """Submit a job, wait for it, and check its output: in another process."""
    runner.submit([one])
    runner.wait([one], timeout=PATIENCE)
    assert one.state is JobState.COMPLETED
    assert (Path(one.working_dir) / "out.txt").read_text() == f"{one.job_id}\n"
    runner.close()


def follows(runner: Runner, one: Job) -> None:
    """Wait for a job that another process has submitted."""
    runner.wait([one], timeout=PATIENCE)
    assert one.state is JobState.COMPLETED
    runner.close()


def in_process(method: str, target: object, *arguments: object) -> None:
    process = multiprocessing.get_context(method).Process(target=target, args=arguments)  # type: ignore[attr-defined]
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 0


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_runner_in_other_processes_opens_anew_and_the_parent_keeps_its_connection(
    cluster: Cluster, tmp_path: Path
) -> None:
    with Runner(cluster.site("forked"), ledger=Ledger(tmp_path / "ledger"), prompt=False) as runner:
        first = job(tmp_path, "first")
        runner.submit([first])
        connection = runner.transport._connection  # type: ignore[attr-defined]
        in_process("fork", runs, runner, job(tmp_path, "forked"))
        in_process("spawn", runs, runner, job(tmp_path, "spawned"))
        in_process("spawn", follows, runner, first)
        runner.wait([first], timeout=PATIENCE)
        assert first.state is JobState.COMPLETED
        assert runner.transport._connection is connection  # type: ignore[attr-defined]
        assert {row.job_id: row.status.state for row in runner.ledger.chosen()} == dict.fromkeys(
            ("first", "forked", "spawned"), JobState.COMPLETED
        )


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_workers_that_are_forked_while_an_ssh_of_openssh_is_connected_open_their_own(
    cluster: Cluster, tmp_path: Path
) -> None:
    site = cluster.site("forked-openssh", transport="openssh")
    with Runner(site, ledger=Ledger(tmp_path / "ledger"), prompt=False) as runner:
        first = job(tmp_path, "first")
        runner.submit([first])
        folder = runner.transport._master._folder  # type: ignore[attr-defined]
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pool.starmap_async(runs, [(runner, job(tmp_path, name)) for name in "ab"]).get(PATIENCE)
        assert (folder / "m").is_socket()  # neither closed nor removed by a worker
        runner.wait([first], timeout=PATIENCE)
        assert first.state is JobState.COMPLETED


@pytest.mark.cluster
@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_workers_of_joblib_use_a_runner(backend: str, cluster: Cluster, tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    with Runner(cluster.site("joblib"), ledger=Ledger(tmp_path / "ledger"), prompt=False) as runner:
        first = job(tmp_path, "first")
        runner.submit([first])
        work = (joblib.delayed(runs)(runner, job(tmp_path, name)) for name in "ab")
        joblib.Parallel(n_jobs=2, backend=backend, timeout=PATIENCE)(work)
        runner.wait([first], timeout=PATIENCE)
        assert first.state is JobState.COMPLETED
    if backend == "loky":  # its workers would outlive this test
        joblib.externals.loky.get_reusable_executor().shutdown(wait=True)


@pytest.mark.cluster
def test_eight_threads_use_one_runner(cluster: Cluster, tmp_path: Path) -> None:
    name = f"threads-{uuid.uuid4().hex[:8]}"  # the site notes the campaigns of earlier runs of this test
    with Runner(cluster.site("threads"), ledger=Ledger(tmp_path / "ledger"), prompt=False, campaign=name) as runner:

        def work(number: int) -> JobState:
            one = job(tmp_path, f"j{number}", "sleep 600" if number % 4 == 0 else "echo $JOB_ID >out.txt")
            runner.submit([one])
            runner.poll()
            if number % 4 == 0:
                runner.cancel([one])
            runner.wait([one], timeout=PATIENCE)
            runner.collect([one])
            return one.state

        with ThreadPoolExecutor(8) as pool:
            states = list(pool.map(work, range(8)))
        cancelled, completed = JobState.CANCELLED, JobState.COMPLETED
        assert states == [cancelled, *[completed] * 3] * 2
        assert len(runner.ledger.chosen()) == 8
