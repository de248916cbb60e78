"""A process of its own, whose memory is measured, that uses a host under an attacker's control. Its plan is on stdin.

Prints as JSON: for each step "ok" or the error; the states of the jobs; the peak of its memory in MiB, and the size of
its ledger in MiB.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scheduler import Job, JobType, Runner, Site
from scheduler.check.look import inspect_site
from scheduler.engine import programs
from scheduler.errors import SchedulerError
from scheduler.ledger.ledger import Ledger
from scheduler.transports import deadline


def peak_mib() -> int:
    found = re.search(r"VmHWM:\s+([0-9]+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) >> 10 if found else 0


class Victim:
    """Steps by name."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.ledger = Ledger(Path("state"))
        self.runner = Runner(Site.from_mapping(plan["site"], name="liar"), ledger=self.ledger, prompt=False)
        Path("a.sh").write_text("true\n")
        self.jobs = [
            Job(f"j{n}", JobType.SCRIPT, script_path="a.sh", working_dir=f"out/{n}", output_files=["*.txt"])
            for n in range(plan.get("jobs", 1))
        ]

    def submit(self) -> None:
        self.runner.submit(self.jobs)

    def poll(self) -> None:
        time.sleep(0.002)
        self.runner.poll()

    def collect(self) -> None:
        self.runner.collect()

    def cancel(self) -> None:
        self.runner.cancel(self.jobs)

    def check(self) -> None:
        inspect_site(self.runner.site, self.runner.transport)

    def logs(self) -> None:
        from scheduler.cli.commands.logs import _end_of_remote_file
        from scheduler.engine.file_end import last_lines

        os.environ["SCHEDULER_STATE_DIR"] = "state"
        (job, *_) = self.ledger.chosen()
        end = _end_of_remote_file(job, "stdout", self.ledger, 50)
        print(*last_lines(end, 50), sep="\n", file=io.StringIO())


def main() -> None:
    plan = json.load(sys.stdin)
    for name, seconds in plan.get("longest", {}).items():
        programs._LONGEST_SECONDS[name] = seconds
        vars(deadline)["BYTES_PER_SECOND"] = 1 << 20  # else the bytes of the program itself take some seconds
    victim, outcomes = Victim(plan), []
    for step in plan["steps"]:
        act: Callable[[], None] = getattr(victim, step)
        try:
            act()
            outcomes.append("ok")
        except SchedulerError as error:
            outcomes.append(f"{type(error).__name__}: {str(error)[:3000]}")
    states = [str(row.status) for row in victim.ledger.chosen()]
    reasons = [max(map(len, (row.status.reason, row.status.raw, row.status.node))) for row in victim.ledger.chosen()]
    with contextlib.suppress(SchedulerError):
        victim.runner.close()
    size = sum(path.stat().st_size for path in Path("state").rglob("*") if path.is_file()) >> 20
    result = {"outcomes": outcomes, "states": states, "longest": max(reasons, default=0), "peak": peak_mib()}
    print(json.dumps({**result, "ledger": size}))


if __name__ == "__main__":
    main()
