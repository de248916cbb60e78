"""Several processes run the same campaign, starting at the same moment: each job is submitted once."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

_DRIVER = """
import sys, time
from pathlib import Path
from scheduler import Job, JobType, Runner, Site
from scheduler.ledger.ledger import Ledger
folder = Path(sys.argv[1])
site = Site.from_mapping({"transport": "local", "scheduler": "shell", "work_dir": str(folder / "work"),
                          "limits": {"poll_seconds": 0.1, "running": 4}}, name="local")
jobs = [Job(f"j{n}", JobType.SCRIPT, script_path=folder / "s.sh", arguments=[n],
            env_vars={"RUNS": str(folder / "runs")}, working_dir=folder / f"local{n}") for n in range(5)]
with Runner(site, campaign="scan", ledger=Ledger(folder / "state")) as runner:
    time.sleep(max(0.0, float(sys.argv[2]) - time.time()))
    runner.submit(jobs)
    runner.wait(jobs, timeout=600)
print(" ".join(str(job.status) for job in jobs))
"""


def test_concurrent_drivers_submit_a_campaign_once(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "s.sh").write_text('#!/bin/sh\necho run >>"$RUNS/$1"\n')
    for _ in range(3):
        start = str(time.time() + 2.0)
        command = [sys.executable, "-c", _DRIVER, str(tmp_path), start]
        drivers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        states = [driver.communicate(timeout=600)[0].strip() for driver in drivers]
        assert states == [" ".join(["completed"] * 5)] * 3
    assert [(tmp_path / "runs" / str(n)).read_text() for n in range(5)] == ["run\n"] * 5
