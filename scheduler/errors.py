"""Every error that this package raises on purpose, sorted by who can fix it.

SchedulerError
├── ConfigError          edit the site file, job file or template that the message names
├── JobError             the job is impossible: edit the job (also a ValueError)
├── JobFailed            `Job.result()`: the job failed or was cancelled
├── TransportError       the host could not be reached, or the connection was lost: try later
│   ├── HostKeyError     the host key is unknown, has changed or is revoked
│   ├── LoginError       the host answered, and rejected the login
│   ├── TimedOut         no reply within the time limit
│   └── ReplyTooLong     a reply larger than what is kept in memory
├── BatchError           the batch system refused: its own message, unedited, with the command and exit code
├── OutputError          a downloaded file differs from what was listed; the remote file is unchanged
├── LedgerError          the record of jobs on this machine cannot be read or written
└── WaitTimeout          `wait` has reached its timeout; the jobs continue (also a TimeoutError)

A message is what · where · what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from enum import Enum


class SchedulerError(Exception):
    """The base of all errors that this package raises on purpose."""


class ConfigError(SchedulerError):
    """A site file, job file or template is wrong; the message names the file and the key."""


class JobError(SchedulerError, ValueError):
    """A job is impossible; the message names the job and the field."""


class JobFailed(SchedulerError):
    """A job whose result was requested failed or was cancelled. Only `Job.result` raises it.

    Attributes:
        job_id: the job.
        cause: why it failed, a `Cause`.
        exit_code: of its payload; None if it is not known.
        traceback: what its function raised on the node; empty if nothing is known of that.
        last_lines: the last lines that it printed to stderr, or else to stdout; empty if there is a traceback.
        stdout, stderr: the local paths of its logs; None if they were not collected.
        remote_dir: its remote folder, which has its logs too; None if it is not known.
    """

    def __init__(
        self, message: str, *, job_id: str = "", cause: Enum | None = None, exit_code: int | None = None,
        traceback: str = "", last_lines: str = "", stdout: str | None = None, stderr: str | None = None,
        remote_dir: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.job_id, self.cause, self.exit_code = job_id, cause, exit_code
        self.traceback, self.last_lines = traceback, last_lines
        self.stdout, self.stderr, self.remote_dir = stdout, stderr, remote_dir


class TransportError(SchedulerError):
    """A host could not be reached, or the connection was lost. The remote command may or may not have run."""


class HostKeyError(TransportError):
    """The host key is unknown, has changed or is revoked; the message has its fingerprint and what to do.

    Attributes:
        advice: what to do before anything else, as a clause.
    """

    def __init__(
        self, message: str, *, advice: str = "compare the fingerprint with the one that the site publishes"
    ) -> None:
        super().__init__(message)
        self.advice = advice


class LoginError(TransportError):
    """The host rejected every login method that was tried."""


class TimedOut(TransportError):
    """There was no reply within the time limit. The remote command may or may not have run."""


class ReplyTooLong(TransportError):
    """A reply exceeded the limit for what is kept in memory, and was not read to its end."""


class BatchError(SchedulerError):
    """The batch system refused a command.

    Attributes:
        command: the command, as it was run on the cluster.
        exit_code: its exit code; None if not known.
        words: what it printed, unedited.
    """

    def __init__(self, message: str, *, command: str = "", exit_code: int | None = None, words: str = "") -> None:
        super().__init__(message)
        self.command = command
        self.exit_code = exit_code
        self.words = words


class OutputError(SchedulerError):
    """A downloaded output differs from what was listed, or would be written outside its job's local folder.

    The file was not renamed to its final name, and nothing was deleted remotely.

    Attributes:
        jobs: the ledger's keys of the jobs that are not collected; all others are. Empty: no job is collected.
        reasons: the key of such a job → why it is not collected.
        changing: all of these jobs have an output that changes while it is downloaded.
    """

    def __init__(self, message: str, *, reasons: Mapping[int, str] | None = None, changing: bool = False) -> None:
        super().__init__(message)
        self.reasons = dict(reasons or {})
        self.jobs = frozenset(self.reasons)
        self.changing = changing


class LedgerError(SchedulerError):
    """The ledger cannot be opened, read or written; the message names its file."""


class WaitTimeout(SchedulerError, TimeoutError):
    """`wait` has reached its timeout before all jobs were final. They continue; wait for them once more."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A clause for a message: the known word nearest to `word`, or all of them if none is near."""
    choices = sorted(known)
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(choices)}"
