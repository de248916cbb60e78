"""The attributes of a PBS job as ``qstat -f -F dsv`` prints them, and what they mean.

Of the three forms of ``qstat -f`` only this one escapes every special character: the plain form breaks lines inside
words, and the JSON is not always valid JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone

from scheduler.batch.pbs.states import DELETED, ENDED, FAILED, LIMIT_SIGNALS, LIMITS, NEGATIVE, STATES
from scheduler.job.evidence import Observation
from scheduler.job.numerals import MOST_EXIT_CODE, read_number, read_time
from scheduler.job.state import Cause, JobState

Attributes = Mapping[str, str]
"""Name → value, such as ``Resource_List.walltime`` → ``01:00:00``; ``id`` is the job's id."""

TASK = re.compile(r"[0-9]{1,18}\[([0-9]{1,9})\]")
"""The id of an array task, with its index."""
_ESCAPED = re.compile(r"\\(.)", re.S)
_NO_REASON = re.compile(r"Subjob (finished|failed|terminated)\b|Job Array Began at\b|Job run at\b")
_EXCEEDED = re.compile(r"exceeded resource ([a-z]+)")


def read_dsv(line: str, delimiter: str = "|") -> dict[str, str]:
    """Read ``Job Id: 1.host|key=value|…``: a delimiter, comma, backslash or newline in a value follows a backslash."""
    end = re.escape(delimiter)
    fields = re.findall(rf"(?:{end})?((?:(?!{end})[^\\]|\\.)+)", line.rstrip("\r\n"), re.S)
    found: dict[str, str] = {}
    if fields and fields[0].startswith("Job Id: "):
        found["id"] = fields[0][8:].strip()
    for field in fields[1:]:
        key, sign, value = field.partition("=")
        if sign:
            found.setdefault(key, unescaped(value))
    return found


def unescaped(text: str) -> str:
    """`text` without the backslashes that escape a character."""
    return _ESCAPED.sub(lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), text)


def why_it_waits(comment: str) -> str:
    """A job's comment, without what PBS writes for a task that has none: ``Subjob finished`` for one that was deleted
    before it started, ``Job Array Began at …`` for one that waits, ``Job run at …`` for one that waits to run again."""
    return "" if _NO_REASON.match(comment.strip()) else comment.strip()


def observation(job: Attributes) -> Observation:
    """What the attributes of one job mean.

    ``Exit_status`` counts only for a finished job: a job that was requeued shows the value of its earlier run.
    """
    word = job.get("job_state", "")
    state, cause, code = STATES.get(word), Cause.NONE, None
    shown = f"{word} {job.get('substate', '')}".strip()
    if word in ENDED and "[]" not in job.get("id", ""):
        state, cause, code = _end(job)
        shown += f" Exit_status={job['Exit_status']}" if "Exit_status" in job else ""
    if word == "Q" and job.get("Hold_Types", "n") != "n":
        state = JobState.HELD  # a task of an array that is held
    if (_number(job.get("run_count", "")) or 0) > 1:
        shown += f" run_count={job['run_count']}"  # PBS itself has started it several times
    reason = why_it_waits(job.get("comment", "")) if state is not JobState.RUNNING else ""
    return Observation(
        shown, state, cause, code, reason=reason, node=job.get("exec_host", "").split("/")[0],
        started=_time(job.get("stime", "")), ended=_time(job.get("obittime", "")) if word in ENDED else None,
        batch_id=_batch_id(job.get("id", "")),
    )  # fmt: skip


def _end(job: Attributes) -> tuple[JobState, Cause, int | None]:
    """State, cause and exit code of a finished job.

    The substate takes precedence over Exit_status: F/92 without Exit_status never ran, 271 without 91 was not qdel.
    """
    code = _number(job.get("Exit_status", ""))
    if TASK.match(job.get("id", "")) and "array_index" not in job:
        return JobState.CANCELLED, Cause.CANCELLED, None  # deleted before it started: these are the array's attributes
    if job.get("substate") == DELETED:
        return JobState.CANCELLED, Cause.CANCELLED, _as_shell(code)
    if code is None:
        return JobState.FAILED, Cause.DEPENDENCY if "depend" in job else Cause.UNKNOWN, None
    if code == 0:
        failed = job.get("substate") == FAILED
        return (JobState.FAILED, Cause.UNKNOWN, 0) if failed else (JobState.COMPLETED, Cause.NONE, 0)
    cause = _exceeded_limit(job) or _plain_cause(code)
    return JobState.CANCELLED if cause is Cause.CANCELLED else JobState.FAILED, cause, _as_shell(code)


def _plain_cause(code: int) -> Cause:
    if code < 0:
        return NEGATIVE.get(code, Cause.UNKNOWN)
    return Cause.SIGNAL if _signal(code) else Cause.EXIT_CODE


def _exceeded_limit(job: Attributes) -> Cause | None:
    """The limit that ended the job: PBS reports it, or the job was killed and has used as much as it requested."""
    reported = _EXCEEDED.search(job.get("comment", ""))
    if reported:
        return LIMITS.get(reported[1], Cause.UNKNOWN)
    if _signal(_number(job.get("Exit_status", "")) or 0) not in LIMIT_SIGNALS:
        return None
    for resource, cause in LIMITS.items():
        limit, used = (_amount(job.get(f"{kind}.{resource}", "")) for kind in ("Resource_List", "resources_used"))
        if limit and used >= limit:
            return cause
    return None


def _signal(code: int) -> int:
    """The signal in an exit code, or 0: PBS writes 256 + n, the login shell that runs the script 128 + n."""
    number = code - 256 if code >= 256 else code - 128
    return number if 0 < number < 65 else 0


def _as_shell(code: int | None) -> int | None:
    """The exit code as a shell reports it: 128 + signal. None for a negative one: PBS has set it, not the payload."""
    if code is None or code < 0:
        return None
    shown = 128 + code - 256 if code >= 256 else code
    return shown if shown <= MOST_EXIT_CODE else None


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
    number = read_number(text.removeprefix("-"))
    return number if number is None or not text.startswith("-") else -number


def _batch_id(job_id: str) -> str:
    """The id of the whole array: ``231[3].host`` → ``231[].host``."""
    return TASK.sub(lambda match: match[0].split("[")[0] + "[]", job_id, count=1)


def _time(text: str) -> datetime | None:
    """``Mon Nov 23 22:05:43 2026``. qstat prints times in the time zone of its environment: pbs.sh sets UTC."""
    try:
        time = datetime.strptime(" ".join(text[:100].split()), "%a %b %d %H:%M:%S %Y").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return read_time(f"{time.timestamp():.0f}")
