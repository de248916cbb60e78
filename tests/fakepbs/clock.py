"""The fake's own clock: how long a job has run, as if no other load were on the machine.

A real server counts real seconds, on nodes that have nothing else to do. On a loaded machine a job spends most of its
time waiting for a processor; if that counted, a job with a limit of two seconds would be killed before its first
command. So time passes for a job while its processes sleep or compute, and not while one of them is ready to run and
gets no processor. On an idle machine the two are the same. The times that qstat shows (ctime, stime …) are real.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from dataclasses import dataclass

SAMPLE_SECONDS = 0.2
"""Between two looks at /proc, which cost a few milliseconds each."""
LONGEST_STEP_SECONDS = 1.0
"""At most this much passes between two samples: what goes beyond, the server itself did not get to run."""
_CPU_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """A live process, as /proc shows it.

    Attributes:
        ready: it wants a processor or waits for a disk, so that its progress depends on the machine.
        cpu_seconds: processor time that it and its finished children have used.
    """

    number: int
    ready: bool
    cpu_seconds: float


class Sessions:
    """The live processes of the machine by session, sampled once for all jobs.

    Attributes:
        elapsed: seconds since the sample before.
    """

    def __init__(self) -> None:
        self._sampled = time.monotonic()
        self.elapsed = 0.0
        self.processes: dict[int, list[Process]] = {}

    def sample(self, *, jobs: bool) -> bool:
        """Take the next sample if it is due, with the processes if any jobs run. Returns whether one was taken."""
        now = time.monotonic()
        if now - self._sampled < SAMPLE_SECONDS:
            return False
        self.elapsed, self._sampled = min(now - self._sampled, LONGEST_STEP_SECONDS), now
        self.processes = live_processes() if jobs else {}
        return True


@dataclass
class JobClock:
    """The seconds that have passed for one session."""

    seconds: float = 0.0
    _cpu_seconds: float = 0.0

    def advance(self, processes: list[Process], elapsed: float) -> None:
        """Let `elapsed` real seconds pass: all of them, or the processor time used if a process is ready to run."""
        used = sum(process.cpu_seconds for process in processes)
        got = max(0.0, used - self._cpu_seconds)
        self._cpu_seconds = used
        self.seconds += min(elapsed, got) if any(process.ready for process in processes) else elapsed


def live_processes() -> dict[int, list[Process]]:
    """All processes that are not zombies, by session."""
    found: dict[int, list[Process]] = defaultdict(list)
    for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 (twice as fast as Path)
        try:
            with open(f"/proc/{name}/stat", "rb", buffering=0) as file:  # noqa: PTH123
                state, *fields = file.read(4096).rpartition(b")")[2].split()
        except OSError:  # it has just ended
            continue
        if state != b"Z":
            ticks = sum(map(int, fields[10:14]))  # utime, stime, cutime, cstime
            found[int(fields[2])].append(Process(int(name), state in (b"R", b"D"), ticks / _CPU_TICKS))
    return found
