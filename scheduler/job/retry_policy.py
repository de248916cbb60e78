"""Whether a failed job is retried automatically, and which resources the next attempt requests. Pure: it sends nothing.

Never retried automatically: a job that was cancelled, was refused or could not start, because the next attempt would
end in the same way; and a job that is LOST, because it may still be running. A job that the batch system requeues has
not ended, so it is not retried.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from scheduler.job.resources import Resources, Retry
from scheduler.job.state import Cause, JobState, Status
from scheduler.job.units import MAX_MEMORY_MIB, MAX_WALLTIME, format_walltime

_BY_CAUSE = (Cause.NODE_FAILURE, Cause.PREEMPTED, Cause.OUT_OF_MEMORY, Cause.TIME_LIMIT)
_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}\Z")


@dataclass(frozen=True)
class Bounds:
    """The most that an attempt may request; None: no limit."""

    memory_mib: int | None = None
    walltime: timedelta | None = None
    memory_is_asked_for: bool = True
    """False for a site with ``memory_style: omit``: its jobs get whole nodes and request no memory."""


@dataclass(frozen=True)
class Again:
    """The job is retried with these resources, and not on the nodes in `exclude`."""

    resources: Resources
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class Enough:
    """The job is not retried, although `Retry` asks for it. `why` is appended to the job's reason."""

    why: str


def next_attempt(
    status: Status,
    retry: Retry,
    *,
    retries: int,
    resources: Resources,
    bounds: Bounds,
    failed_nodes: Sequence[str] = (),
) -> Again | Enough | None:
    """Decide whether a job is retried.

    Args:
        status: how its last attempt ended.
        retry: its rules.
        retries: how many retries there were.
        resources: what its last attempt requested.
        bounds: what the site allows.
        failed_nodes: the nodes on which attempts of this job ended in a node failure, the last one included.

    Returns:
        The next attempt; or why the job gets none; or None if `retry` does not ask for one.
    """
    if not retry.times or not _asks_for_retry(status, retry):
        return None
    if retries >= retry.times:
        return Enough(f"that was attempt {retries + 1}, and the last")
    more: Resources | Enough = resources
    if status.cause is Cause.OUT_OF_MEMORY:
        more = _with_more_memory(resources, retry.memory_factor, bounds)
    elif status.cause is Cause.TIME_LIMIT:
        more = _with_more_time(resources, retry.walltime_factor, bounds)
    return more if isinstance(more, Enough) else Again(more, single_nodes(failed_nodes))


def _asks_for_retry(status: Status, retry: Retry) -> bool:
    if status.state is not JobState.FAILED:
        return False
    if status.cause is Cause.EXIT_CODE:
        return status.exit_code in retry.exit_codes
    return status.cause in _BY_CAUSE and status.cause.word in retry.on


def _with_more_memory(resources: Resources, factor: float, bounds: Bounds) -> Resources | Enough:
    now, most = resources.memory_mib, min(bounds.memory_mib or MAX_MEMORY_MIB, MAX_MEMORY_MIB)
    if now is None or not bounds.memory_is_asked_for:
        return Enough("not retried: it requests no memory that could be increased")
    if now >= most:
        return Enough(f"not retried: it had all the memory that the site allows, {most}M")
    return with_other(resources, memory=f"{min(math.ceil(now * factor), most)}M")


def _with_more_time(resources: Resources, factor: float, bounds: Bounds) -> Resources | Enough:
    now, most = resources.walltime, min(bounds.walltime or MAX_WALLTIME, MAX_WALLTIME)
    if now is None:
        return Enough("not retried: it requests no walltime that could be increased")
    if now >= most:
        return Enough(f"not retried: it had all the time that the site allows, {format_walltime(most)}")
    return with_other(resources, walltime=format_walltime(min(now * factor, most)))


def with_other(resources: Resources, **values: str | None) -> Resources:
    """`resources` with other values; a value that is None is not changed.

    Raises:
        JobError: a value is wrong.
    """
    return Resources(**{**resources.to_json(), **{key: value for key, value in values.items() if value is not None}})


def difference(before: Resources, after: Resources) -> str:
    """What has changed: ``memory 300M → 450M``; empty if nothing."""
    old, new = before.to_json(), after.to_json()
    return ", ".join(f"{key} {old.get(key, 'none')} → {new[key]}" for key in new if old.get(key) != new[key])


def single_nodes(names: Sequence[str]) -> tuple[str, ...]:
    """The failed nodes, each once. A list of nodes is left out: it is not known which of them has failed."""
    return tuple(dict.fromkeys(name for name in names if _NODE.match(name)))
