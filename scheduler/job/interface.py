"""What a Job takes from others: types and states, also those of AID2E's own runners; arguments and paths of users."""

from __future__ import annotations

import numbers
import os
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
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


def checked_arguments(arguments: Iterable[object], job_id: str) -> list[str]:
    """The arguments as text.

    Raises:
        JobError: one is no text, number or path: nothing says how a program expects True, None or a list.
    """
    if isinstance(arguments, (str, bytes, Mapping)) or not isinstance(arguments, Iterable):
        raise JobError(f"job {job_id!r}: arguments must be a list of words, not a {type(arguments).__name__}")
    return [_checked_argument(value, f"job {job_id!r}: arguments[{n}]") for n, value in enumerate(arguments)]


def _checked_argument(value: object, where: str) -> str:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str):
        return str.__str__(value)  # of an enum of text: the text
    if isinstance(value, bool) or not isinstance(value, numbers.Number):
        raise JobError(
            f"{where} is {'None' if value is None else 'a ' + type(value).__name__}: it must be text, a number or a "
            "path; write it as the text that the program expects"
        )
    return str(int(value)) if isinstance(value, int) else str(value)


_VARIABLE = re.compile(r"\$(?:[A-Za-z_]|\{)")


def checked_folder(working_dir: str | os.PathLike[str] | None, job_id: str) -> str:
    """The local folder of a job's outputs, as an absolute path. A leading ``~`` is expanded.

    Raises:
        JobError: it begins with the home of an unknown user, or names a variable and no such folder exists.
    """
    if working_dir is None:
        return str(Path(str(job_id)).absolute())
    given = os.fspath(working_dir)
    folder = Path(os.path.expanduser(given))  # noqa: PTH111 (Path's own raises when there is no such user)
    what = f"job {job_id!r}: working_dir {given!r:.200}"
    if given.startswith("~") and not folder.is_absolute():
        raise JobError(f"{what}: there is no such user; write ./~… for a folder whose name begins with '~'")
    for above in (*reversed(folder.parents), folder):
        if _VARIABLE.search(above.name) and not _exists(above):
            raise JobError(f"{what}: variables are not expanded; write the path itself (a leading '~' is your home)")
    return str(folder.absolute())


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
