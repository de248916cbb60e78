"""A job that was found in the ledger: it has what is recorded of it, and cannot be submitted."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.errors import JobError
from scheduler.job.job import Job, JobType


class RecordedJob(Job):
    """A Job that another process has submitted. Its function, script, params and inputs are not known any more."""

    def __init__(self, job_id: str, job_type: JobType, *, working_dir: str, output_files: Sequence[str]) -> None:
        self._output_files = output_files
        super().__init__(job_id, job_type, working_dir=working_dir)

    def _check(self) -> None:
        """What it ran was checked when it was submitted."""
        self.output_files = list(self._output_files)

    def run(self) -> None:
        """Not possible.

        Raises:
            JobError: always.
        """
        raise cannot_be_submitted(self)


def cannot_be_submitted(job: Job) -> JobError:
    """The error for a recorded job that is to be submitted."""
    return JobError(
        f"job {job.job_id!r} was read from the ledger, which does not hold what it runs: to submit it, make the Job; "
        "to run it once more, use Runner.retry"
    )
