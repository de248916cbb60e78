"""Which local paths the outputs of a job take: two different outputs never share one, also not of two jobs."""

from __future__ import annotations

import os
import tempfile
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scheduler.engine.collect import local_files
from scheduler.engine.collect.output import LOGS
from scheduler.job import patterns
from scheduler.job.outcome.facts import CollectedFile
from scheduler.ledger.rows import JobRow


class NotCollectable(ValueError):
    """This file of a job cannot be collected."""


OWN_FOLDER = ".scheduler"
"""In a working_dir that several jobs have, a job has a folder of its own in this one."""
_SLACK_SECONDS = 1
"""Times of files and of jobs are whole seconds."""


@dataclass(frozen=True)
class Found:
    """A file as the site lists it.

    Attributes:
        kind: as in `Output`.
        name: its path in the job's folder.
        remote_path: where it is.
        size: in bytes.
        sha256: in hexadecimal; empty for a large file.
        modified: when it was last modified, in seconds since 1970; None if not known.
    """

    kind: str
    name: str
    remote_path: str
    size: int
    sha256: str
    modified: int | None


class SharedFolders:
    """The working_dirs that several jobs have.

    There a job's logs and results are in ``.scheduler/JOB_ID``, and so is an output whose path another job has.

    Args:
        rows: all jobs of these folders.
    """

    def __init__(self, rows: Iterable[JobRow] = ()) -> None:
        self._folders: dict[str, _Folder] = {}
        for row in rows:
            self._folders.setdefault(row.working_dir, _Folder()).add(row)

    def path(self, row: JobRow, found: Found) -> str | None:
        """The local path of a log or output; None if this file is not of this job.

        Raises:
            NotCollectable: it was of this job, and another one has written over it.
        """
        folder = row.working_dir
        name, shared = LOGS.get(found.kind) or os.path.normpath(found.name), self._folders.get(folder)
        own = shared.own_folder(row) if shared is not None else ""
        if shared is None or not own:
            return f"{folder}/{name}"
        is_itself = _is(f"{folder}/{os.path.normpath(found.name)}", found.remote_path)
        if is_itself and shared.is_of_another(row, found):
            return None
        if found.kind in LOGS:
            return f"{folder}/{own}/{name}" if not is_itself or _is_written_by(row, found) else None
        if name == LOGS["result"] and not is_itself:  # a pattern matches its result.json: that is one file
            return f"{folder}/{own}/{name}"
        path = f"{folder}/{name}"
        is_free = shared.ran_here(row, path) if is_itself else shared.take(row, name, path, found)
        return path if is_free else f"{folder}/{own}/{name}"


class _Folder:
    """A working_dir that several jobs have."""

    def __init__(self) -> None:
        self._rows: dict[int, JobRow] = {}
        self._of_id: dict[str, list[JobRow]] = {}
        self._declared: dict[str, list[JobRow]] = {}  # by the name of an output of a job that is not collected
        self._files: dict[str, list[tuple[JobRow, CollectedFile]]] = {}  # by local and remote path
        self._taken: dict[str, int] = {}  # local path → the key of the job that gets it now
        self._is_run_in: dict[str, bool] = {}  # bundle → whether an unfinished job of another one may run here

    def add(self, row: JobRow) -> None:
        self._rows[row.key] = row
        self._of_id.setdefault(row.job_id, []).append(row)
        for pattern in () if row.collected else row.patterns:
            self._declared.setdefault(_folded(pattern), []).append(row)
        for file in (*row.facts.logs, *row.facts.files) if row.facts is not None else ():
            for path in {file.local_path, file.remote_path}:
                self._files.setdefault(_folded(path), []).append((row, file))

    def own_folder(self, row: JobRow) -> str:
        """The folder in the working_dir that a job has for itself; empty if it has the whole working_dir."""
        same_id = self._of_id[row.job_id]
        is_same = any(_is_other(other, row) for other in same_id)
        if not is_same and len(self._rows) == len(same_id):
            return ""
        return f"{OWN_FOLDER}/{row.job_id}{f'.{row.bundle}' if is_same else ''}"

    def ran_here(self, row: JobRow, path: str) -> bool:
        """A job that ran in the folder has its files there: no other job gets this path."""
        self._taken[_folded(path)] = row.key
        return True

    def take(self, row: JobRow, name: str, path: str, found: Found) -> bool:
        """Whether a job gets this local path: it is of no other job, and no other file is there."""
        known = [other for other, _ in self._files.get(_folded(path), ())]
        others = [*self._declared.get(_folded(name), ()), *known]
        if any(_is_other(other, row) for other in others) or self._taken.setdefault(_folded(path), row.key) != row.key:
            return False
        if not os.path.lexists(path):
            return not self._may_be_written(row, found)
        return any(other.job_id == row.job_id for other in known) or _is_equal(path, found)

    def _may_be_written(self, row: JobRow, found: Found) -> bool:
        """Whether a file of a pattern could be written over by an unfinished job that runs in the folder itself."""
        if not patterns.has_wildcard(row.patterns[int(found.kind)]):
            return False
        if row.bundle not in self._is_run_in:
            others = (one for one in self._rows.values() if not one.collected and one.bundle != row.bundle)
            self._is_run_in[row.bundle] = any(map(_runs_here, others))
        return self._is_run_in[row.bundle]

    def is_of_another(self, row: JobRow, found: Found) -> bool:
        """Whether another job has collected this very file of the folder, in which jobs ran on this machine."""
        for other, file in self._files.get(_folded(found.remote_path), ()):
            is_equal = file.size == found.size and file.modified_ns // 1_000_000_000 == found.modified
            if other.key == row.key or not is_equal or (found.sha256 and file.sha256 not in ("", found.sha256)):
                continue
            started = row.status.started
            is_older = found.modified is None or started is None or found.modified <= started.timestamp()
            if is_older or file.remote_path != found.remote_path:  # the other one did not run in this folder
                return True
        return False


def _runs_here(row: JobRow) -> bool:
    """Whether a job may run in its working_dir: it is a job of this machine, without a folder of its own."""
    folder = Path(row.remote_dir or "/nowhere")
    return folder.is_dir() and not (folder / "dir").is_dir()


def _is_equal(path: str, found: Found) -> bool:
    """Whether a local file is what an interrupted collection has left of this output."""
    try:
        file = local_files.open_file(local_files.Where("", path))
    except OSError:
        return False
    try:
        return os.fstat(file).st_size == found.size and local_files.sha256_of(file) == found.sha256
    except OSError:
        return False
    finally:
        os.close(file)


def _is_other(other: JobRow, row: JobRow) -> bool:
    """Whether their files must not be mixed. A job that was submitted once more replaces what it collected before."""
    return other.key != row.key and not (other.job_id == row.job_id and other.collected)


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def _is_written_by(row: JobRow, found: Found) -> bool:
    """Whether a result.json in the folder in which several jobs ran was there before this one began.

    Raises:
        NotCollectable: it was written after this one had ended.
    """
    started, ended = row.status.started, row.status.ended
    if found.modified is None or started is None or ended is None:
        return True
    if found.modified > ended.timestamp() + _SLACK_SECONDS:
        raise NotCollectable(
            f"{found.name!r} was written after the job had ended, by another job that ran in the same folder: give "
            "each its own working_dir"
        )
    return found.modified >= started.timestamp() - _SLACK_SECONDS


class LocalPaths:
    """The local paths of the outputs of one job after the other."""

    def __init__(self) -> None:
        self._row: JobRow | None = None
        self._before: set[int] = set()
        self._taken: dict[int, int] = {}  # hash of a path or of its folded form → hash of the remote path

    def begin(self, row: JobRow) -> None:
        """The next output is of this job.

        Raises:
            ValueError: another job's outputs came between.
        """
        if self._row is row:
            return
        if row.key in self._before:
            raise ValueError(f"the outputs of job {row.job_id!r} are not together")
        self._before.add(row.key)
        self._row, self._taken = row, {}

    def take(self, local_path: str, remote_path: str, kind: str) -> bool:
        """Note that an output gets this local path.

        Returns:
            False if this output is a log that was downloaded into the folder where the job ran: it is no output.

        Raises:
            NotCollectable: another file of the job has this local path, or one that this file system takes for it.
        """
        assert self._row is not None  # noqa: S101  (begin was called)
        is_log = local_path.rpartition("/")[2] in (LOGS["stdout"], LOGS["stderr"])
        if is_log and kind not in LOGS and _is(local_path, remote_path):
            return False
        name, remote = local_path[len(self._row.working_dir) :], hash(remote_path)
        folded = hash(("folded", unicodedata.normalize("NFC", name).casefold()))
        first = self._taken.setdefault(hash(name), remote)
        first_folded = self._taken.setdefault(folded, remote)
        if first == remote and (first_folded == remote or not folds_names(self._row.working_dir)):
            return True
        if kind not in LOGS and _is(local_path, remote_path):
            return False
        raise NotCollectable(f"{remote_path!r} and another of its outputs would have one local path, {local_path!r}")


def _is(local_path: str, remote_path: str) -> bool:
    """Whether the remote file is the local one: on a local site, where the job ran in its working_dir."""
    folder, _, name = local_path.rpartition("/")
    return f"{os.path.realpath(folder)}/{name}" == remote_path


def folds_names(folder: str) -> bool:
    """Whether two names that differ only in case or in the composition of letters are one name in a local folder."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=".Case-", dir=folder) as probe:
            return os.path.lexists(probe.name.replace("/.Case-", "/.cASE-"))
    except OSError:
        return False
