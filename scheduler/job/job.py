"""Job: what a user wants to run, and what is known of it. It never acts itself: it asks its runner.

Job(…)              checks its fields: an impossible one raises JobError
job.run()           → runner.run_job(job)             the runner submits it
job.check_status()  → runner.check_job_status(job)    the runner polls, and downloads the outputs of a finished job
job.result()        → runner.wait([job])              the runner polls and downloads until the job has ended
runner              → job.observe(status, results)    the runner stores what it has found
job.state, job.status, job.get_results(), job.outputs what is known now; no I/O
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Any

from scheduler.job import validation
from scheduler.job.interface import JobRunner, JobType, checked_arguments, checked_folder, checked_state, checked_type
from scheduler.job.outcome.facts import Facts
from scheduler.job.outcome.outcome import Outcome
from scheduler.job.resources import Resources, Retry
from scheduler.job.state import Cause, JobState, Status

__all__ = ["Job", "JobRunner", "JobType"]
_CAUSES = {JobState.COMPLETED: Cause.NONE, JobState.CANCELLED: Cause.CANCELLED, JobState.FAILED: Cause.UNKNOWN}


class Job(Outcome):
    """A function, a script or a container command to run on a site, and what is known of it.

    Args:
        job_id: its name, also of its folders: no ``/``, not ``.`` or ``..``, at most 200 bytes.
        job_type: which of the next four arguments is used.
        function: for FUNCTION: called on the node as ``function(**params)``.
        script_path: for SCRIPT: a local file, ``.sh``, ``.py`` or with a ``#!`` line.
        container_image: for CONTAINER, and optional for FUNCTION: a remote ``.sif`` file or folder, or ``docker://…``;
            ``$NAME`` and a leading ``~/`` are expanded on the node.
        container_command: for CONTAINER: text for bash with pipefail, or sh if the image has no bash (``{{ name }}``: a
            quoted param); default: the image's run script.
        params: JSON values. The job finds them in the file that the environment variable ``JOB_PARAMS_FILE`` names.
        env_vars: environment variables of the payload, also inside a container.
        working_dir: the local folder of its outputs, default ``./<job_id>/``; with local transport the job runs in it.
        output_files: the outputs to download: patterns relative to the job's remote folder (``*.root``,
            ``hists/**/*.json``, ``{a,b}.root``); a folder means all files in it. A job without a match for each of them
            has failed.
        resources: the requested resources; a field that is None is filled in from the site's defaults.
        input_files: local files and folders to upload, or a mapping from names in the job's folder to local paths.
        arguments: of the script, or of the image's run script; ``{{ name }}`` as in `container_command`.
        retry: when it is retried automatically; default: the `retry` of the site, which usually is never.
        template: a local Jinja template for the batch script, instead of the batch system's own.

    Attributes:
        runner: the runner it belongs to, or None.
        results: what the payload returned or wrote to ``result.json``; see `get_results`.
        batch_id, remote_dir: its id in the batch system, and its remote folder; None until they are known.
        runs_apart: its runner has it run in a folder of its own, also on this machine: other jobs have its working_dir.
        creation_time, start_time, end_time: when this object was made, and when the payload started and ended (UTC).

    Raises:
        JobError: (also a ValueError) a field is impossible; the message names the job and the field.
    """

    start_time: datetime | None = None
    end_time: datetime | None = None
    runs_apart = False

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
        self.job_type = checked_type(job_type, job_id)
        self.function = function
        self.script_path = None if script_path is None else str(Path(script_path).absolute())
        self.container_image = container_image
        self.container_command = container_command
        self.params: dict[str, Any] = validation.checked_params(params or {}, job_id)
        self.env_vars = validation.checked_environment(env_vars or {}, job_id)
        self.working_dir = checked_folder(working_dir, job_id)
        self.output_files = validation.checked_patterns(output_files or (), job_id)
        self.resources = resources if resources is not None else Resources()
        self.input_files = validation.checked_inputs(input_files or (), job_id)
        self.arguments = checked_arguments(() if arguments is None else arguments, job_id)
        self.retry = retry
        self.template = None if template is None else str(Path(template).absolute())
        self.results: dict[str, Any] = {}
        self.creation_time = datetime.now(timezone.utc)
        self._check()

    def _check(self) -> None:
        validation.check(self)

    def __repr__(self) -> str:
        return f"<Job {self.job_id!r} {self.job_type.value}: {self._status}>"

    def complete(self, results: Mapping[str, Any]) -> None:
        """Mark it completed, with these results (for runners)."""
        self.results = dict(results)
        self._end(JobState.COMPLETED, Cause.NONE)

    def fail(self, error: str | None = None) -> None:
        """Mark it failed (for runners). A known cause is kept; `error` becomes the result ``"error"``."""
        if error:
            self.results["error"] = error
        if not self.has_failed():
            self._end(JobState.FAILED, Cause.UNKNOWN)

    def get_results(self) -> dict[str, Any]:
        """What the payload returned or wrote to ``result.json``, and ``error`` if it failed; nothing else.

        A value that is no JSON object is under ``result``. `result` gives it as it was returned.
        """
        return self.results

    def has_failed(self) -> bool:
        """Whether it failed or was cancelled; `status.cause` is the cause."""
        return self.final and not self.is_completed()

    def is_completed(self) -> bool:
        """Whether its exit code was 0 and every declared output exists."""
        return self.state is JobState.COMPLETED

    def is_running(self) -> bool:
        """Whether its payload is running now; not so while it waits in a queue."""
        return self.state is JobState.RUNNING

    def run(self) -> None:
        """Have the runner submit it. Returns as soon as it is submitted.

        Raises:
            ValueError: no runner is assigned.
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
        """Assign the runner that `run` and `check_status` use."""
        self.runner = runner

    @property
    def status(self) -> Status:
        """The last observation: state, cause, exit code, the batch system's own word."""
        return self._status

    @property
    def state(self) -> JobState:
        """The state in `status`. Runners other than ours may set it, to a member of their own enum."""
        return self._status.state

    @state.setter
    def state(self, value: Enum) -> None:
        known = checked_state(value, self.job_id)
        if known.final:
            self._end(known, _CAUSES[known])
        else:
            self._status = replace(self._status, state=known, cause=Cause.NONE)

    @property
    def queued(self) -> bool:
        """Whether it is submitted, or being submitted, and has not started."""
        return self.state in (JobState.SUBMITTING, JobState.QUEUED, JobState.HELD)

    @property
    def final(self) -> bool:
        """Whether it is completed, failed or cancelled."""
        return self._status.final

    def observe(self, status: Status, results: Mapping[str, Any] | None = None, *, facts: Facts | None = None) -> None:
        """Store an observation, and the results and facts of a collected job (for runners)."""
        changed = self._status != status
        not_lost = changed and self._status.cause is Cause.LOST
        if not_lost or status.retries > self._status.retries:  # earlier results and times are not this attempt's
            self.start_time, self.end_time, self.results, self._facts = None, None, {}, None
        self._status = status
        self.start_time = status.started or self.start_time
        self.end_time = status.ended or self.end_time
        is_new = changed or (self._facts is None and not self.results)
        if results is not None and status.final and is_new:
            self.results, self._facts = dict(results), facts
            self._end(status.state, status.cause)

    def _end(self, state: JobState, cause: Cause) -> None:
        if not self.final or self.state is not state:
            self._status = replace(self._status, state=state, cause=cause)
        self.end_time = self.end_time or datetime.now(timezone.utc)
