"""PBS's words (OpenPBS and PBS Professional): its directives, and what qsub and qstat print. It runs nothing.

What is known was seen on running servers, release 23.06.06 and master of 2026-04. States and substates after the PBS
Professional Reference Guide, negative exit codes after its table of job exit codes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone

from scheduler.batch.base import Accepted, Ask, BatchSystem, Key, Outcome, Refused, Unknown
from scheduler.errors import ConfigError
from scheduler.job.evidence import Sighting
from scheduler.job.resources import Resources
from scheduler.job.state import Cause, JobState

STATES: Mapping[str, JobState] = {
    "B": JobState.RUNNING,  # an array of which some element has begun
    "E": JobState.RUNNING,  # the payload has ended, its output is being delivered
    "H": JobState.HELD,
    "M": JobState.QUEUED,  # moved to another server
    "Q": JobState.QUEUED,
    "R": JobState.RUNNING,
    "S": JobState.SUSPENDED,
    "T": JobState.QUEUED,  # on its way to another queue
    "U": JobState.SUSPENDED,  # the workstation's owner is back
    "W": JobState.QUEUED,  # waits for its time, or 30 minutes after a failed stage-in
}
ENDED = ("F", "X")
DELETED = 91
"""The substate of a job that qdel ended; the exit code alone (271, 265, 143) could be anybody's signal."""
NEGATIVE: Mapping[int, Cause] = {
    -1: Cause.CANNOT_START,
    -2: Cause.CANNOT_START,
    -3: Cause.CANNOT_START,
    -4: Cause.NODE_FAILURE,
    -5: Cause.NODE_FAILURE,
    -6: Cause.NODE_FAILURE,
    -7: Cause.NODE_FAILURE,
    -10: Cause.CANNOT_START,
    -11: Cause.NODE_FAILURE,
    -14: Cause.NODE_FAILURE,
    -17: Cause.CANCELLED,
    -19: Cause.CANCELLED,
    -20: Cause.NODE_FAILURE,
    -26: Cause.OUT_OF_MEMORY,
    -27: Cause.OUT_OF_MEMORY,
    -28: Cause.TIME_LIMIT,
    -29: Cause.TIME_LIMIT,
}
_ID = re.compile(r"\d+(\[\])?\.[A-Za-z0-9_.-]+\Z")
# 124: our own limit on a server that does not answer; 255: the background qsub was lost. The job may exist.
_IN_DOUBT = (124, 255)
_MANAGED = re.compile(r"-([NoejJkrSVv])\b|-l\s*(select|walltime|ncpus|mem|nodes|place)\b")
_NATIVE = re.compile(r"-[A-Za-z]( +[\x21-\x7e]+)?\Z|-l *[A-Za-z_]+=[\x21-\x7e]+\Z|-W *[A-Za-z_]+=[\x21-\x7e]+\Z")
_CHUNK = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=[A-Za-z0-9_.:+-]+(:[A-Za-z_][A-Za-z0-9_]*=[A-Za-z0-9_.:+-]+)*\Z")


class Pbs(BatchSystem):
    """OpenPBS and PBS Professional."""

    name = "pbs"
    submit_command = "qsub"
    poll_seconds = 60.0

    def directives(self, ask: Ask) -> str:
        want = ask.resources
        lines = [f"-N {ask.name}", "-j oe", f"-o batches/{ask.first}/log.{'^array_index^' if ask.count > 1 else '0'}"]
        lines += [f"-J 0-{ask.count - 1}", "-r y"] if ask.count > 1 else ["-r n"]
        lines.append(f"-l select={_select(want, ask.memory_style)}")
        if want.walltime is not None:
            lines.append(f"-l walltime={_walltime(want.walltime)}")
        lines += [f"-{letter} {value}" for letter, value in (("A", want.account), ("q", want.queue)) if value]
        lines += [_native(text) for text in want.native]
        return "\n".join(f"#PBS {line}" for line in lines)

    def read_submit(self, exit_code: int, words: str) -> Outcome:
        first = words.split()[0] if words.split() else ""
        if exit_code == 0:
            return Accepted(first) if _ID.match(first) else Unknown(words, exit_code)
        if exit_code in _IN_DOUBT:
            return Unknown(words, exit_code)
        return Refused(words.replace("\r", "\n").strip(), exit_code)

    def read_live(self, lines: Iterable[str]) -> Mapping[Key, Sighting]:
        """``name|index|id|state``: of the table of one's own jobs. Ended ones are the history's matter."""
        found: dict[Key, Sighting] = {}
        for line in lines:
            fields = line.split("|")
            if len(fields) == 4 and fields[1].isdecimal() and fields[3] not in ENDED:
                sighting = Sighting(fields[3], STATES.get(fields[3]), batch_id=fields[2])
                found[fields[0], int(fields[1])] = sighting
        return found

    def read_history(self, lines: Iterable[str], names: Mapping[str, str]) -> Mapping[Key, Sighting]:
        """``name|index|`` and what ``qstat -x -f -F dsv`` printed of that job; nothing, if it is unknown."""
        found: dict[Key, Sighting] = {}
        for line in lines:
            name, _, rest = line.partition("|")
            index, _, words = rest.partition("|")
            attributes = read_dsv(words)
            if index.isdecimal() and "job_state" in attributes and attributes.get("Job_Name", name) == name:
                found[name, int(index)] = read_attributes(attributes)
        return found

    def no_history(self, words: str) -> bool:
        return "not configured to maintain job history" in words


def read_dsv(line: str) -> dict[str, str]:
    """``Job Id: 1.host|key=value|…``; a bar, newline or backslash in a value has a backslash before it."""
    fields = re.split(r"(?<!\\)(?:\\\\)*\|", line)
    pairs = [field.partition("=") for field in fields[1:]]
    found = {key: re.sub(r"\\(.)", r"\1", value) for key, sign, value in pairs if sign}
    if fields[0].startswith("Job Id: "):
        found["id"] = fields[0][8:].strip()
    return found


def read_attributes(of: Mapping[str, str]) -> Sighting:
    """What the attributes of one job mean. ``Exit_status`` counts only at the end: a job that runs again shows the old."""
    raw, comment = of["job_state"], of.get("comment", "").strip()
    node = of.get("exec_host", "").split("/")[0]
    state, cause, code = STATES.get(raw), Cause.NONE, None
    if raw in ENDED:
        state, cause, code = _end(of)
    shown = f"{raw} {of.get('substate', '')}".strip()
    if code is not None:
        shown += f" Exit_status={of.get('Exit_status')}"
    return Sighting(shown, state, cause, code, reason=comment, node=node, started=_time(of.get("stime", "")),
                    ended=_time(of.get("obittime", "")), batch_id=of.get("id", ""))  # fmt: skip


def _end(of: Mapping[str, str]) -> tuple[JobState, Cause, int | None]:
    """Substate before Exit_status: F/92 without Exit_status never ran, and 271 without 91 was not qdel."""
    try:
        code = int(of["Exit_status"])
    except (KeyError, ValueError):
        code = None
    if of.get("substate") == str(DELETED):
        return JobState.CANCELLED, Cause.CANCELLED, code
    if code is None:
        return JobState.FAILED, Cause.DEPENDENCY, None
    if code == 0:
        return JobState.COMPLETED, Cause.NONE, 0
    if code < 0:
        cause = NEGATIVE.get(code, Cause.UNKNOWN)
        return (JobState.CANCELLED if cause is Cause.CANCELLED else JobState.FAILED), cause, None
    if code >= 256:
        return JobState.FAILED, Cause.SIGNAL, 128 + code - 256
    return JobState.FAILED, Cause.EXIT_CODE, code


def _select(want: Resources, memory_style: str) -> str:
    """``nodes`` chunks: ``2:ncpus=4:mpiprocs=2:mem=8192mb:ngpus=1:system=polaris``; cpus of each task, memory of each node."""
    nodes, tasks, cpus = want.nodes or 1, want.tasks or 1, want.cpus or 1
    each = -(-tasks // nodes)
    parts = [str(nodes), f"ncpus={each * cpus}"]
    if want.tasks:
        parts.append(f"mpiprocs={each}")
    if want.memory_mib is not None and memory_style != "omit":
        parts.append(f"mem={want.memory_mib}mb")
    if want.gpus:
        parts.append(f"ngpus={want.gpus}")
    if want.constraint:
        if not _CHUNK.match(want.constraint):
            raise ConfigError(f"constraint: {want.constraint!r} must be what select takes, such as system=polaris")
        parts.append(want.constraint)
    return ":".join(parts)


def _walltime(time: timedelta) -> str:
    """``HH:MM:SS``; qsub knows no days."""
    minutes, seconds = divmod(int(time.total_seconds()), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


def _native(text: str) -> str:
    if not _NATIVE.match(text):
        raise ConfigError(f"native: {text!r} is no directive of qsub, such as '-l filesystems=home:eagle'")
    if _MANAGED.match(text):
        raise ConfigError(f"native: {text!r} sets what scheduler sets itself; use the key of its own")
    return text


def _time(text: str) -> datetime | None:
    """``Mon Nov 23 22:05:43 2026``, in the server's own time zone, which it does not tell."""
    try:
        return datetime.strptime(" ".join(text.split()), "%a %b %d %H:%M:%S %Y").replace(tzinfo=timezone.utc)
    except ValueError:
        return None


SYSTEM = Pbs()
