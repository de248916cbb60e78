"""Whether a job that ended is worth another attempt, and what that one asks for. Pure; nothing here sends anything.

Never again by itself: what was cancelled, refused or cannot start, which would end the same way; and what is LOST, for
that job may still be running. A requeue by the batch system is no matter of ours: such a job has not ended.
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
    """The most that an attempt may ask for; None: as much as it likes."""

    memory_mib: int | None = None
    walltime: timedelta | None = None
    memory_is_asked_for: bool = True
    """Some sites give whole nodes, and are not asked for memory."""


@dataclass(frozen=True)
class Again:
    """Worth another attempt, which asks for `resources`, on other nodes than those of `exclude`."""

    resources: Resources
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class Enough:
    """It would be worth another attempt, but there will be none; `why` ends a sentence on how the job ended."""

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
    """What follows on this end of a job; None: nothing, and nobody expected anything.

    Args:
        retries: further attempts that there have been.
        resources: what the attempt that ended had asked for.
        bounds: what the site allows.
        failed_nodes: on which nodes attempts of this job ended in a node failure, the last one included.
    """
    if not retry.times or not _is_worth_it(status, retry):
        return None
    if retries >= retry.times:
        return Enough(f"that was attempt {retries + 1}, and the last")
    more: Resources | Enough = resources
    if status.cause is Cause.OUT_OF_MEMORY:
        more = _with_more_memory(resources, retry.memory_factor, bounds)
    elif status.cause is Cause.TIME_LIMIT:
        more = _with_more_time(resources, retry.walltime_factor, bounds)
    return more if isinstance(more, Enough) else Again(more, single_nodes(failed_nodes))


def _is_worth_it(status: Status, retry: Retry) -> bool:
    if status.state is not JobState.FAILED:
        return False
    if status.cause is Cause.EXIT_CODE:
        return status.exit_code in retry.exit_codes
    return status.cause in _BY_CAUSE and status.cause.word in retry.on


def _with_more_memory(resources: Resources, factor: float, bounds: Bounds) -> Resources | Enough:
    now, most = resources.memory_mib, min(bounds.memory_mib or MAX_MEMORY_MIB, MAX_MEMORY_MIB)
    if now is None or not bounds.memory_is_asked_for:
        return Enough("not retried: it asks for no memory that could be made more")
    if now >= most:
        return Enough(f"not retried: it had all the memory that the site allows, {most}M")
    return with_other(resources, memory=f"{min(math.ceil(now * factor), most)}M")


def _with_more_time(resources: Resources, factor: float, bounds: Bounds) -> Resources | Enough:
    now, most = resources.walltime, min(bounds.walltime or MAX_WALLTIME, MAX_WALLTIME)
    if now is None:
        return Enough("not retried: it asks for no walltime that could be made more")
    if now >= most:
        return Enough(f"not retried: it had all the time that the site allows, {format_walltime(most)}")
    return with_other(resources, walltime=format_walltime(min(now * factor, most)))


def with_other(resources: Resources, **values: str | None) -> Resources:
    """The same with other values; None leaves one as it is.

    Raises:
        JobError: a value is wrong.
    """
    return Resources(**{**resources.to_json(), **{key: value for key, value in values.items() if value is not None}})


def difference(before: Resources, after: Resources) -> str:
    """What is asked for otherwise: ``memory 300M → 450M``; empty if nothing."""
    old, new = before.to_json(), after.to_json()
    return ", ".join(f"{key} {old.get(key, 'none')} → {new[key]}" for key in new if old.get(key) != new[key])


def single_nodes(names: Sequence[str]) -> tuple[str, ...]:
    """Nodes that failed, each once. Of a job on several nobody says which of them it was: none is excluded."""
    return tuple(dict.fromkeys(name for name in names if _NODE.match(name)))
