"""The id of a job as users type it: for ``scancel``, ``qdel`` and their like, and for the tables of the command."""

from __future__ import annotations

from typing import Protocol


class Submitted(Protocol):
    """A job, as far as its id depends on it: a row of the ledger, for example."""

    @property
    def batch_system(self) -> str:
        """The name of its batch system, or empty if it is not known."""

    @property
    def batch_id(self) -> str | None:
        """The id of its batch, or None if it is not known yet."""

    @property
    def index(self) -> int:
        """Its index in its batch."""

    @property
    def in_array(self) -> bool:
        """Whether its batch is an array."""


def shown_id(job: Submitted) -> str:
    """The id of a job or array task, as the commands of its batch system accept it.

    Returns:
        For example ``4711``, ``4711_3`` or ``231[3].server``. Empty if the id is not known yet.
    """
    if not job.batch_id or not job.batch_system:
        return job.batch_id or ""
    from scheduler.batch.base import find  # not before a job has an id: `scheduler status` must start quickly

    try:
        system = find(job.batch_system)
    except ImportError:  # a batch system of another version, or a damaged record
        return job.batch_id
    return system.task_id(job.batch_id, job.index) if job.in_array else system.job_id(job.batch_id)
