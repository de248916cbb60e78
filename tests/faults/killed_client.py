"""A client that kills itself with SIGKILL at a chosen step; test_killed_clients.py runs it.

A step is a statement of SQLite, a file that is opened, renamed or removed, a program that is started, a piece that is
sent or received. A forked process runs each operation and is killed in it. A process that knows nothing but the ledger
finishes the work.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from scheduler import JobState, Runner, Site
from scheduler.engine.connect import transport_to
from scheduler.errors import SchedulerError
from scheduler.transports.base import Expanded, Program, Reply, Transport

from .campaign import FAILS, Campaign, Counts, Task, campaign_at, drive

TASKS = (Task(), FAILS)
ENDLESS = (Task(seconds=3600, state=JobState.CANCELLED, ends=0), Task(seconds=3600, state=JobState.CANCELLED, ends=0))
_EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "subprocess.Popen")


class Steps:
    """Counts the steps of this process, and kills it before step number `fatal`."""

    def __init__(self, fatal: int) -> None:
        self.fatal, self.taken, self.counting = fatal, 0, False
        self._databases: list[sqlite3.Connection] = []
        sys.addaudithook(self._audited)

    def begin(self) -> None:
        """Start counting."""
        for database in self._databases:
            with contextlib.suppress(sqlite3.ProgrammingError):  # it made the file, and is closed
                database.set_trace_callback(self.take)
        self.counting = True

    def take(self, _: object = None) -> None:
        if not self.counting:
            return
        self.taken += 1
        if self.taken == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def _audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "sqlite3.connect/handle":
            self._databases.append(arguments[0])
        elif event in _EVENTS:
            self.take()


class SteppingTransport(Transport):
    """A transport for which every piece that it sends or receives is a step."""

    def __init__(self, inner: Transport, steps: Steps) -> None:
        self.inner, self.steps = inner, steps

    def run(
        self,
        program: Program,
        args: Sequence[str | Expanded] = (),
        *,
        stdin: bytes | Iterable[bytes] = b"",
        stdout: Callable[[bytes], None] | None = None,
        timeout: float = 60.0,
    ) -> Reply:
        take = stdout

        def taken(piece: bytes) -> None:
            self.steps.take()
            assert take is not None
            take(piece)

        sink = taken if take is not None else None
        self.steps.take()
        reply = self.inner.run(program, args, stdin=self._pieces(stdin), stdout=sink, timeout=timeout)
        self.steps.take()
        return reply

    def _pieces(self, stdin: bytes | Iterable[bytes]) -> Iterator[bytes]:
        for piece in [stdin] if isinstance(stdin, bytes) else stdin:
            for start in range(0, len(piece), 1000):
                self.steps.take()
                yield piece[start : start + 1000]

    def close(self) -> None:
        self.inner.close()


Operation = Callable[[Runner, Campaign], None]


def submit(runner: Runner, campaign: Campaign) -> None:
    runner.submit(campaign.make_jobs())


def poll(runner: Runner, campaign: Campaign) -> None:
    runner.session.poll()


def collect(runner: Runner, campaign: Campaign) -> None:
    runner.session.collect(_keys(runner))


def cancel(runner: Runner, campaign: Campaign) -> None:
    runner.session.cancel(_keys(runner))


def _keys(runner: Runner) -> list[int]:
    return [row.key for row in runner.ledger.chosen()]


def killed_at(step: int, operation: Operation, campaign: Campaign) -> bool:
    """Run an operation in a process that is killed before that step. Returns whether it got that far."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            steps = Steps(step)
            with campaign.runner(SteppingTransport(transport_to(campaign.site), steps), campaign="one") as runner:
                steps.begin()
                operation(runner, campaign)
                steps.counting = False
            code = 0
        except (SchedulerError, OSError, AssertionError):
            traceback.print_exc()
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, f"{operation.__name__} ended with {status}"
    return os.WIFSIGNALED(status)


def _until(campaign: Campaign, reached: Callable[[JobState], bool]) -> None:
    """Poll until all jobs of the ledger have reached a state."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        with campaign.runner(transport_to(campaign.site)) as runner:
            runner.session.poll()
            if all(reached(row.status.state) for row in runner.ledger.chosen()):
                return
        time.sleep(0.1)
    raise AssertionError("the jobs did not reach the state in time")


def submitted_polled_collected(campaign: Campaign, step: int) -> tuple[int, Counts]:
    """Kill a client at that step of each of these operations, one after the other."""
    killed = int(killed_at(step, submit, campaign))
    killed += killed_at(step, poll, campaign)
    _until(campaign, lambda state: state.final)
    killed += killed_at(step, collect, campaign)
    jobs = campaign.make_jobs()
    with campaign.runner(transport_to(campaign.site), campaign="one") as runner:
        drive(runner, jobs)
    return killed, campaign.counts(jobs, faults=killed)


def cancelled(campaign: Campaign, step: int) -> tuple[int, Counts]:
    """Kill a client at that step while it cancels, and cancel again."""
    with campaign.runner(transport_to(campaign.site), campaign="one") as runner:
        runner.submit(campaign.make_jobs())
    _until(campaign, lambda state: state is JobState.RUNNING)
    killed = int(killed_at(step, cancel, campaign))
    jobs = campaign.make_jobs()
    with campaign.runner(transport_to(campaign.site), campaign="one") as runner:
        runner.submit(jobs)
        runner.cancel(jobs)
        runner.wait(jobs, timeout=600)
    return killed, campaign.counts(jobs, faults=killed)


def main(folder: str, site: str, way: str, first: str, stride: str, last: str) -> None:
    """Kill clients at every `stride`-th step from `first` to `last`, until one survives all its operations."""
    target = Site.from_json(json.loads(site))
    tasks, act = (ENDLESS, cancelled) if way == "cancel" else (TASKS, submitted_polled_collected)
    for step in range(int(first), int(last) + 1, int(stride)):
        transport = transport_to(target)
        campaign = campaign_at(target, transport, Path(folder, str(step)), tasks)
        transport.close()
        killed, counts = act(campaign, step)
        transport.close()
        print(json.dumps({"step": step, "killed": killed, **vars(counts)}), flush=True)
        if not killed:
            break


if __name__ == "__main__":
    main(*sys.argv[1:])
