"""A small campaign, and the counts that are computed afterwards from what its payloads recorded on the cluster.

Every test of faults ends with them: each job ran exactly once, its final state is true, its outputs are complete.
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
# $1 number  $2 exit code  $3 seconds to sleep  $4 seconds to sleep in its first run
echo begun >>"$RUNS/$1.begun"
echo "printed by $1"   # so that there is a log to collect on a local site too
head -c 70000 /dev/zero | tr '\\0' "$1" >out.txt
seconds=$3
[ "$(wc -l <"$RUNS/$1.begun")" -gt 1 ] || seconds=$4
[ "$seconds" = 0 ] || sleep "$seconds" || exit   # a signal may end `sleep` a moment before it ends this shell
echo ended >>"$RUNS/$1.ended"
exit "$2"
"""
BYTES = 70000
_RUNS = Program("runs", 'mkdir -p "$1" && cd "$1" && pwd -P')
_COUNT = Program("count", 'cd "$1" && for f in *; do [ -f "$f" ] && printf "%s %s\\n" "$(wc -l <"$f")" "$f"; done; :')


@dataclass(frozen=True)
class Task:
    """One job of a campaign, and what must hold for it at the end.

    Attributes:
        seconds: how long its payload sleeps.
        first_seconds: how long it sleeps in its first run, if that differs.
        state: its final state.
        ends: how often its payload runs to its end.
        output: its output is collected completely.
        cancelled: it is cancelled before the batch system has it, so its payload may never begin.
    """

    exit_code: int = 0
    seconds: float = 0
    first_seconds: float | None = None
    minutes: int = 5
    state: JobState = JobState.COMPLETED
    ends: int = 1
    output: bool = True
    cancelled: bool = False

    @property
    def first_pause(self) -> float:
        """How many seconds its payload sleeps in its first run."""
        return self.seconds if self.first_seconds is None else self.first_seconds


FAILS = Task(exit_code=3, state=JobState.FAILED)
USUAL = (Task(), Task(), FAILS, Task(minutes=6))
"""An array of three, of which the last fails, and a job with another walltime."""


@dataclass(frozen=True)
class Counts:
    """The sum of what went wrong in some campaigns."""

    campaigns: int = 0
    submitted: int = 0
    faults: int = 0
    lost: int = 0
    twice: int = 0
    false_states: int = 0
    broken_outputs: int = 0
    cancelled_but_ran: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{name: value + getattr(other, name) for name, value in vars(self).items()})

    @property
    def clean(self) -> bool:
        """Every job ran exactly once, or never if it was cancelled; its state is true, its output is complete."""
        return not (self.lost or self.twice or self.false_states or self.broken_outputs or self.cancelled_but_ran)


@dataclass
class Campaign:
    """Jobs on a site, and the folder in which their payloads record their runs.

    Attributes:
        transport: to the site, without faults.
        runs: the remote folder in which each payload records that it has begun and ended.
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
        """New Job objects, as a script makes them each time it runs."""
        return [
            Job(
                f"job {number}", JobType.SCRIPT, script_path=self.folder / "payload.sh",
                arguments=[number, task.exit_code, task.seconds, task.first_pause], env_vars={"RUNS": self.runs},
                working_dir=self.folder / f"local {number}", output_files=["out.txt"],
                resources=Resources(walltime=f"{task.minutes}m", **self.extra),
            )
            for number, task in enumerate(self.tasks)
        ]  # fmt: skip

    def runner(self, transport: Transport | None = None, *, campaign: str | None = None) -> Runner:
        """A runner with the campaign's own ledger. No other one at the site has the same name of a campaign."""
        ledger = Ledger(self.folder / "ledger")
        name = campaign and f"{campaign} {Path(self.runs).name}"
        return Runner(self.site, campaign=name, ledger=ledger, transport=transport or self.transport)

    def recorded(self) -> dict[str, int]:
        """``0.begun``, ``0.ended`` … → how often."""
        reply = run_program(self.transport, _COUNT, self.runs)
        return {name: int(lines) for lines, name in (line.split() for line in reply.out.splitlines())}

    def counts(self, jobs: Sequence[Job] | None = None, *, faults: int = 1) -> Counts:
        """The counts, from how often each payload recorded a run."""
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
                task.output and task.ends > 0 and not is_complete(job, n) for n, (job, task) in enumerate(pairs)
            ),
            cancelled_but_ran=sum(task.cancelled and f"{n}.begun" in recorded for n, task in enumerate(self.tasks)),
        )
        if not counts.clean:
            self._print(recorded)
        return counts

    def _print(self, recorded: dict[str, int]) -> None:
        print(self.folder, recorded)
        ledger = Ledger(self.folder / "ledger")
        for row in ledger.chosen():
            print(row.job_id, shown_id(row), row.folder, row.status.reason, *ledger.history(row.key), sep="\n  ")
        ledger.close()


def is_complete(job: Job, number: int) -> bool:
    """Whether every byte of its output was collected."""
    out = Path(job.working_dir, "out.txt")
    return out.is_file() and out.read_text() == str(number) * BYTES


def campaign_at(
    site: Site, transport: Transport, folder: Path, tasks: Sequence[Task] = USUAL, **resources: Any
) -> Campaign:
    """A new campaign, with a remote folder for the records of its payloads."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "payload.sh").write_text(PAYLOAD)
    name = f"runs of {uuid.uuid4().hex}"
    runs = f"/tmp/{name}" if site.transport == "ssh" else str(folder / name)
    reply = run_program(transport, _RUNS, runs)
    return Campaign(site, transport, folder, tasks, reply.out.strip(), resources)


def run_program(transport: Transport, program: Program, *args: str) -> Reply:
    """Run a program of a test, with retries: a fault may have ended a connection that it shares."""
    for _ in range(5):
        try:
            reply = transport.run(program, args)
            assert reply.exit_code == 0, reply.err
            return reply
        except TransportError as error:
            last = error
            time.sleep(0.2)
    raise last


def local_site(folder: Path, **keys: Any) -> Site:
    """A site on this machine, with a work folder of its own."""
    limits = {"poll_seconds": 0.2, "running": 4}
    values = {"transport": "local", "scheduler": "shell", "work_dir": str(folder / "work"), "limits": limits}
    return Site.from_mapping({**values, **keys}, name="local")


def drive(
    runner: Runner, jobs: Sequence[Job], *, seconds: float = 900.0, between: Callable[[], None] | None = None
) -> None:
    """Do what a user does: repeat the same two calls until they return."""
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
        f"not finished after {seconds:g} s: {[(str(j.status), j.status.reason) for j in jobs]} {runner.trouble}"
    )
