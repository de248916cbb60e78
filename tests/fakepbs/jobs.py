"""A job, an array of jobs and an element of one, and the attributes that the server shows of each, in its order."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any

from .resources import chunk_of, clock, size_in_bytes

Pairs = list[tuple[str, Any]]
"""Names and values; a time is ``{"time": epoch}``, formatted by whoever asks."""


@dataclass
class Job:
    """A job, or an element: then `array` is its array, and `index` its index there."""

    seq: int
    server: str
    owner: str
    asked: dict[str, Any]
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
        """That it takes."""
        return int(self.resources["ncpus"])

    @property
    def memory(self) -> int:
        """That it takes, in bytes."""
        return size_in_bytes(self.resources.get("mem", "0"))

    @property
    def over(self) -> bool:
        """It has ended."""
        return self.state in "FX"

    def set(self, state: str, substate: int, comment: str | None = None) -> None:
        """Where it stands from now on."""
        self.state, self.substate, self.changed = state, substate, time.time()
        if comment is not None:
            self.comment = comment

    def path(self, kind: str) -> str:
        """Output_Path or Error_Path: host and path, an element's index in it."""
        letter = {"out": "o", "err": "e"}[kind]
        home = dict(self.asked["variables"])["PBS_O_WORKDIR"]
        tail = "" if self.array is None and not isinstance(self, Array) else ".^array_index^"
        path: str = self.asked[kind] or f"{self.server}:{home}/{self.asked['name']}.{letter}{self.seq}{tail}"
        return path.replace("^array_index^", str(self.index)) if self.index is not None and self.own_record else path

    def attributes(self) -> Pairs:
        """All that is shown of it. An element without a record of its own shows its array's."""
        if self.array is not None and not self.own_record:
            return self.array.shown_of(self)
        element = self.array is not None
        pairs = self._first(element=element)
        pairs += [("stime", _time(self.started))]
        pairs += [("session_id", self.session if not self.over else None)]
        pairs += [("obittime", _time(self.ended)), ("jobdir", self.asked["home"] if self.started else None)]
        pairs += self._middle()
        pairs += [("Exit_status", self.exit_status)]
        if not element:
            pairs += [("Submit_arguments", self.asked["arguments"] or None)]
        else:
            pairs += [("array_id", f"{self.seq}[].{self.server}"), ("array_index", self.index)]
        pairs += [("history_timestamp", int(self.ended) if self.over and self.ended else None)]
        return _there(
            [*pairs, ("project", self.asked["project"] or "_pbs_project_default"), ("Submit_Host", self.server)]
        )

    def _first(self, *, element: bool) -> Pairs:
        used = self._used() if self.started else []
        execution = [("exec_host", self.exec_host()), ("exec_vnode", self.exec_vnode())] if self.started else []
        begin = self.asked["begin"]
        pairs: Pairs = [("Job_Name", self.asked["name"]), ("Job_Owner", f"{self.owner}@{self.server}"), *used]
        pairs += [("job_state", self.state), ("queue", self.asked["queue"] or "workq"), ("server", self.server)]
        pairs += [("Account_Name", self.asked["account"])]
        pairs += [] if element else [("Checkpoint", "u")]
        depend = next((w[7:] for w in self.asked["wanted"] if w.startswith("depend=")), None)
        pairs += [("ctime", _time(self.created)), ("depend", depend), ("Error_Path", self.path("err")), *execution]
        pairs += [("Execution_Time", _time(begin if begin and begin > self.created else None))]
        pairs += [] if element else [("Hold_Types", "u" if self.asked["hold"] else "n")]
        pairs += [
            ("Join_Path", self.asked["join"]),
            ("Keep_Files", self.asked["keep"]),
            ("Mail_Points", self.asked["mail"]),
        ]
        pairs += [
            ("mtime", _time(self.changed)),
            ("Output_Path", self.path("out")),
            ("Priority", int(self.asked["priority"])),
        ]
        pairs += [("qtime", _time(self.created)), ("Rerunable", "True" if self.asked["rerun"] else "False")]
        return pairs + [(f"Resource_List.{name}", _number(value)) for name, value in self.resources.items()]

    def _middle(self) -> Pairs:
        queue = self.asked["queue"] or "workq"
        variables = [*self.asked["variables"], ("PBS_O_QUEUE", queue), ("PBS_O_HOST", self.server)]
        stageout = None if self.delivered is None else int(self.delivered)
        return [("substate", self.substate), ("Variable_List", [list(pair) for pair in variables]),
                ("comment", self.comment or None), ("etime", _time(self.eligible)), ("run_count", self.runs or None),
                ("Stageout_status", stageout)]  # fmt: skip

    def _used(self) -> Pairs:
        return [("resources_used.cpupercent", 0), ("resources_used.cput", "00:00:00"),
                ("resources_used.mem", f"{self.memory_used // 1024}kb"), ("resources_used.ncpus", self.cpus),
                ("resources_used.vmem", "0kb"), ("resources_used.walltime", clock(self.walltime_used))]  # fmt: skip

    def exec_host(self) -> str:
        """``host/0*6``, each chunk for itself."""
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
    """A whole array. Its state follows from its elements'."""

    elements: list[Job] = field(default_factory=list)

    @property
    def id(self) -> str:
        """``12[].host``."""
        return f"{self.seq}[].{self.server}"

    @property
    def range(self) -> tuple[str, int | None]:
        """As it was submitted, and how many may run at a time."""
        text, _, most = self.asked["array"].partition("%")
        return text, int(most) if most else None

    def attributes(self) -> Pairs:
        """With how many stand where."""
        return _there([*self._shared(), *self._of_array(), ("project", self.asked["project"] or "_pbs_project_default"),
                       ("Submit_Host", self.server), ("max_run_subjobs", self.range[1])])  # fmt: skip

    def shown_of(self, element: Job) -> Pairs:
        """What is shown of an element that has not begun, or whose record is gone."""
        changed: dict[str, Any] = {"job_state": element.state, "substate": element.substate}
        if element.over:
            changed["comment"] = "Subjob finished"
        return [(name, changed.get(name, value)) for name, value in _there(self._shared())]

    def _shared(self) -> Pairs:
        return [*(pair for pair in self._first(element=False) if not re.match("exec_|resources_used", pair[0])),
                ("stime", _time(self.started)), ("obittime", _time(self.ended)), *self._middle(),
                ("Exit_status", self.exit_status), ("Submit_arguments", self.asked["arguments"] or None)]  # fmt: skip

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


def _there(pairs: Pairs) -> Pairs:
    return [pair for pair in pairs if pair[1] is not None]


def _time(when: float | None) -> dict[str, int] | None:
    return None if when is None else {"time": int(when)}


def _number(text: str) -> int | str:
    return int(text) if text.isdigit() else text
