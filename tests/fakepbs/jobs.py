"""A job, a job array and an array task, and the attributes of each in the order in which the server shows them."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any

from .resources import chunk_of, clock, size_in_bytes

Pairs = list[tuple[str, Any]]
"""Names and values. A time is ``{"time": epoch}``; the command formats it in its own time zone."""


@dataclass
class Job:
    """A job, or a task of an array.

    Attributes:
        array: the array of a task, else None.
        index: the index of a task in its array.
        own_record: a task has attributes of its own, since it has started; before, it shows those of its array.
        delivered: the output was copied; None before that was tried.
        walltime_used: in seconds, by the job's own clock.
        slot: the number of its place on the execution host.
    """

    seq: int
    server: str
    owner: str
    request: dict[str, Any]
    resources: dict[str, str]
    index: int | None = None
    array: Array | None = None
    state: str = "Q"
    substate: int = 10
    comment: str = ""
    exit_status: int | None = None
    runs: int = 0
    own_record: bool = False
    delivered: bool | None = None
    deleted_by: str = ""
    created: float = field(default_factory=time.time)
    changed: float = field(default_factory=time.time)
    eligible: float | None = None
    started: float | None = None
    ended: float | None = None
    walltime_used: float = 0.0
    memory_used: int = 0
    session: int | None = None
    slot: int = 0

    @property
    def id(self) -> str:
        """``12.host``, ``12[3].host``."""
        return f"{self.seq}{'' if self.index is None else f'[{self.index}]'}.{self.server}"

    @property
    def cpus(self) -> int:
        """The number of CPUs that it takes."""
        return int(self.resources["ncpus"])

    @property
    def memory(self) -> int:
        """The memory that it takes, in bytes."""
        return size_in_bytes(self.resources.get("mem", "0"))

    @property
    def over(self) -> bool:
        """Whether it is finished."""
        return self.state in "FX"

    def set(self, state: str, substate: int, comment: str | None = None) -> None:
        """Change the state."""
        self.state, self.substate, self.changed = state, substate, time.time()
        if comment is not None:
            self.comment = comment

    def path(self, kind: str) -> str:
        """Output_Path or Error_Path: host and path, with the index of an array task."""
        letter = {"out": "o", "err": "e"}[kind]
        home = dict(self.request["variables"])["PBS_O_WORKDIR"]
        tail = "" if self.array is None and not isinstance(self, Array) else ".^array_index^"
        path: str = self.request[kind] or f"{self.server}:{home}/{self.request['name']}.{letter}{self.seq}{tail}"
        return path.replace("^array_index^", str(self.index)) if self.index is not None and self.own_record else path

    def attributes(self) -> Pairs:
        """All attributes that qstat shows. A task without a record of its own shows those of its array."""
        if self.array is not None and not self.own_record:
            return self.array.shown_of(self)
        element = self.array is not None
        pairs = self._first(element=element)
        pairs += [("stime", _time(self.started))]
        pairs += [("session_id", self.session if not self.over else None)]
        pairs += [("obittime", _time(self.ended)), ("jobdir", self.request["home"] if self.started else None)]
        pairs += self._middle()
        pairs += [("Exit_status", self.exit_status)]
        if not element:
            pairs += [("Submit_arguments", self.request["arguments"] or None)]
        else:
            pairs += [("array_id", f"{self.seq}[].{self.server}"), ("array_index", self.index)]
        pairs += [("history_timestamp", int(self.ended) if self.over and self.ended else None)]
        return _present(
            [*pairs, ("project", self.request["project"] or "_pbs_project_default"), ("Submit_Host", self.server)]
        )

    def _first(self, *, element: bool) -> Pairs:
        used = self._used() if self.started else []
        execution = [("exec_host", self.exec_host()), ("exec_vnode", self.exec_vnode())] if self.started else []
        begin = self.request["begin"]
        pairs: Pairs = [("Job_Name", self.request["name"]), ("Job_Owner", f"{self.owner}@{self.server}"), *used]
        pairs += [("job_state", self.state), ("queue", self.request["queue"] or "workq"), ("server", self.server)]
        pairs += [("Account_Name", self.request["account"])]
        pairs += [] if element else [("Checkpoint", "u")]
        depend = next((w[7:] for w in self.request["wanted"] if w.startswith("depend=")), None)
        pairs += [("ctime", _time(self.created)), ("depend", depend), ("Error_Path", self.path("err")), *execution]
        pairs += [("Execution_Time", _time(begin if begin and begin > self.created else None))]
        pairs += [] if element else [("Hold_Types", "u" if self.request["hold"] else "n")]
        pairs += [
            ("Join_Path", self.request["join"]),
            ("Keep_Files", self.request["keep"]),
            ("Mail_Points", self.request["mail"]),
        ]
        pairs += [
            ("mtime", _time(self.changed)),
            ("Output_Path", self.path("out")),
            ("Priority", int(self.request["priority"])),
        ]
        pairs += [("qtime", _time(self.created)), ("Rerunable", "True" if self.request["rerun"] else "False")]
        return pairs + [(f"Resource_List.{name}", _number(value)) for name, value in self.resources.items()]

    def _middle(self) -> Pairs:
        queue = self.request["queue"] or "workq"
        variables = [*self.request["variables"], ("PBS_O_QUEUE", queue), ("PBS_O_HOST", self.server)]
        stageout = None if self.delivered is None else int(self.delivered)
        return [("substate", self.substate), ("Variable_List", [list(pair) for pair in variables]),
                ("comment", self.comment or None), ("etime", _time(self.eligible)), ("run_count", self.runs or None),
                ("Stageout_status", stageout)]  # fmt: skip

    def _used(self) -> Pairs:
        return [("resources_used.cpupercent", 0), ("resources_used.cput", "00:00:00"),
                ("resources_used.mem", f"{self.memory_used // 1024}kb"), ("resources_used.ncpus", self.cpus),
                ("resources_used.vmem", "0kb"), ("resources_used.walltime", clock(self.walltime_used))]  # fmt: skip

    def exec_host(self) -> str:
        """``host/0*6``, for each chunk."""
        chunks = [
            pairs for text in self.resources["select"].split("+") for n, pairs in [chunk_of(text)] for _ in range(n)
        ]
        parts = []
        for number, pairs in enumerate(chunks, start=self.slot):
            many = pairs.get("ncpus", "1")
            parts.append(f"{self.server}/{number}" + (f"*{many}" if many != "1" else ""))
        return "+".join(parts)

    def exec_vnode(self) -> str:
        """``(host:ncpus=6:mem=1048576kb)``."""
        parts = []
        for text in self.resources["select"].split("+"):
            count, pairs = chunk_of(text)
            memory = f":mem={size_in_bytes(pairs['mem']) // 1024}kb" if "mem" in pairs else ""
            parts += [f"({self.server}:ncpus={pairs.get('ncpus', '1')}{memory})"] * count
        return "+".join(parts)


@dataclass
class Array(Job):
    """A whole array. Its state follows from the states of its tasks."""

    elements: list[Job] = field(default_factory=list)

    @property
    def id(self) -> str:
        """``12[].host``."""
        return f"{self.seq}[].{self.server}"

    @property
    def range(self) -> tuple[str, int | None]:
        """The indices as they were submitted, and how many tasks may run at a time."""
        text, _, most = self.request["array"].partition("%")
        return text, int(most) if most else None

    def attributes(self) -> Pairs:
        """All attributes that qstat shows, with the number of tasks in each state."""
        project = self.request["project"] or "_pbs_project_default"
        pairs: Pairs = [*self._shared(), *self._of_array(), ("project", project), ("Submit_Host", self.server)]
        return _present([*pairs, ("max_run_subjobs", self.range[1])])

    def shown_of(self, element: Job) -> Pairs:
        """The attributes of a task that has not started, or whose record is gone."""
        changed: dict[str, Any] = {"job_state": element.state, "substate": element.substate}
        if element.over:
            changed["comment"] = "Subjob finished"
        return [(name, changed.get(name, value)) for name, value in _present(self._shared())]

    def _shared(self) -> Pairs:
        return [*(pair for pair in self._first(element=False) if not re.match("exec_|resources_used", pair[0])),
                ("stime", _time(self.started)), ("obittime", _time(self.ended)), *self._middle(),
                ("Exit_status", self.exit_status), ("Submit_arguments", self.request["arguments"] or None)]  # fmt: skip

    def _of_array(self) -> Pairs:
        states = [element.state for element in self.elements]
        over = self.state == "F"
        counts = {"Queued": states.count("Q"), "Running": states.count("R"), "Exiting": states.count("E"),
                  "Expired": 0 if over else states.count("X")}  # fmt: skip
        left = [element.index for element in self.elements if element.state == "Q" and element.index is not None]
        return [("array", "True"), ("array_state_count", " ".join(f"{k}:{v}" for k, v in counts.items()) + " "),
                ("array_indices_submitted", self.range[0]), ("array_indices_remaining", _indices(left)),
                ("history_timestamp", int(self.ended) if over and self.ended else None)]  # fmt: skip


def _indices(numbers: list[int]) -> str:
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts) or "-"


def _present(pairs: Pairs) -> Pairs:
    return [pair for pair in pairs if pair[1] is not None]


def _time(when: float | None) -> dict[str, int] | None:
    return None if when is None else {"time": int(when)}


def _number(text: str) -> int | str:
    return int(text) if text.isdigit() else text
