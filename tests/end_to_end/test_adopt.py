"""Jobs that another ledger has submitted are adopted while they run, with the states that the batch system shows."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path

from scheduler import Cause, Job, JobState, JobType, Resources, Runner
from scheduler.engine.adopt.adoption import find_unknown, record_found
from scheduler.ledger.ledger import Ledger

from .running import changed, runner_in
from .sites import Target


def _jobs() -> list[Job]:
    Path("sleep.sh").write_text('#!/bin/sh\necho begun\nsleep "$1"\n')
    resources = Resources(walltime="10m")
    return [
        Job(f"s{number}", JobType.SCRIPT, script_path="sleep.sh", arguments=[seconds], resources=resources)
        for number, seconds in enumerate((0, 600, 600, 600))
    ]


def _until(runner: Runner, target: Target, happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 2 * target.patience
    while not happened():
        assert time.monotonic() < deadline, [f"{row.job_id}: {row.status}" for row in runner.ledger.chosen()]
        time.sleep(0.2)
        runner.poll()


def test_adopted_jobs_run_are_cancelled_and_end_as_the_batch_system_shows(target: Target, folder: Path) -> None:
    target = changed(target, work_dir=f"{target.site.work_dir}/adopted-{secrets.token_hex(4)}")
    jobs = _jobs()
    with runner_in(folder, target) as first:
        first.submit(jobs)
        _until(first, target, lambda: jobs[0].state.final and all(job.is_running() for job in jobs[1:3]))
        # One job has ended, one is cancelled by the first ledger, and the others by the second one.
        first.cancel(jobs[1:2])
        with Runner(target.site, ledger=Ledger(folder / "second state")) as second:
            found = find_unknown(second.session.context)
            assert record_found(found, second.session.context) == len(jobs)
            rows = {row.job_id: row.key for row in second.ledger.chosen()}

            def status(job_id: str) -> tuple[JobState, Cause]:
                (row,) = second.ledger.of_keys([rows[job_id]])
                return row.status.state, row.status.cause

            _until(second, target, lambda: status("s2")[0] is JobState.RUNNING and status("s1")[0].final)
            second.session.cancel([rows["s2"], rows["s3"]])
            _until(second, target, lambda: all(status(job_id)[0].final for job_id in rows))
            assert status("s0")[0] is JobState.COMPLETED
            assert {status(job_id) for job_id in ("s1", "s2", "s3")} == {(JobState.CANCELLED, Cause.CANCELLED)}
        first.wait(jobs, timeout=2 * target.patience)
        assert [job.state for job in jobs] == [JobState.COMPLETED, *[JobState.CANCELLED] * 3]
