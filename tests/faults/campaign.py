"""A small campaign, and the counts taken after it from what its payloads themselves recorded over there.

Every test of faults ends with them: run exactly once, final state true, outputs whole.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scheduler import Job, JobState, JobType, OutputError, Resources, Runner, Site, TransportError, WaitTimeout
from scheduler.batch.shown_id import shown_id
from scheduler.ledger.ledger import Ledger
from scheduler.transports.base import Program, Reply, Transport

PAYLOAD = """#!/bin/sh
# $1 number  $2 exit code  $3 how many seconds  $4 how many seconds in its first run
echo begun >>"$RUNS/$1.begun"
echo "said by $1"   # so that a log comes home also where the job ran in its working_dir
head -c 70000 /dev/zero | tr '\\0' "$1" >out.txt
seconds=$3
[ "$(wc -l <"$RUNS/$1.begun")" -gt 1 ] || seconds=$4
[ "$seconds" = 0 ] || sleep "$seconds"
echo ended >>"$RUNS/$1.ended"
exit "$2"
"""
BYTES = 70000
_RUNS = Program("runs", 'mkdir -p "$1" && cd "$1" && pwd -P')
_COUNT = Program("count", 'cd "$1" && for f in *; do [ -f "$f" ] && printf "%s %s\\n" "$(wc -l <"$f")" "$f"; done; :')


@dataclass(frozen=True)
class Task:
    """One job of a campaign, and what must be true of it in the end.

    Attributes:
        first_seconds: of its first run, if that differs.
        state: that it must end in.
        ends: how often its payload runs to its end.
        output: it comes home whole.
    """

    exit_code: int = 0
    seconds: float = 0
    first_seconds: float | None = None
    minutes: int = 5
    state: JobState = JobState.COMPLETED
    ends: int = 1
    output: bool = True

    @property
    def first_pause(self) -> float:
        """How many seconds its first run takes."""
        return self.seconds if self.first_seconds is None else self.first_seconds


FAILS = Task(exit_code=3, state=JobState.FAILED)
USUAL = (Task(), Task(), FAILS, Task(minutes=6))
"""An array of three, of which the last fails, and a job that asks for something else."""


@dataclass(frozen=True)
class Counts:
    """What campaigns came to."""

    campaigns: int = 0
    submitted: int = 0
    faults: int = 0
    lost: int = 0
    twice: int = 0
    false_states: int = 0
    broken_outputs: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{name: value + getattr(other, name) for name, value in vars(self).items()})

    @property
    def clean(self) -> bool:
        """Every job ran exactly once, its state is true, its output is whole."""
        return not (self.lost or self.twice or self.false_states or self.broken_outputs)


@dataclass
class Campaign:
    """Jobs at a site, and where their payloads leave word.

    Attributes:
        transport: to the site, without faults.
        runs: the folder over there where each payload says that it has begun, and that it has ended.
    """

    site: Site
    transport: Transport
    folder: Path
    tasks: Sequence[Task]
    runs: str
    extra: dict[str, Any] = field(default_factory=dict)
    jobs: list[Job] = field(init=False)

    def __post_init__(self) -> None:
        self.jobs = self.make_jobs()

    def make_jobs(self) -> list[Job]:
        """The jobs as a script makes them each time that it is run."""
        return [
            Job(
                f"job {number}", JobType.SCRIPT, script_path=self.folder / "payload.sh",
                arguments=[number, task.exit_code, task.seconds, task.first_pause], env_vars={"RUNS": self.runs},
                working_dir=self.folder / f"home {number}", output_files=["out.txt"],
                resources=Resources(walltime=f"{task.minutes}m", **self.extra),
            )
            for number, task in enumerate(self.tasks)
        ]  # fmt: skip

    def runner(self, transport: Transport | None = None, *, campaign: str | None = None) -> Runner:
        """A way to the site with the campaign's own ledger."""
        ledger = Ledger(self.folder / "ledger")
        return Runner(self.site, campaign=campaign, ledger=ledger, transport=transport or self.transport)

    def recorded(self) -> dict[str, int]:
        """``0.begun``, ``0.ended`` … → how often."""
        reply = asked(self.transport, _COUNT, self.runs)
        return {name: int(lines) for lines, name in (line.split() for line in reply.out.splitlines())}

    def counts(self, jobs: Sequence[Job] | None = None, *, faults: int = 1) -> Counts:
        """The counts, from how often each payload says that it was run."""
        jobs = self.jobs if jobs is None else jobs
        recorded = self.recorded()
        ends = [recorded.get(f"{number}.ended", 0) for number in range(len(jobs))]
        pairs = list(zip(jobs, self.tasks, strict=True))
        counts = Counts(
            campaigns=1,
            submitted=len(jobs),
            faults=faults,
            lost=sum(n < task.ends for n, task in zip(ends, self.tasks, strict=True)),
            twice=sum(n > task.ends for n, task in zip(ends, self.tasks, strict=True)),
            false_states=sum(job.state is not task.state for job, task in pairs),
            broken_outputs=sum(
                task.output and task.ends > 0 and not is_whole(job, n) for n, (job, task) in enumerate(pairs)
            ),
        )
        if not counts.clean:
            self._tell(recorded)
        return counts

    def _tell(self, recorded: dict[str, int]) -> None:
        print(self.folder, recorded)
        ledger = Ledger(self.folder / "ledger")
        for row in ledger.chosen():
            print(row.job_id, shown_id(row), row.folder, row.status.reason, *ledger.history(row.key), sep="\n  ")
        ledger.close()


def is_whole(job: Job, number: int) -> bool:
    """Its output is here, each byte of it."""
    out = Path(job.working_dir, "out.txt")
    return out.is_file() and out.read_text() == str(number) * BYTES


def campaign_at(
    site: Site, transport: Transport, folder: Path, tasks: Sequence[Task] = USUAL, **resources: Any
) -> Campaign:
    """A new campaign, with a folder for its payloads' words over there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "payload.sh").write_text(PAYLOAD)
    place = f"/tmp/runs of {uuid.uuid4().hex}" if site.transport == "ssh" else str(folder / "runs over there")
    reply = asked(transport, _RUNS, place)
    return Campaign(site, transport, folder, tasks, reply.out.strip(), resources)


def asked(transport: Transport, program: Program, *args: str) -> Reply:
    """Run a program of a test, again if a connection that it shares with faulted ones was ended by them."""
    for _ in range(5):
        try:
            reply = transport.run(program, args)
            assert reply.exit_code == 0, reply.err
            return reply
        except TransportError as error:
            last = error
            time.sleep(0.2)
    raise last


def site_here(folder: Path, **keys: Any) -> Site:
    """This machine, as a site of its own."""
    limits = {"poll_seconds": 0.2, "running": 4}
    values = {"transport": "local", "scheduler": "shell", "work_dir": str(folder / "work"), "limits": limits}
    return Site.from_mapping({**values, **keys}, name="here")


def drive(
    runner: Runner, jobs: Sequence[Job], *, seconds: float = 900.0, between: Callable[[], None] | None = None
) -> None:
    """What a user does: the same two calls again, until they return."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            runner.submit(jobs)
            runner.wait(jobs, timeout=20)
            return
        except (TransportError, OutputError, WaitTimeout):
            if between is not None:
                between()
    raise AssertionError(
        f"not done after {seconds:g} s: {[(str(j.status), j.status.reason) for j in jobs]} {runner.trouble}"
    )
