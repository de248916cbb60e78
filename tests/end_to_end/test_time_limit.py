"""Jobs that exceed their walltime. The shortest walltime of Slurm is a minute, and it checks twice a minute."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler import Cause, Job, JobState, JobType, Resources, Runner
from scheduler.ledger.ledger import Ledger

from .sites import Target


@pytest.mark.slow
def test_a_job_over_its_walltime_has_failed_by_the_time_limit_even_if_it_exits_with_0_on_sigterm(
    target: Target, folder: Path
) -> None:
    Path("long.sh").write_text("#!/bin/sh\nsleep 3600\n")
    Path("polite.sh").write_text("#!/bin/sh\ntrap 'echo bye; exit 0' TERM\nsleep 3600 &\nwait\n")
    short = Resources(walltime=target.short)
    jobs = [
        Job(name, JobType.SCRIPT, script_path=f"{name}.sh", output_files=[], resources=short)
        for name in ("long", "polite")
    ]
    if target.images:
        image = target.images[0]
        jobs.append(Job("c", JobType.CONTAINER, container_image=image, container_command="sleep 3600", resources=short))
    with Runner(target.site, ledger=Ledger(folder / "ledger")) as runner:
        runner.submit(jobs)
        runner.wait(jobs, timeout=3 * target.patience)
    assert {(job.state, job.status.cause) for job in jobs} == {(JobState.FAILED, Cause.TIME_LIMIT)}
    assert all("time limit" in job.get_results()["error"] for job in jobs)
