"""Conditions of real sites, on real Slurm: submission from inside a job, variables that change commands, dead jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler import Cause, Job, JobState, JobType, Resources, Runner
from scheduler.engine.connect import transport_to
from scheduler.ledger.ledger import Ledger
from scheduler.transports.base import Transport
from tests.testcluster import Cluster

from .conditions import POLLUTED, SiteWrapper

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

PAYLOAD = """env >env.txt; srun -n 1 echo fine >srun.txt"""


@pytest.fixture
def inside_a_job(cluster: Cluster) -> Iterator[Transport]:
    """The cluster, from inside a job of it, with many variables of a user."""
    transport = transport_to(cluster.site("conditions"))
    yield SiteWrapper(transport, POLLUTED)
    transport.close()


def script(folder: Path, name: str, text: str = PAYLOAD, **keys: object) -> Job:
    source = folder / f"{name}.sh"
    source.write_text(text)
    resources = Resources(**{"walltime": "5m", **keys})  # type: ignore[arg-type]
    out = folder / name
    files = ["env.txt", "srun.txt"] if text == PAYLOAD else []
    return Job(name, JobType.SCRIPT, script_path=source, working_dir=out, output_files=files, resources=resources)


def test_from_inside_a_job_an_array_and_a_single_job_run_once_each_with_their_own_variables(
    cluster: Cluster, inside_a_job: Transport, tmp_path: Path
) -> None:
    site = cluster.site("conditions", limits={"poll_seconds": 0.3})
    jobs = [script(tmp_path, "a"), script(tmp_path, "b"), script(tmp_path, "single", walltime="6m")]
    with Runner(site, ledger=Ledger(tmp_path / "ledger"), transport=inside_a_job) as runner:
        runner.submit(jobs)
        assert all(row.batch_id for row in runner.ledger.chosen())
        runner.wait(jobs, timeout=300)
        ids = [row.batch_id for row in runner.ledger.chosen()]
    assert [str(job.status) for job in jobs] == ["completed"] * 3
    found = [_variables(tmp_path / job.job_id) for job in jobs]
    assert [one["SLURM_JOB_ID"] for one in found][2] == ids[2]
    assert [one.get("SLURM_ARRAY_TASK_ID") for one in found] == ["0", "1", None]
    assert [one.get("SLURM_ARRAY_JOB_ID") for one in found] == [ids[0], ids[0], None]
    single = found[2]
    gone = ("SLURM_RESTART_COUNT", "SLURM_MEM_PER_CPU", "SLURM_NTASKS_PER_NODE", "SLURM_EXPORT_ENV", "SLURM_HINT",
            "PMIX_RANK", "PBS_JOBID", "CUDA_VISIBLE_DEVICES", "SBATCH_WAIT")  # fmt: skip
    assert [name for name in gone if name in single] == []
    assert (single["SLURM_CPUS_PER_TASK"], single["SLURM_NNODES"]) == ("1", "1")
    kept = {
        "LC_ALL": "C.UTF-8",
        "QUOTING_STYLE": "shell-always",
        "SQUEUE_FORMAT": "%i",
        "CDPATH": "/",
        "LS_COLORS": "x",
    }
    assert single.items() >= kept.items()
    assert all((tmp_path / job.job_id / "srun.txt").read_text() == "fine\n" for job in jobs)


def _variables(folder: Path) -> dict[str, str]:
    return dict(line.partition("=")[::2] for line in (folder / "env.txt").read_text().splitlines() if "=" in line)


def test_shell_options_that_a_login_file_exports_end_no_job_early(cluster: Cluster, tmp_path: Path) -> None:
    """Its shell is bash, which the scripts of jobs run in."""
    options = "set -e -o noclobber -o pipefail; shopt -s failglob; export SHELLOPTS BASHOPTS"
    cluster.enter("sh", "-c", f"echo '{options}' >/home/bob/.bashrc")
    try:
        site = cluster.site("options", user="bob", account="other", limits={"poll_seconds": 0.3})
        jobs = [script(tmp_path, "a"), script(tmp_path, "b"), script(tmp_path, "fails", "exit 3", walltime="6m")]
        with Runner(site, ledger=Ledger(tmp_path / "ledger")) as runner:
            runner.submit(jobs)
            runner.wait(jobs, timeout=300)
        assert [str(job.status) for job in jobs] == ["completed", "completed", "failed: exit code 3"]
    finally:
        cluster.enter("rm", "-f", "/home/bob/.bashrc")


def test_a_job_whose_dependency_failed_leaves_the_queue_when_it_is_declared_failed(
    cluster: Cluster, tmp_path: Path
) -> None:
    site = cluster.site("conditions", limits={"poll_seconds": 0.3})
    with Runner(site, ledger=Ledger(tmp_path / "ledger")) as runner:
        failing = script(tmp_path, "failing", "exit 3")
        runner.submit([failing])
        runner.wait([failing], timeout=300)
        after = [f"--dependency=afterok:{runner.ledger.chosen()[0].batch_id}"]
        jobs = [
            script(tmp_path, name, "true", native=after, cpus=cpus) for name, cpus in (("a", 1), ("b", 1), ("c", 2))
        ]
        runner.submit(jobs)
        runner.wait(jobs, timeout=300)
        rows = runner.ledger.chosen()[1:]
    assert {(job.state, job.status.cause) for job in jobs} == {(JobState.FAILED, Cause.DEPENDENCY)}
    for row in rows:
        assert "PENDING" not in cluster.enter("squeue", "-h", "-n", row.name, "-o", "%T")
