"""The local folders of the outputs of jobs that are submitted together: no two jobs may write the same local files."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from scheduler.engine.collect.local_paths import folds_names
from scheduler.errors import JobError
from scheduler.job import patterns
from scheduler.job.job import Job
from scheduler.job.state import Cause
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow

_OWN = "give each its own (default: ./<job_id>/), or names that differ"


def refuse_shared_folders(jobs: Iterable[Job]) -> None:
    """Refuse jobs that would download outputs to the same local paths. They may have one working_dir.

    Raises:
        JobError: two of them have one folder by two paths, or one folder and one id; or the folder of one, or an output
            that it declares by its name, is an output that another one declares by its name.
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


def set_apart(jobs: Sequence[Job], ledger: Ledger) -> None:
    """Have new jobs run in folders of their own if another job has their working_dir.

    This matters on this machine, where a job that has its working_dir for itself runs in it.

    Raises:
        JobError: an output that a job declares by its name is an output of another job in its working_dir: that one is
            unfinished, or its output is still there. A job with the id of an earlier one replaces that one's outputs.
    """
    by_folder: dict[str, list[Job]] = {}
    for job in jobs:
        by_folder.setdefault(job.working_dir, []).append(job)
    for together in by_folder.values():
        for job in together:
            job.runs_apart = len(together) > 1
    for row in ledger.of_folders(by_folder):
        if row.status.cause is not Cause.REFUSED:
            for job in by_folder[row.working_dir]:
                job.runs_apart |= not row.collected or row.job_id != job.job_id
                if row.job_id != job.job_id:
                    _refuse_outputs_of(row, job)


def _refuse_outputs_of(row: JobRow, job: Job) -> None:
    collected = {file.local_path for file in row.facts.files} if row.facts is not None else set()
    for name in job.output_files:
        path = f"{job.working_dir}/{name}"
        is_there = path in collected and os.path.lexists(path)
        if not patterns.has_wildcard(name) and (is_there or (not row.collected and name in row.patterns)):
            raise JobError(
                f"job {job.job_id!r}: its output {name!r} in the working_dir {job.working_dir!r} is also an output of "
                f"{row.job_id!r}, of an earlier submission: {_OWN}"
            )


def _refuse_one_folder(places: Iterable[tuple[Job, str]]) -> None:
    seen: dict[str, Job] = {}
    folded: dict[str, Job] = {}
    ids: dict[tuple[str, str], Job] = {}
    for job, folder in places:
        other = seen.setdefault(folder, job)
        alike = folded.setdefault(unicodedata.normalize("NFC", folder).casefold(), job)
        if other is job and alike is not job and _folds(folder):
            other = alike
        if other.working_dir == job.working_dir:
            other = ids.setdefault((folder, job.job_id.casefold()), job)
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
