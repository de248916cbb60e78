"""On a site where jobs run in their `working_dir`: an input must not replace a file of the user there.

for each input of a job, with the path in the working_dir to which it will be copied:
    nothing is there:                                        fine
    it is the input itself, which the payload could change:  refused
    an earlier job of the ledger has copied an input to it, and it has not changed since that job ended:  fine
    anything else is the user's:                             refused
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from scheduler.engine.context import SiteContext
from scheduler.errors import JobError
from scheduler.job.job import Job
from scheduler.ledger.rows import JobRow


def refuse_to_replace(jobs: Iterable[Job], context: SiteContext) -> None:
    """Check that the inputs of these jobs replace nothing of the user.

    Raises:
        JobError: one would; the message names it.
    """
    if not context.site.is_local:
        return
    for job in jobs:
        for name, source in job.input_files.items():
            target = Path(job.working_dir, name)
            if os.path.lexists(target) and not job.runs_apart:
                _check(job, name, source, target, context)


def _check(job: Job, name: str, source: Path, target: Path, context: SiteContext) -> None:
    what = f"job {job.job_id!r}: input_files: {name!r}"
    if _is_same(source, target) or _is_same(source, Path(job.working_dir)):
        raise JobError(
            f"{what} is in the working_dir {job.working_dir!r} itself: on site {context.site.name!r} jobs run in their "
            "working_dir, and the job could change it; choose another working_dir, or leave the file out of input_files"
        )
    if not any(_is_copy_of(row, name, target) for row in context.ledger.of_folders([job.working_dir])):
        raise JobError(
            f"{what} would replace {str(target)!r}, which no earlier job has copied there, or which has changed since: "
            f"on site {context.site.name!r} jobs run in their working_dir; rename or delete it, or choose another "
            "working_dir"
        )


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _is_copy_of(row: JobRow, name: str, target: Path) -> bool:
    """Whether this job has copied its input there, and the file or folder has not changed since the job ended."""
    if row.folder is None or not row.status.final:
        return False
    ended = row.status.ended.timestamp() + 1 if row.status.ended is not None else row.updated
    try:
        names = Path(row.folder, str(row.element), "inputs").read_bytes().split(b"\0")
        return os.fsencode(name) in names and all(one.lstat().st_ctime <= ended for one in _inside(target))
    except OSError:
        return False


def _inside(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir() and not path.is_symlink():
        for folder, folders, files in os.walk(path):
            yield from (Path(folder, name) for name in (*folders, *files))
