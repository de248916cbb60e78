"""The exact number of remote commands: it does not grow with the number of jobs, whatever resources they ask for."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from scheduler import Job, JobType, Resources, Runner
from scheduler.engine.connect import transport_to
from scheduler.ledger.ledger import Ledger
from tests.wrapped import Counting

from .sites import Target, alone


def _jobs(count: int, *, unequal: bool) -> list[Job]:
    Path("job.sh").write_text("#!/bin/sh\necho $1 >out.txt\n")
    jobs = []
    for number in range(count):
        resources = alone(number) if unequal else Resources(walltime="5m")
        common = {"output_files": ["out.txt"], "resources": resources}
        jobs.append(Job(f"s{number}", JobType.SCRIPT, script_path="job.sh", arguments=[number], **common))  # type: ignore[arg-type]
    return jobs


def _collect_commands(target: Target) -> list[str]:
    """On a local site the outputs are in place already, and the logs of these jobs are empty."""
    return ["manifest"] if target.local else ["manifest", "fetch"]


@pytest.mark.parametrize(("count", "unequal"), [(1, False), (40, False), (40, True)], ids=["1", "40", "40 unequal"])
def test_each_operation_takes_the_same_commands_for_any_number_of_jobs(
    target: Target, folder: Path, count: int, unequal: bool
) -> None:
    transport = Counting(transport_to(target.site))
    with Runner(target.site, ledger=Ledger(folder / "ledger"), transport=transport) as runner:
        jobs = _jobs(count, unequal=unequal)
        runner.submit(jobs)
        assert transport.take() == ["submit"]
        runner.session.poll()
        assert transport.take() == ["poll"]
        runner.wait(jobs, timeout=2 * target.patience)
        assert all(job.is_completed() for job in jobs)
        assert set(transport.take()) <= {"poll", "manifest", "fetch"}
        late = _jobs(count, unequal=unequal)
        for job in late:
            job.working_dir += " late"
        runner.submit(late)
        while not all(job.final for job in late):
            time.sleep(0.05)
            runner.poll()
        transport.take()
        runner.collect(late)
        assert transport.take() == _collect_commands(target)
        runner.collect(late)
        runner.cancel(late)
        assert transport.take() == []


def test_cancelling_forty_jobs_takes_one_command(target: Target, folder: Path) -> None:
    transport = Counting(transport_to(target.site))
    with Runner(target.site, ledger=Ledger(folder / "ledger"), transport=transport) as runner:
        Path("long.sh").write_text("#!/bin/sh\nsleep 3600\n")
        jobs = [Job(f"l{n}", JobType.SCRIPT, script_path="long.sh", resources=alone(n % 2)) for n in range(40)]
        runner.submit(jobs)
        transport.take()
        runner.cancel(jobs)
        assert transport.take() == ["cancel"]
        runner.wait(jobs, timeout=2 * target.patience)
        assert {str(job.status) for job in jobs} == {"cancelled"}


def test_a_large_file_is_uploaded_first_and_downloaded_in_as_many_commands_as_a_small_one(
    target: Target, folder: Path
) -> None:
    transport = Counting(transport_to(target.site))
    Path("large").write_bytes(os.urandom(1 << 20) * 18)
    Path("move.sh").write_text("#!/bin/sh\nmv large out.bin\n")
    with Runner(target.site, ledger=Ledger(folder / "ledger"), transport=transport) as runner:
        inputs = {"large": folder / "large"}
        job = Job("l", JobType.SCRIPT, script_path="move.sh", input_files=inputs, output_files=["out.bin"])
        runner.submit([job])
        commands = transport.take()
        assert commands == ["upload"] * (len(commands) - 1) + ["submit"] and 2 <= len(commands) <= 9
        while not job.final:
            runner.poll()
        transport.take()
        runner.collect([job])
        assert transport.take() == _collect_commands(target)
        assert (Path(job.working_dir) / "out.bin").read_bytes() == Path("large").read_bytes()
