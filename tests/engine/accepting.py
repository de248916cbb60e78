"""A site that accepts everything and runs nothing, and jobs that end as a test says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from scheduler import Job, JobState, JobType, Runner, Site
from scheduler.job.state import Cause, Status
from scheduler.ledger.ledger import Ledger
from scheduler.transports.base import Expanded, Program, Reply, Transport

COMPLETED = Status(JobState.COMPLETED, exit_code=0)
FAILED = Status(JobState.FAILED, Cause.UNKNOWN, exit_code=3)


class Accepting(Transport):
    """A site that accepts each batch that it is sent, and counts the commands. `prepared`: called by `prepare`."""

    def __init__(self) -> None:
        self.commands = 0
        self.prepared: Callable[[], object] = lambda: None

    def prepare(self) -> None:
        self.prepared()

    def run(
        self, program: Program, args: Sequence[str | Expanded] = (), *, stdin: bytes | Iterable[bytes] = b"",
        stdout: Callable[[bytes], None] | None = None, timeout: float = 60.0,
    ) -> Reply:  # fmt: skip
        self.commands += 1
        for _ in [stdin] if isinstance(stdin, bytes) else stdin:
            pass
        token, firsts = str(args[1]), str(args[4]).split(",")
        lines = "".join(f"{one.partition('-')[0]}\t0\tSubmitted batch job {self.commands}\n" for one in firsts)
        return Reply(program.name, 0, f"folder\t/w/{token}\n{lines}".encode(), b"")

    def close(self) -> None:
        """Nothing is open."""


class World:
    """Two sites, a ledger, and a script."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.transport = folder, Accepting()
        self.ledger = Ledger(folder / "state")
        self.script = folder / "run.sh"
        self.script.write_text("echo 1\n")

    def runner(self, site: str | Site = "one", **options: Any) -> Runner:
        if isinstance(site, str):
            keys = {"transport": "local", "scheduler": "slurm", "work_dir": f"/{site}"}
            site = Site.from_mapping(keys, name=site)
        more = {"campaign": "opt", "ledger": self.ledger, "transport": self.transport, **options}
        return Runner(site, **more)

    def job(self, job_id: str = "trial1", **changes: Any) -> Job:
        given: dict[str, Any] = {"script_path": self.script, "working_dir": self.folder / "out" / job_id}
        return Job(job_id, JobType.SCRIPT, **{**given, **changes})

    def end(self, status: Status = COMPLETED, results: dict[str, Any] | None = None, *, collected: bool = True) -> None:
        """Every unfinished job ends so."""
        rows = [row for row in self.ledger.chosen() if not row.status.final]
        ends = {row.key: dataclasses.replace(status, retries=row.retries) for row in rows}
        self.ledger.observe(ends, {})
        if collected:
            self.ledger.record_results(dict.fromkeys(ends, results or {}), {row.key: row.retries for row in rows})
