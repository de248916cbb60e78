"""Job: a piece of work and what is known of it. It asks a runner to act, and never acts itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from scheduler.errors import JobError
from scheduler.job import validation
from scheduler.job.resources import Resources, Retry
from scheduler.job.state import Cause, JobState, NamedEnum, Status


class JobType(NamedEnum):
    """What a job runs."""

    FUNCTION = "function"
    SCRIPT = "script"
    CONTAINER = "container"


_CAUSES_UNTOLD = {JobState.CANCELLED: Cause.CANCELLED, JobState.FAILED: Cause.UNKNOWN}


class JobRunner(Protocol):
    """What a Job asks of a runner; AID2E's `BaseRunner` is one, our `Runner` is another."""

    def run_job(self, job: Any) -> None: ...
    def check_job_status(self, job: Any) -> None: ...
    def cancel_job(self, job: Any) -> None: ...


class Job:
    """A function, a script or a container to run somewhere else, and what is known of it.

    Args:
        job_id: a name, fit to be a folder's (no ``/``, not ``.`` or ``..``, at most 200 bytes).
        job_type: which of the next four arguments is meant.
        function: for FUNCTION: called over there as ``function(**params)``.
        script_path: for SCRIPT: a file here, ``.sh``, ``.py`` or with a ``#!`` line.
        container_image: for CONTAINER (a function may have one too): a ``.sif`` file or folder over there, or an
            address such as ``docker://…``.
        container_command: shell text to run in the image; ``{{ name }}`` stands for a param, quoted. Without one, the
            image's own run script runs.
        params: JSON values; the job finds them in the file that ``JOB_PARAMS_FILE`` names.
        env_vars: environment variables of the payload, inside a container too.
        working_dir: the folder here that outputs come home to; default ``<job_id>/`` under the current directory. On
            a site with local transport the job runs in it.
        output_files: patterns relative to the job's folder (``*.root``, ``hists/**/*.json``; a folder means all that is
            in it); one that matches nothing fails the job.
        resources: what it asks for; what is None there comes from the site's defaults.
        input_files: paths here, or a mapping from the name over there to the path here; folders go whole.
        arguments: of a script, or of a container's run script; ``{{ name }}`` as in `container_command`.
        retry: when it is tried again by itself; by default as the site says, and most say never.
        template: a Jinja template to use instead of the batch system's own.

    Raises:
        JobError: (a ValueError too) something of this is impossible; the message names the job and the field.
    """

    runner: JobRunner | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    _status = Status()

    def __init__(
        self,
        job_id: str,
        job_type: JobType = JobType.FUNCTION,
        function: Callable[..., Any] | None = None,
        script_path: str | os.PathLike[str] | None = None,
        container_image: str | None = None,
        container_command: str | None = None,
        params: Mapping[str, Any] | None = None,
        env_vars: Mapping[str, str] | None = None,
        working_dir: str | os.PathLike[str] | None = None,
        output_files: Iterable[str] | None = None,
        *,
        resources: Resources | None = None,
        input_files: Iterable[str | os.PathLike[str]] | Mapping[str, str | os.PathLike[str]] | None = None,
        arguments: Iterable[object] | None = None,
        retry: Retry | None = None,
        template: str | os.PathLike[str] | None = None,
    ) -> None:
        self.job_id = validation.checked_job_id(job_id)
        self.job_type = _checked_type(job_type, job_id)
        self.function = function
        self.script_path = None if script_path is None else str(Path(script_path).absolute())
        self.container_image = container_image
        self.container_command = container_command
        self.params: dict[str, Any] = dict(params or {})
        self.env_vars = validation.checked_environment(env_vars or {}, job_id)
        self.working_dir = str(
            Path(working_dir if working_dir is not None else validation.folder_for(job_id)).absolute()
        )
        self.output_files = validation.checked_patterns(output_files or (), job_id)
        self.resources = resources if resources is not None else Resources()
        self.input_files = validation.checked_inputs(input_files or (), job_id)
        self.arguments = [str(a) for a in arguments or ()]
        self.retry = retry
        self.template = None if template is None else str(Path(template).absolute())
        self.results: dict[str, Any] = {}
        self.creation_time = datetime.now(timezone.utc)
        validation.check(self)

    def __repr__(self) -> str:
        return f"<Job {self.job_id!r} {self.job_type.value}: {self._status}>"

    def complete(self, results: Mapping[str, Any]) -> None:
        """Mark it completed, with its results."""
        self.results = dict(results)
        self._end(JobState.COMPLETED, Cause.NONE)

    def fail(self, error: str | None = None) -> None:
        """Mark it failed; the error is kept under ``"error"`` in its results."""
        if error:
            self.results["error"] = error
        if not (self._status.final and self._status.state is not JobState.COMPLETED):
            self._end(JobState.FAILED, Cause.UNKNOWN)

    def get_results(self) -> dict[str, Any]:
        """What came of it: its own results, then ``exit_code``, ``output_files``, ``stdout``, ``stderr``, ``error``."""
        return self.results

    def has_failed(self) -> bool:
        """It ended, and not well: failed or cancelled (`status.cause` tells which and why)."""
        return self._status.final and self._status.state is not JobState.COMPLETED

    def is_completed(self) -> bool:
        """It ended well, and its declared outputs were there."""
        return self._status.state is JobState.COMPLETED

    def is_running(self) -> bool:
        """Its payload runs now (a job that waits in a queue does not)."""
        return self._status.state is JobState.RUNNING

    def run(self) -> None:
        """Hand it to its runner, and return at once.

        Raises:
            ValueError: no runner was assigned.
            SchedulerError: the runner could not submit it.
        """
        if self.runner is None:
            raise ValueError("No runner assigned to this job")
        if not getattr(self.runner, "reports_states", False):  # AID2E's runners leave this to the job
            self.start_time = datetime.now(timezone.utc)
            self._status = Status(JobState.RUNNING, started=self.start_time)
            Path(self.working_dir).mkdir(parents=True, exist_ok=True)  # their scripts start in it
        self.runner.run_job(self)

    def set_runner(self, runner: JobRunner) -> None:
        """Say which runner it belongs to."""
        self.runner = runner

    def check_status(self) -> None:
        """Have the runner look at it, if it is on its way, or if its outputs are; afterwards `status` is fresh."""
        home = self.final and (bool(self.results) or not getattr(self.runner, "reports_states", False))
        if self.runner is not None and self._status.state is not JobState.CREATED and not home:
            self.runner.check_job_status(self)

    @property
    def status(self) -> Status:
        """The last observation: state, cause, exit code, the batch system's own word."""
        return self._status

    @property
    def state(self) -> JobState:
        """Where it stands. Runners other than ours may set it; any enum with our members' names will do."""
        return self._status.state

    @state.setter
    def state(self, value: Enum) -> None:
        known = JobState.__members__.get(value.name)
        if known is None:
            raise JobError(f"job {self.job_id!r}: no such state: {value!r}")
        if known.final:
            self._end(known, _CAUSES_UNTOLD.get(known, Cause.NONE))
        else:
            self._status = replace(self._status, state=known, cause=Cause.NONE)

    @property
    def queued(self) -> bool:
        """The batch system has it, or is being given it, and it has not begun."""
        return self._status.state in (JobState.SUBMITTING, JobState.QUEUED, JobState.HELD)

    @property
    def final(self) -> bool:
        """Nothing more is expected of it."""
        return self._status.final

    def observe(self, status: Status, results: Mapping[str, Any] | None = None) -> None:
        """Take in an observation, and what came home of it if it has ended (a runner's work, not a user's)."""
        changed = self._status != status
        if status.retries > self._status.retries:  # what came of the attempt before is no news of this one
            self.start_time, self.end_time, self.results = None, None, {}
        self._status = status
        self.start_time = status.started or self.start_time
        self.end_time = status.ended or self.end_time
        if results is None or not status.final or not (changed or not self.results):
            return
        self.results = dict(results)
        self._end(status.state, status.cause)

    def _end(self, state: JobState, cause: Cause) -> None:
        if not self._status.final or self._status.state is not state:
            self._status = replace(self._status, state=state, cause=cause)
        self.end_time = self.end_time or datetime.now(timezone.utc)


def _checked_type(job_type: JobType, job_id: str) -> JobType:
    if isinstance(job_type, JobType):
        return job_type
    try:
        return JobType(str(getattr(job_type, "value", job_type)).lower())
    except ValueError:
        known = ", ".join(t.value for t in JobType)
        raise JobError(f"job {job_id!r}: job_type {job_type!r} is none of {known}") from None
