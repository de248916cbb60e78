"""The local folders of the outputs of jobs that are submitted together: no two jobs may write the same local files."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from scheduler.engine.collect.local_paths import folds_names
from scheduler.errors import JobError
from scheduler.job import patterns
from scheduler.job.job import Job

_OWN = "give each its own (default: ./<job_id>/)"


def refuse_shared_folders(jobs: Iterable[Job]) -> None:
    """Refuse jobs that would download outputs to the same local paths.

    Raises:
        JobError: two of them have one folder, by whatever path; or the folder of one, or an output that it declares by
            its name, is an output that another one declares by its name.
    """
    parents: dict[str, str] = {}
    places = [(job, _real(job.working_dir, parents)) for job in jobs]
    _refuse_one_folder(places)
    claimed: dict[str, Job] = {}
    for job, folder in places:
        for path in _named(job, folder):
            other = claimed.setdefault(path, job)
            if other is not job:
                raise _both(other, job, f"would both download an output to {path!r}")
    free: set[str] = set()
    for job, folder in places:
        above = folder
        while above and above not in free:
            if (other := claimed.get(above, job)) is not job:
                raise _both(other, job, f"have outputs in one folder: {above!r} is an output of {other.job_id!r}")
            if above not in claimed:
                free.add(above)
            above = above.rpartition("/")[0]


def _refuse_one_folder(places: Iterable[tuple[Job, str]]) -> None:
    seen: dict[str, Job] = {}
    folded: dict[str, Job] = {}
    for job, folder in places:
        other = seen.setdefault(folder, job)
        alike = folded.setdefault(unicodedata.normalize("NFC", folder).casefold(), job)
        if other is job and alike is not job and _folds(folder):
            other = alike
        if other is not job:
            raise _both(other, job, f"have the same working_dir, {job.working_dir!r}")


def _both(one: Job, other: Job, what: str) -> JobError:
    return JobError(
        f"jobs {one.job_id!r} and {other.job_id!r} {what}: their outputs would overwrite each other; {_OWN}"
    )


def _named(job: Job, folder: str) -> Iterator[str]:
    """The local paths of the outputs that a job declares without wildcards."""
    return (f"{folder}/{name}" for name in job.output_files if not patterns.has_wildcard(name))


def _real(folder: str, parents: dict[str, str]) -> str:
    """The folder without links. `parents` keeps what was found: many jobs have folders in one folder."""
    if Path(folder).is_symlink():
        return os.path.realpath(folder)
    above, _, name = folder.rpartition("/")
    if above not in parents:
        parents[above] = os.path.realpath(above or "/")
    return f"{parents[above].rstrip('/')}/{name}"


def _folds(folder: str) -> bool:
    """Whether names that differ only in case or composition are one name where the folder is, or will be."""
    return folds_names(str(next(path for path in (Path(folder), *Path(folder).parents) if path.is_dir())))
