"""What a Job shares with runners, also with AID2E's own: the types of jobs, and what a Job needs of a runner."""

from __future__ import annotations

from enum import Enum
from typing import Any, Protocol

from scheduler.errors import JobError
from scheduler.job.state import JobState, NamedEnum


class JobType(NamedEnum):
    """What a job runs."""

    FUNCTION = "function"
    """A Python function."""
    SCRIPT = "script"
    """A shell or Python script, or any file with a ``#!`` line."""
    CONTAINER = "container"
    """A command in a container image."""


class JobRunner(Protocol):
    """What a Job needs of a runner. AID2E's `BaseRunner` has these methods, and so has our `Runner`."""

    def run_job(self, job: Any) -> None: ...
    def check_job_status(self, job: Any) -> None: ...
    def cancel_job(self, job: Any) -> None: ...


def checked_type(job_type: object, job_id: str) -> JobType:
    """`job_type` as a JobType: it may also be the value of one, or a member of another enum with the same value.

    Raises:
        JobError: there is no such type.
    """
    if isinstance(job_type, JobType):
        return job_type
    try:
        return JobType(str(getattr(job_type, "value", job_type)).lower())
    except ValueError:
        known = ", ".join(one.value for one in JobType)
        raise JobError(f"job {job_id!r}: unknown job_type {job_type!r}; use one of {known}") from None


def checked_state(state: Enum, job_id: str) -> JobState:
    """The JobState with the same name as `state`, which may be a member of another enum.

    Raises:
        JobError: no JobState has that name.
    """
    known = JobState.__members__.get(state.name)
    if known is None:
        raise JobError(f"job {job_id!r}: unknown state {state!r}; use one of {', '.join(JobState.__members__)}")
    return known
