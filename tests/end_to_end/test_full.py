"""A batch system that accepts no more jobs of a user: the rest waits in the ledger, and each job runs once."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler import Job, JobType
from tests.testcluster import Cluster

from .running import in_hostile_folder, runner_in, skip_without_enforced_accounts
from .sites import RUN, Target


@pytest.mark.cluster
def test_jobs_over_slurms_limit_wait_locally_until_others_have_finished(cluster: Cluster, tmp_path: Path) -> None:
    target = Target(cluster.site("few", qos="few"))  # that QOS accepts three jobs of a user
    skip_without_enforced_accounts(target)
    with in_hostile_folder(tmp_path) as folder, runner_in(folder, target) as runner:
        script = Path("s.sh")
        script.write_text("echo $JOB_ID >>~/ran-$1; until [ -e ~/go-$1 ]; do sleep 0.2; done")
        jobs = [Job(f"few {n}", JobType.SCRIPT, script_path=script, arguments=[RUN]) for n in range(7)]
        runner.submit(jobs[:2])
        runner.submit(jobs[2:3])
        for job in jobs[3:]:
            runner.submit([job])
        waiting = [job for job in jobs if "Submit" in job.status.reason]
        assert waiting, [job.status for job in jobs]
        assert not any(job.final for job in jobs)
        cluster.enter("touch", f"/home/alice/go-{RUN}")
        runner.wait(jobs, timeout=600)
        assert all(job.is_completed() for job in jobs)
    ran = cluster.enter("cat", f"/home/alice/ran-{RUN}").splitlines()
    assert sorted(ran) == sorted(job.job_id for job in jobs)
