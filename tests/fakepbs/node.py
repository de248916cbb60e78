"""The execution node: runs a job's script in a login shell, kills it at its limits, and delivers its output.

Run times, limits and delays go by the clock of the job or of the server (clock.py), not by that of the machine.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .clock import JobClock, Sessions, live_processes
from .jobs import Job
from .resources import seconds

_OWN = {
    "PBS_ENVIRONMENT": "PBS_BATCH",
    "ENVIRONMENT": "BATCH",
    "PBS_MOMPORT": "15003",
    "PBS_NODENUM": "0",
    "PBS_TASKNUM": "1",
}


@dataclass(frozen=True)
class Pace:
    """How long things take, in seconds.

    Attributes:
        poll: between two checks of a job's limits; 10 s on a real node.
        kill: between SIGTERM and SIGKILL; 10 s on a real node.
        deliver: for this long the node tries to copy a job's output to its destination.
        memory: the node enforces memory limits, as sites do with cgroups.
        cycle: between two passes of the scheduler over its queue.
    """

    poll: float = 10.0
    kill: float = 10.0
    deliver: float = 28.0
    memory: bool = False
    cycle: float = 0.0


class Run:
    """One run of one job.

    Attributes:
        clock: how long the job has run.
        killed: when it was first sent a signal, by its own clock; None before.
        limit: the exit status of the limit that it was killed for.
    """

    def __init__(self, job: Job, home: Path, pace: Pace) -> None:
        self.job, self.home, self.pace = job, home, pace
        self.clock = JobClock()
        self.killed: float | None = None
        self.limit: int | None = None
        self._undelivered: float | None = None
        self._checked = 0.0
        spool = home / "mom_priv" / "jobs"
        self.script = spool / f"{job.id}.SC"
        self.script.write_bytes(job.request["script"].encode("utf-8", "surrogateescape"))
        self.script.chmod(0o700)
        self.out, self.err = (home / "spool" / f"{job.id}.{kind}" for kind in ("OU", "ER"))
        self.process = self._begin()
        job.session = self.process.pid

    def _begin(self) -> subprocess.Popen[bytes]:
        """Start a login shell that reads the path of the script on its standard input, as a real node does."""
        shell = self.job.request["shell"] or dict(self.job.request["variables"])["PBS_O_SHELL"]
        shell = shell if Path(shell).exists() else "/bin/sh"
        out = self.out.open("wb")
        err = out if "o" in self.job.request["join"] else self.err.open("wb")
        nodes = self.home / "aux" / self.job.id
        nodes.write_text(f"{self.job.server}\n")
        process = subprocess.Popen(
            [f"-{Path(shell).name}"], executable=shell, cwd=self.job.request["home"], env=self._environment(nodes),
            stdin=subprocess.PIPE, stdout=out, stderr=err, start_new_session=True,
        )  # fmt: skip
        assert process.stdin
        process.stdin.write(f"{str(self.script).replace(' ', chr(92) + ' ')}\n".encode())
        process.stdin.close()
        out.close()
        err.close()
        return process

    def _environment(self, nodes: Path) -> dict[str, str]:
        job = self.job
        given = dict(job.request["variables"])
        found = {"HOME": job.request["home"], "LOGNAME": job.owner, "USER": job.owner, "SHELL": given["PBS_O_SHELL"]}
        found |= {"PATH": "/usr/local/bin:/usr/bin:/bin", "NCPUS": str(job.cpus), "OMP_NUM_THREADS": str(job.cpus)}
        found |= {**_OWN, **given, "PBS_O_QUEUE": "workq", "PBS_O_HOST": job.server, "PBS_QUEUE": "workq"}
        found |= {"PBS_JOBID": job.id, "PBS_JOBNAME": job.request["name"], "PBS_JOBDIR": job.request["home"]}
        found |= {"PBS_NODEFILE": str(nodes), "PBS_JOBCOOKIE": "0" * 32}
        if job.index is not None:
            found |= {"PBS_ARRAY_INDEX": str(job.index), "PBS_ARRAY_ID": f"{job.seq}[].{job.server}"}
        return found

    def end(self, number: int) -> None:
        """Send a signal to all processes of the job. SIGKILL follows `pace.kill` seconds later."""
        self.killed = self.clock.seconds if self.killed is None else self.killed
        self._signal(number)

    def has_ended(self) -> bool:
        """Whether the job's shell, and whatever it has left behind, is gone."""
        code = self.process.poll()
        if self.killed is not None:
            return code is not None and not self._processes()
        if code is not None:
            self._signal(signal.SIGKILL)
            return True
        return False

    def advance(self, sessions: Sessions) -> None:
        """Let time pass for the job, and do what is due: check its limits, or kill what has ignored SIGTERM."""
        self.clock.advance(sessions.processes.get(self.process.pid, []), sessions.elapsed)
        self.job.walltime_used = self.clock.seconds
        if self.killed is not None:
            if self.clock.seconds - self.killed > self.pace.kill:
                self._signal(signal.SIGKILL)
        elif self.clock.seconds - self._checked >= self.pace.poll:
            self._checked = self.clock.seconds
            self._check_limits()

    @property
    def exit_status(self) -> int:
        """256 + signal if the shell itself was killed; a limit has a number of its own."""
        code = self.process.returncode
        return self.limit if self.limit is not None else 256 - code if code < 0 else code

    def _check_limits(self) -> None:
        job = self.job
        used = int(self.clock.seconds)
        job.memory_used = max(job.memory_used, sum(map(_resident, self._processes())))
        walltime = job.resources.get("walltime")
        if walltime and used > seconds(walltime):
            self._kill_for(-29, f"walltime {used} exceeded limit {seconds(walltime)}")
        elif self.pace.memory and job.memory and job.memory_used > job.memory:
            self._kill_for(-27, f"mem {job.memory_used // 1024}kb exceeded limit {job.memory // 1024}kb")

    def _kill_for(self, number: int, reason: str) -> None:
        self.limit = number
        with (self.out if "o" in self.job.request["join"] else self.err).open("ab") as log:
            log.write(f"=>> PBS: job killed: {reason}\n".encode())
        self.end(signal.SIGTERM)

    def _processes(self) -> list[int]:
        return [process.number for process in live_processes().get(self.process.pid, [])]

    def _signal(self, number: int) -> None:
        for process in self._processes():
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue

    def deliver(self, now: float) -> bool | None:
        """Copy the job's output to its destination.

        Args:
            now: seconds by the server's clock.

        Returns:
            True once it is copied, False once the node has given up, None as long as it tries.
        """
        kinds = (
            [(self.out, "out", "OU")]
            if self.job.request["join"] != "n"
            else [(self.out, "out", "OU"), (self.err, "err", "ER")]
        )
        copied = [self._copied(spooled, self.job.path(kind), suffix) for spooled, kind, suffix in kinds]
        done = all(copied)
        self._undelivered = now if self._undelivered is None else self._undelivered
        if not done and now - self._undelivered < self.pace.deliver:
            return None
        for file in (self.script, self.home / "aux" / self.job.id):
            file.unlink(missing_ok=True)
        return done

    def _copied(self, spooled: Path, target: str, suffix: str) -> bool:
        place = Path(target.partition(":")[2])
        if not spooled.exists():
            return True
        if place.is_dir() and str(place) != "/dev/null":
            place = place / f"{self.job.id}.{suffix}"
        try:
            if str(place) != "/dev/null":
                shutil.copyfile(spooled, place)
                place.chmod(0o600)
        except OSError:
            (self.home / "undelivered").mkdir(exist_ok=True)
            shutil.copyfile(spooled, self.home / "undelivered" / spooled.name)
            return False
        spooled.unlink()
        return True


def _resident(process: int) -> int:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0
