"""PBS's words (OpenPBS and PBS Professional): what qsub and qstat print, and what it means. It runs nothing.

What is known was seen on running servers, release 23.06.06 and master of 2026-04 (tests/cases/pbs). States and
substates after the PBS Professional Reference Guide, negative exit codes after its table of job exit codes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone

from scheduler.batch.base import Accepted, Ask, BatchSystem, Full, Key, Outcome, Refused, Unknown
from scheduler.batch.pbs.attributes import Attributes, read_dsv
from scheduler.batch.pbs.directives import header
from scheduler.job.evidence import Observation
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
    "deleted": JobState.CANCELLED,  # pbs.sh says so, not PBS
}
ENDED = ("F", "X")
"""X: an element that has ended while its array goes on."""
DELETED, FAILED = "91", "93"
"""Substates. 91: qdel ended it; the exit code alone (271, 265, 143) could be anybody's signal."""
NEGATIVE: Mapping[int, Cause] = {
    -1: Cause.CANNOT_START,
    -2: Cause.CANNOT_START,
    -3: Cause.CANNOT_START,
    -4: Cause.NODE_FAILURE,  # the node's daemon was started anew
    -5: Cause.NODE_FAILURE,
    -6: Cause.NODE_FAILURE,
    -7: Cause.CANNOT_START,  # its checkpoint could not be read
    -10: Cause.CANNOT_START,  # no such user on the node
    -11: Cause.NODE_FAILURE,  # to be run again
    -13: Cause.CANNOT_START,
    -14: Cause.NODE_FAILURE,
    -17: Cause.CANCELLED,  # by a hook
    -19: Cause.CANCELLED,
    -20: Cause.NODE_FAILURE,
    -21: Cause.CANNOT_START,
    -22: Cause.CANNOT_START,
    -23: Cause.CANNOT_START,
    -26: Cause.OUT_OF_MEMORY,
    -27: Cause.OUT_OF_MEMORY,
    -28: Cause.TIME_LIMIT,  # of CPU time
    -29: Cause.TIME_LIMIT,
    -30: Cause.CANNOT_START,
}
LIMITS: Mapping[str, Cause] = {
    "walltime": Cause.TIME_LIMIT,
    "cput": Cause.TIME_LIMIT,
    "pcput": Cause.TIME_LIMIT,
    "mem": Cause.OUT_OF_MEMORY,
    "vmem": Cause.OUT_OF_MEMORY,
    "pmem": Cause.OUT_OF_MEMORY,
    "pvmem": Cause.OUT_OF_MEMORY,
}
IN_DOUBT = frozenset({124, 162, 163, 164, 183, 185, 186, 255})
"""Exit codes of qsub after which the job may exist all the same, or the server could not be asked: 124 is our own limit
on a server that does not answer (its job was there afterwards), 255 a background qsub that was lost, the others errors
of the connection (15010, 15011, 15012, 15031, 15033, 15034, of which qsub gives the last 8 bits)."""
_FULL = re.compile(r"would exceed .* limit|Maximum number of jobs already in queue", re.I)
"""Exit code 38 and its kin: limits on how many jobs a user, project or queue may have."""
_ID = re.compile(r"\d+(\[\])?\.[A-Za-z0-9_.-]+\Z")
_ELEMENT = re.compile(r"[0-9]{1,18}\[([0-9]{1,9})\]")
_EXCEEDED = re.compile(r"exceeded resource ([a-z]+)")
_BY_A_LIMIT = (9, 15, 24)
"""Signals that PBS, or the kernel in its name, sends to who has used too much: KILL, TERM, XCPU."""


class Pbs(BatchSystem):
    """OpenPBS and PBS Professional."""

    name = "pbs"
    submit_command = "qsub"
    poll_seconds = 60.0

    def directives(self, ask: Ask) -> str:
        return header(ask)

    def read_submit(self, exit_code: int, words: str) -> Outcome:
        """The id is alone on its line; hooks of a site may print more."""
        if exit_code == 0:
            ids = [word for line in words.splitlines() for word in line.split() if _ID.match(word)]
            return Accepted(ids[-1]) if ids else Unknown(words, exit_code)
        if exit_code in IN_DOUBT or 128 < exit_code < 144:  # killed by a signal
            return Unknown(words, exit_code)
        said = words.replace("\r", "\n").strip()
        return Full(said, exit_code) if _FULL.search(words) else Refused(said, exit_code)

    def read_live(self, lines: Iterable[str]) -> Mapping[Key, Observation]:
        """``name|index|id|state|comment``: of the table of one's own jobs. Ended ones are the history's matter.

        ``deleted``: qdel took it at our word, and the table does not have it any more.
        """
        found: dict[Key, Observation] = {}
        for line in lines:
            fields = line.split("|", 4)
            if len(fields) == 5 and fields[1].isdecimal() and len(fields[1]) < 10 and fields[3] not in ENDED:
                state = STATES.get(fields[3])
                cause = Cause.CANCELLED if state is JobState.CANCELLED else Cause.NONE
                reason = fields[4].strip() if state is not JobState.RUNNING else ""
                found[fields[0], int(fields[1])] = Observation(
                    fields[3], state, cause, reason=reason, batch_id=fields[2]
                )
        return found

    def read_history(self, lines: Iterable[str], names: Mapping[str, str]) -> Mapping[Key, Observation]:
        """``name|`` and the line that ``qstat -x -f -F dsv`` printed of one job or element.

        A whole array says nothing of its elements: its exit code is 0 also when some have failed.
        """
        found: dict[Key, Observation] = {}
        for line in lines:
            name, _, words = line.partition("|")
            of = read_dsv(words)
            element = _ELEMENT.match(of.get("id", ""))
            if "job_state" in of and "[]" not in of["id"] and of.get("Job_Name", name) == name:
                found[name, int(element[1]) if element else 0] = sighting(of)
        return found

    def no_history(self, words: str) -> bool:
        return "not configured to maintain job history" in words


def sighting(of: Attributes) -> Observation:
    """What one job's attributes mean. ``Exit_status`` counts only at the end: a job that runs again shows the old."""
    word = of.get("job_state", "")
    state, cause, code = STATES.get(word), Cause.NONE, None
    shown = f"{word} {of.get('substate', '')}".strip()
    if word in ENDED and "[]" not in of.get("id", ""):
        state, cause, code = _end(of)
        shown += f" Exit_status={of['Exit_status']}" if "Exit_status" in of else ""
    if word == "Q" and of.get("Hold_Types", "n") != "n":
        state = JobState.HELD  # an element of an array that is held
    reason = of.get("comment", "").strip() if state is not JobState.RUNNING else ""
    return Observation(
        shown, state, cause, code, reason=reason, node=of.get("exec_host", "").split("/")[0],
        started=_time(of.get("stime", "")), ended=_time(of.get("obittime", "")) if word in ENDED else None,
        batch_id=_batch_id(of.get("id", "")),
    )  # fmt: skip


def _end(of: Attributes) -> tuple[JobState, Cause, int | None]:
    """Substate before Exit_status: F/92 without Exit_status never ran, and 271 without 91 was not qdel."""
    code = _number(of.get("Exit_status", ""))
    if _ELEMENT.match(of.get("id", "")) and "array_index" not in of:
        return JobState.CANCELLED, Cause.CANCELLED, None  # deleted before it began: what is shown is the array's own
    if of.get("substate") == DELETED:
        return JobState.CANCELLED, Cause.CANCELLED, _as_shell(code)
    if code is None:
        return JobState.FAILED, Cause.DEPENDENCY if "depend" in of else Cause.UNKNOWN, None
    if code == 0:
        failed = of.get("substate") == FAILED
        return (JobState.FAILED, Cause.UNKNOWN, 0) if failed else (JobState.COMPLETED, Cause.NONE, 0)
    cause = _limit(of) or _plain_cause(code)
    return JobState.CANCELLED if cause is Cause.CANCELLED else JobState.FAILED, cause, _as_shell(code)


def _plain_cause(code: int) -> Cause:
    if code < 0:
        return NEGATIVE.get(code, Cause.UNKNOWN)
    return Cause.SIGNAL if _signal(code) else Cause.EXIT_CODE


def _limit(of: Attributes) -> Cause | None:
    """The limit that ended it: PBS says so, or it was killed and had used as much as it may."""
    said = _EXCEEDED.search(of.get("comment", ""))
    if said:
        return LIMITS.get(said[1], Cause.UNKNOWN)
    if _signal(_number(of.get("Exit_status", "")) or 0) not in _BY_A_LIMIT:
        return None
    for resource, cause in LIMITS.items():
        limit, used = (_amount(of.get(f"{kind}.{resource}", "")) for kind in ("Resource_List", "resources_used"))
        if limit and used >= limit:
            return cause
    return None


def _signal(code: int) -> int:
    """256 + n from PBS, 128 + n from the login shell above the script; 0 if it is none."""
    number = code - 256 if code >= 256 else code - 128
    return number if 0 < number < 65 else 0


def _as_shell(code: int | None) -> int | None:
    """As a shell tells it: 128 + signal; nothing for the negative ones, which are PBS's own."""
    if code is None or code < 0:
        return None
    return 128 + code - 256 if code >= 256 else code


_SIZES = {"b": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30, "tb": 2**40, "pb": 2**50, "": 1}


def _amount(text: str) -> int:
    """Seconds of ``01:00:00``, bytes of ``51200kb`` or ``1gb``; 0 if it is neither."""
    if re.fullmatch(r"[0-9]{1,9}(:[0-9]{1,9}){1,2}", text):
        seconds = 0
        for part in text.split(":"):
            seconds = 60 * seconds + int(part)
        return seconds
    size = re.fullmatch(r"([0-9]{1,18})([kmgtp]?b|)", text.lower())
    return int(size[1]) * _SIZES[size[2]] if size else 0


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else None


def _batch_id(job_id: str) -> str:
    """Of the whole array: ``231[3].host`` → ``231[].host``."""
    return _ELEMENT.sub(lambda match: match[0].split("[")[0] + "[]", job_id, count=1)


def _time(text: str) -> datetime | None:
    """``Mon Nov 23 22:05:43 2026``, in the time zone of whoever runs qstat: ours runs it in UTC."""
    try:
        return datetime.strptime(" ".join(text.split()), "%a %b %d %H:%M:%S %Y").replace(tzinfo=timezone.utc)
    except ValueError:
        return None


SYSTEM = Pbs()
