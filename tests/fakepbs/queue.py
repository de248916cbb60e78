"""The queue of the server: submitting, starting, ending and deleting jobs."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .clock import Sessions
from .command import Refusal
from .jobs import Array, Job
from .node import Pace, Run
from .resources import MOST_ELEMENTS, resources, seconds

_ID = re.compile(r"(\d+)(\[(?:(\d+)(?:-(\d+))?)?\])?(?:\.([A-Za-z]\w*))?\Z")


@dataclass
class Queue:
    """All jobs, by number, and the runs of the running ones.

    Attributes:
        more: resources that the site has defined.
        master: behave as the newer build.
        next: the number of the next job.
        now: seconds by the server's clock.
        scheduled: when the scheduler ran last, by that clock.
    """

    server: str
    home: Path
    cpus: int = 8
    memory: int = 16 * 2**30
    more: set[str] = field(default_factory=set)
    pace: Pace = field(default_factory=Pace)
    master: bool = False
    jobs: dict[int, Job] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    next: int = 0
    now: float = 0.0
    scheduled: float = 0.0
    sessions: Sessions = field(default_factory=Sessions)

    @property
    def history(self) -> bool:
        """Whether the server remembers finished jobs."""
        return not (self.home / "nohistory").exists()

    # queries

    def parts(self, text: str, command: str) -> tuple[int, str, range | None]:
        """Number, brackets and tasks of an id.

        Raises:
            Refusal: it is not an id, or one of another server.
        """
        found = _ID.match(text.partition("@")[0])
        if not found or found[5] not in (None, self.server):
            raise Refusal(f"{command}: illegally formed job identifier: {text}\n", 1)
        elements = range(int(found[3]), int(found[4] or found[3]) + 1) if found[3] else None
        return int(found[1]), found[2] or "", elements

    def find(self, text: str, command: str) -> list[Job]:
        """The job, array or tasks with an id.

        Raises:
            Refusal: there is no such job.
        """
        seq, brackets, elements = self.parts(text, command)
        job = self.jobs.get(seq)
        bare = command == "qdel" and not self.master
        name = text if bare or "." in text else f"{text}.{self.server}"
        if job is None or isinstance(job, Array) != bool(brackets):
            raise Refusal(f"{command}: Unknown Job Id {name}\n", 153)
        if elements is None:
            return [job]
        assert isinstance(job, Array)
        found = [element for element in job.elements if element.index in elements]
        if not found:
            unknown = (
                (f"{command}: Invalid request {name}\n", 156)
                if command == "qdel"
                else (f"{command}: Unknown Job Id {name}\n", 153)
            )
            raise Refusal(*unknown)
        return found

    def listed(self, *, history: bool) -> Iterator[Job]:
        """All jobs and arrays; without `history`, only unfinished ones."""
        return (job for job in self.jobs.values() if history or job.state != "F")

    # submitting

    def submit(self, owner: str, request: dict[str, Any]) -> str:
        """Submit a job; return its id.

        Raises:
            Refusal: the server does not accept it.
        """
        self._check_queue(owner, request)
        wanted = resources(request.pop("resources"), self.more)
        self._check_limits(owner, request, wanted)
        if request["project"] and re.search(r"[/\"\[\];,]", request["project"]):
            raise Refusal("qsub: Illegal attribute or resource value project\n", 166)
        if request["as_user"] not in (None, owner):
            raise Refusal("qsub: Bad UID for job execution\n", 175)
        if any(re.match("group_list=", one) for one in request["wanted"]):
            raise Refusal("qsub: Bad GID for job execution\n", 197)
        number, self.next = self.next, self.next + 1
        job = (
            self._array(number, owner, request, wanted)
            if request["array"]
            else Job(number, self.server, owner, request, wanted)
        )
        self.jobs[number] = job
        self._hold(job)
        return job.id

    def _array(self, number: int, owner: str, request: dict[str, Any], wanted: dict[str, str]) -> Array:
        first, last, step = re.match(r"(\d+)-(\d+)(?::(\d+))?", request["array"]).groups()  # type: ignore[union-attr]
        indices = range(int(first), int(last) + 1, int(step or 1))
        if len(indices) > MOST_ELEMENTS:
            self.next = number
            raise Refusal("qsub: Array job exceeds server or queue size limit\n", 3)
        array = Array(number, self.server, owner, request, wanted)
        array.elements = [
            Job(number, self.server, owner, request, wanted, index=index, array=array) for index in indices
        ]
        return array

    def _check_queue(self, owner: str, request: dict[str, Any]) -> None:
        queue = (request["queue"] or "workq").partition("@")[0]
        if (request["queue"] or "").partition("@")[2] not in ("", self.server):
            server = request["queue"].partition("@")[2]
            shown = self.server if self.master else server[:7]
            raise Refusal(f"Unknown Host.\nqsub: cannot connect to server {shown} (errno=15008)\n", 160)
        refusals = {"closedq": ("Queue is not enabled", 173), "aclq": ("Unauthorized Request ", 159)}
        if queue in refusals:
            message, code = refusals[queue]
            raise Refusal(f"qsub: {message}\n", code)
        if queue not in ("workq", "limitq", "stoppedq"):
            raise Refusal("qsub: Unknown queue\n", 170)
        request["queue"] = queue

    def _check_limits(self, owner: str, request: dict[str, Any], wanted: dict[str, str]) -> None:
        over = seconds(wanted.get("walltime", "0")) > 600 or int(wanted["ncpus"]) > 4
        if request["queue"] == "limitq" and over:
            raise Refusal("qsub: Job violates queue and/or server resource limits\n", 188)
        same = [job for job in self.listed(history=False) if job.request["queue"] == "limitq" and job.owner == owner]
        if request["queue"] == "limitq" and len(same) >= 2:
            raise Refusal("qsub: would exceed queue generic's per-user limit\n", 38)
        self._check_limits_of_users(owner, request, int(wanted["ncpus"]))

    def _check_limits_of_users(self, owner: str, request: dict[str, Any], cpus: int) -> None:
        """The limits of the server on each user's jobs, from a file with a line for each, such as ``jobs 2``."""
        file = self.home / "limits"
        most = dict(line.split() for line in file.read_text().splitlines()) if file.exists() else {}
        first, last = re.match(r"(\d+)-(\d+)", request["array"] or "0-0").groups()  # type: ignore[union-attr]
        count = int(last) - int(first) + 1
        queued = [job for job in self.listed(history=False) if job.owner == owner]
        tasks = [one for job in queued for one in (job.elements if isinstance(job, Array) else [job]) if not one.over]
        if len(tasks) + count > int(most.get("jobs", 1e6)):
            raise Refusal("qsub: would exceed complex's per-user limit\n", 38)
        if sum(one.cpus for one in tasks) + count * cpus > int(most.get("ncpus", 1e6)):
            raise Refusal("qsub: would exceed per-user limit on resource ncpus in complex\n", 39)

    def _hold(self, job: Job) -> None:
        begin = job.request["begin"]
        if job.request["hold"]:
            job.set("H", 20)
        elif begin and begin > time.time():
            job.set("W", 30)
        else:
            job.eligible = job.created

    # running

    def tick(self) -> None:
        """Let time pass: end the jobs that have ended, and start those that may start."""
        if self.sessions.sample(jobs=bool(self.runs)):
            self.now += self.sessions.elapsed
            for run in self.runs:
                run.advance(self.sessions)
        self._rerun()
        for run in list(self.runs):
            if run.job.state == "E" or run.has_ended():
                self._ending(run)
        schedule = self.now - self.scheduled >= self.pace.cycle
        self.scheduled = self.now if schedule else self.scheduled
        for job in list(self.jobs.values()):
            if job.state == "W" and job.request["begin"] <= time.time():
                job.set("Q", 10)
                job.eligible = time.time()
            if schedule and job.state in "QB" and job.request["queue"] != "stoppedq":
                self._begin_what_fits(job)
            if job.over and not self.history:
                del self.jobs[job.seq]

    def _rerun(self) -> None:
        """Requeue the running jobs whose ids are in the file `rerun`, as an operator's qrerun does."""
        file = self.home / "rerun"
        ids = file.read_text().split() if file.exists() else []
        for run in [run for run in self.runs if run.job.id in ids]:
            run.end(signal.SIGKILL)
            run.process.wait()
            self.runs.remove(run)
            run.job.exit_status = -11
            run.job.set("Q", 10)
        if ids:
            file.unlink()

    def _begin_what_fits(self, job: Job) -> None:
        waiting = [one for one in job.elements if one.state == "Q"] if isinstance(job, Array) else [job]
        most = job.range[1] if isinstance(job, Array) else None
        for one in waiting:
            running = [run.job for run in self.runs if run.job.state in "RES"]
            short = self._short(one, running)
            siblings = sum(other.array is job for other in running)
            if short or (most is not None and siblings >= most):
                if short and job.state == "Q":
                    job.comment = short
                return
            self._begin(one)

    def _short(self, job: Job, running: list[Job]) -> str:
        """Why the job cannot start now; empty if it can."""
        for name, wants, taken, total in (
            ("ncpus", job.cpus, sum(one.cpus for one in running), self.cpus),
            ("mem", job.memory, sum(one.memory for one in running), self.memory),
        ):
            if wants > total:
                return f"Can Never Run: Insufficient amount of resource: {name} (R: {wants} A: {total} T: {total})"
            if wants > total - taken:
                return (
                    f"Not Running: Insufficient amount of resource: {name} (R: {wants} A: {total - taken} T: {total})"
                )
        return ""

    def _begin(self, job: Job) -> None:
        taken = {run.job.slot for run in self.runs}
        job.slot = next(n for n in range(len(taken) + 1) if n not in taken)
        job.started, job.own_record = time.time(), True
        job.eligible = job.eligible or job.started
        job.runs += 1
        job.set("R", 42, f"Job run at {_when()} on {job.exec_vnode()}")
        if job.array is not None and job.array.state == "Q":
            job.array.started = job.started
            job.array.set("B", 70, f"Job Array Began at {_when()}")
        self.runs.append(Run(job, self.home, self.pace))

    def _ending(self, run: Run) -> None:
        job = run.job
        if job.state != "E":
            job.exit_status = run.exit_status
            job.set("E", 51)
        job.delivered = run.deliver(self.now)
        if job.delivered is None:
            return
        self.runs.remove(run)
        job.ended = time.time()
        reasons = {-29: "exceeded resource walltime", -27: "exceeded resource mem"}
        if job.deleted_by:
            job.set("F", 91)
        elif job.exit_status == 0:
            job.set("F", 92, f"{job.comment} and finished")
        else:
            job.set("F", 93, f"{job.comment} and {reasons.get(job.exit_status or 0, 'failed')}")
        self._element_over(job)

    def _element_over(self, job: Job) -> None:
        array = job.array
        if array is None:
            return
        job.state = "X"
        array.exit_status = max(array.exit_status or 0, int(bool(job.deleted_by)))
        array.delivered = True
        if all(element.over for element in array.elements):
            ok = all(element.substate == 92 for element in array.elements)
            array.ended = time.time()
            if array.deleted_by:
                array.set("F", 91, f"{array.comment} and terminated")
            else:
                array.set("F", 92 if ok else 93, f"{array.comment} and {'finished' if ok else 'failed'}")
            for element in array.elements:
                element.state = "F"
                if not element.own_record:
                    element.substate = array.substate

    # holding

    def hold(self, owner: str, text: str, *, held: bool) -> None:
        """Hold the job or array with an id, or release it. What runs continues.

        Raises:
            Refusal: there is none, or it is a task of an array.
        """
        command = "qhold" if held else "qrls"
        for job in self.find(text, command):
            if job.over:
                raise Refusal(f"{command}: Job has finished\n", 35)
            if job.array is not None:
                raise Refusal(f"{command}: Invalid request {text}\n", 156)
            job.request["hold"] = held
            begun = isinstance(job, Array) and job.started is not None
            if held:
                job.comment = f"Job held by {owner} on {time.strftime('%a %b %e %H:%M:%S %Y')}"
            elif isinstance(job, Array):
                job.comment = f"Job Array Began at {_when()}" if begun else ""
            if held and (job.state in "QWB"):
                job.set("H", 20)
            elif not held and job.state == "H":
                job.set(*(("B", 70) if begun else ("Q", 10)))
                job.eligible = time.time()

    # deleting

    def delete(self, owner: str, text: str, *, force: bool, erase: bool) -> None:
        """Delete the job, array or tasks with an id.

        Raises:
            Refusal: there is none, or it cannot be deleted.
        """
        found = self.find(text, "qdel")
        if len(found) > 1:
            found = [job for job in found if not job.over]  # of a range, finished tasks are no error
        for job in found:
            if job.owner != owner:
                raise Refusal(f"qdel: Unauthorized Request  {text}\n", 159)
            if job.state == "X":
                raise Refusal(f"qdel: Request invalid for finished array subjob {text}\n", 55)
            if job.over and erase:
                del self.jobs[job.seq]
            elif job.over:
                raise Refusal(f"qdel: Job has finished {text}\n", 35)
            elif job.state == "E":
                raise Refusal(f"qdel: Request invalid for state of job {text}\n", 168)
            elif isinstance(job, Array):
                self._delete_array(job, owner, force=force)
            else:
                self._delete_one(job, owner, force=force)
            if erase:
                self.jobs.pop(job.seq, None)

    def _delete_array(self, array: Array, owner: str, *, force: bool) -> None:
        """Delete an array. Its finished tasks lose their records."""
        array.deleted_by = owner
        for element in array.elements:
            if element.over:
                element.own_record, element.substate = False, 70
            elif not element.deleted_by and element.state != "E":
                self._delete_one(element, owner, force=force)
        if array.state != "F" and not array.started:
            array.ended = time.time()
            array.set("F", 91, f"{array.comment} and terminated" if array.comment else None)

    def _delete_one(self, job: Job, owner: str, *, force: bool) -> None:
        job.deleted_by = owner
        run = next((run for run in self.runs if run.job is job), None)
        if run is not None:
            job.set("R", 42, f"{job.comment} and terminated by {owner}@{self.server}")
            run.end(signal.SIGKILL if force else signal.SIGTERM)
            return
        job.ended = time.time()
        if job.array is not None:
            job.set("X", 70)
            self._element_over(job)
        else:
            job.set("F", 91, f"{job.comment} and terminated" if job.comment else None)


def _when() -> str:
    return time.strftime("%a %b %d at %H:%M")
