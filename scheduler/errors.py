"""Everything that is raised on purpose, sorted by who can mend it.

SchedulerError
├── ConfigError          edit the site file, job file or template that it names
├── JobError             the job asks the impossible: edit the job (is a ValueError too)
├── TransportError       the machine was not reached, or the line was cut: try later
│   ├── HostKeyError     the host is unknown, or is not the one it was
│   ├── LoginError       the host answered, and did not let us in
│   └── TimedOut         no answer within the time allowed
├── BatchError           the batch system said no: its own words, unedited, with the command and exit code
├── OutputError          what came home is not what was announced; what is over there is untouched
├── LedgerError          the record of jobs on this machine cannot be read or written
└── WaitTimeout          jobs are still going on; nothing is wrong with them (is a TimeoutError too)

A message is what · where · what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SchedulerError(Exception):
    """Any error that this package raises on purpose."""


class ConfigError(SchedulerError):
    """A site file, job file or template is wrong; the message names the file and the key."""


class JobError(SchedulerError, ValueError):
    """A job asks for something impossible; the message names the job and the field."""


class TransportError(SchedulerError):
    """A machine was not reached, or the connection was cut. What was asked may or may not have happened."""


class HostKeyError(TransportError):
    """The host key is unknown or has changed; the message has the fingerprint and what to do."""


class LoginError(TransportError):
    """The host refused every way to log in that we had."""


class TimedOut(TransportError):
    """No answer within the time allowed. What was asked may or may not have happened."""


class BatchError(SchedulerError):
    """The batch system refused.

    Attributes:
        command: the command as it was said over there.
        exit_code: its exit code.
        words: what it printed, unedited.
    """

    def __init__(self, message: str, *, command: str = "", exit_code: int | None = None, words: str = "") -> None:
        super().__init__(message)
        self.command = command
        self.exit_code = exit_code
        self.words = words


class OutputError(SchedulerError):
    """An output that came home is not what was announced, or would not lie in its job's folder. Nothing was renamed
    into place, and nothing was deleted over there.

    Attributes:
        jobs: the keys of the jobs whose outputs are not all home; those of all others are. Empty: nobody's are.
    """

    def __init__(self, message: str, *, jobs: Iterable[int] = ()) -> None:
        super().__init__(message)
        self.jobs = frozenset(jobs)


class LedgerError(SchedulerError):
    """The ledger cannot be opened, read or written; the message names its file."""


class WaitTimeout(SchedulerError, TimeoutError):
    """`wait` reached its timeout while jobs were still going on. They go on; wait again."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A clause that names the nearest known word, or all of them if none is near."""
    choices = sorted(known)
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(choices)}"
