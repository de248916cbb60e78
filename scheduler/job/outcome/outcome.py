"""What became of a job: its facts, and its result as in Python's futures. Nothing here acts: a job asks its runner."""

from __future__ import annotations

from typing import Any

from scheduler.errors import JobError, JobFailed, OutputError
from scheduler.job.interface import JobRunner
from scheduler.job.outcome import local_copies
from scheduler.job.outcome.facts import Facts, RemoteOutput
from scheduler.job.state import Cause, JobState, Status


class Outcome:
    """The base of Job: what a runner has found out about it.

    Attributes:
        batch_id: the id that the batch system gave it, as its commands accept it; None until it is known.
        remote_dir: its remote folder, which holds its logs, its scripts and the folder in which it ran; None until it
            is known.
    """

    job_id: str
    results: dict[str, Any]
    runner: JobRunner | None = None
    batch_id: str | None = None
    remote_dir: str | None = None
    _status = Status()
    _facts: Facts | None = None

    @property
    def outputs(self) -> dict[str, list[str]]:
        """Pattern of `output_files` → the local paths of the files that match it. Empty until they are collected.

        Raises:
            OutputError: the job completed, and one of these files was removed or changed since it was collected.
        """
        if self._facts is None:
            return {}
        changed = "" if self._has_failed else local_copies.changes(self._facts.files)
        if changed:
            raise OutputError(f"job {self.job_id!r}: {changed}")
        return self._facts.outputs

    @property
    def remote_outputs(self) -> list[RemoteOutput]:
        """Its declared outputs on the site: path, size, SHA-256. Empty until they are collected."""
        return [] if self._facts is None else self._facts.remote_outputs

    @property
    def exit_code(self) -> int | None:
        """The exit code of its payload, 128 + n for signal n; None if it is not known."""
        return self._status.exit_code

    @property
    def stdout(self) -> str | None:
        """The local path of its standard output; None until it is collected."""
        return None if self._facts is None else self._facts.log("stdout")

    @property
    def stderr(self) -> str | None:
        """The local path of its standard error; None until it is collected."""
        return None if self._facts is None else self._facts.log("stderr")

    @property
    def error(self) -> str | None:
        """What happened, with a traceback or the last lines that it printed; None if it did not fail."""
        if not self._has_failed:
            return None
        known = self._facts.error if self._facts is not None else None
        return str(self.results.get("error") or known or self._status.reason or self._status)

    @property
    def attempts(self) -> int:
        """How many attempts it has had: 1 and the number of retries; 0 before it was submitted."""
        return 0 if self._status.state is JobState.CREATED else self._status.retries + 1

    def result(self, timeout: float | None = None) -> Any:
        """Wait for its end, and give what the payload returned or wrote to ``result.json``; None if that is nothing.

        Args:
            timeout: the most seconds to wait; None: no limit.

        Raises:
            JobFailed: it failed or was cancelled.
            WaitTimeout: `timeout` has passed; the job continues.
            ValueError: no runner is assigned, or it is not submitted yet.
        """
        self.wait(timeout)
        if self._has_failed:
            raise self._failure()
        return dict(self.results) if self._facts is None else self._facts.value(self.results)

    def exception(self, timeout: float | None = None) -> JobFailed | None:
        """Wait for its end, and give the error that `result` would raise; None if it completed.

        Raises:
            WaitTimeout, ValueError: as `result`.
        """
        self.wait(timeout)
        return self._failure() if self._has_failed else None

    def done(self) -> bool:
        """Ask the runner, and give whether it has ended and its results are local."""
        self.check_status()
        return self._is_done

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it has ended and its results are local.

        Args:
            timeout: the most seconds to wait; None: no limit.

        Raises:
            WaitTimeout: `timeout` has passed; the job continues.
            ValueError: no runner is assigned, or it is not submitted yet.
        """
        if self._is_done:
            return
        if self.runner is None:
            raise ValueError(f"job {self.job_id!r}: no runner is assigned; submit it with a Runner first")
        if self._status.state is JobState.CREATED:
            raise JobError(f"job {self.job_id!r} is not submitted: call run() first")
        wait = getattr(self.runner, "wait", None)
        if wait is None:
            raise JobError(
                f"job {self.job_id!r}: its runner, a {type(self.runner).__name__}, cannot wait: call check_status() "
                "until it is final"
            )
        wait([self], timeout=timeout)

    def cancel(self) -> None:
        """Have the runner cancel it. `check_status` shows when it is cancelled.

        Raises:
            ValueError: no runner is assigned.
            SchedulerError: the runner could not cancel it.
        """
        if self.runner is None:
            raise ValueError(f"job {self.job_id!r}: no runner is assigned")
        self.runner.cancel_job(self)

    def check_status(self) -> None:
        """Have the runner update what is known of it, unless it is not submitted yet or already collected.

        A job that is `lost` is looked at again.
        """
        done = self._is_done and self._status.cause is not Cause.LOST
        if self.runner is not None and self._status.state is not JobState.CREATED and not done:
            self.runner.check_job_status(self)

    @property
    def _has_failed(self) -> bool:
        return self._status.final and self._status.state is not JobState.COMPLETED

    @property
    def _is_done(self) -> bool:
        """It has ended, and a runner that collects results has collected them."""
        is_collected = self._facts is not None or bool(self.results)
        return self._status.final and (is_collected or not getattr(self.runner, "reports_states", False))

    def _failure(self) -> JobFailed:
        facts = self._facts if self._facts is not None else Facts()
        logs = [path for path in (self.stdout, self.stderr) if path is not None]
        where = f"\nits output: {', '.join(logs)}" if logs else f"\nits remote folder: {self.remote_dir}"
        return JobFailed(
            f"job {self.job_id!r}: {self.error}{where if logs or self.remote_dir else ''}",
            job_id=self.job_id,
            cause=self._status.cause,
            exit_code=self._status.exit_code,
            traceback=facts.traceback,
            last_lines=facts.last_lines,
            stdout=self.stdout,
            stderr=self.stderr,
            remote_dir=self.remote_dir,
        )
