"""Which local paths the outputs of a job take: two different outputs never share one."""

from __future__ import annotations

import os
import tempfile
import unicodedata
from pathlib import Path

from scheduler.engine.collect.output import LOGS
from scheduler.ledger.rows import JobRow


class NotCollectable(ValueError):
    """This file of a job cannot be collected."""


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
