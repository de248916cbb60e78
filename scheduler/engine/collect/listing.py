"""Reads what manifest.sh prints. A file that cannot be collected is a problem of its job alone."""

from __future__ import annotations

import os
import re
import sys
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, overload

from scheduler.engine.collect.local_paths import Found, LocalPaths, NotCollectable, SharedFolders
from scheduler.engine.collect.output import LARGE_BYTES, LOGS, SHA256_OF_EMPTY, Output
from scheduler.job import patterns
from scheduler.job.numerals import is_number
from scheduler.ledger.rows import JobRow

_WHY = {
    "read": "cannot read {}",
    "inside": "{} is a link to a folder that contains the job's own folder or files of scheduler",
}
MOST_FILES = 250_000
"""The most files of a list. With names of usual length, more do not fit into a reply that is kept in memory."""
_LINE_BYTES = 1 << 14
"""The most bytes of a path, and of a line: longer paths do not exist."""
_HEAD_LINES, _HEAD_LINES_OF_ONE = 100, 20
"""The most lines before the files: at all, and in addition for each job."""
_DETAILS = re.compile(rb"(-1|\d{1,18})(?: ([0-7]{1,6}) (-?\d{1,12}))?\Z")
_HASH = re.compile(rb"[0-9a-f]{64}\Z|-\Z|!\Z")


class ListTooLong(Exception):
    """The list of these jobs' outputs is longer than what is kept in memory. The message says so."""


class Outputs(Sequence[Output]):
    """The outputs in a list that may be long: each is read when it is needed, so that the list costs little memory."""

    def __init__(self, rows: Sequence[JobRow], reply: bytes, scratch: Path) -> None:
        self._rows, self._reply, self._scratch = rows, reply, scratch
        self._starts, self._details, self._hashes = array("Q"), array("Q"), array("Q")
        self._jobs: dict[int, range] = {}
        self._moved: dict[int, str] = {}

    def add(self, file: _Listed, key: int, path: str) -> None:
        """Add a file of the list, of the job with this key, and its local path. Files of a job follow each other."""
        at = len(self._starts)
        if path != _path_of(_row(self._rows, file.job), file, self._scratch):
            self._moved[at] = path
        self._starts.append(file.start)
        self._details.append(file.details_start)
        self._hashes.append(file.hash_start)
        self._jobs[key] = range(self._jobs[key].start if key in self._jobs else at, at + 1)

    def of(self, key: int) -> list[Output]:
        """The outputs of one job."""
        return [self[n] for n in self._jobs.get(key, ())]

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> Output: ...
    @overload
    def __getitem__(self, index: slice) -> list[Output]: ...
    def __getitem__(self, index: int | slice) -> Output | list[Output]:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        file, _ = _read_file(self._reply, self._starts[index], self._details[index], self._hashes[index])
        row = _row(self._rows, file.job)
        at = range(len(self))[index]
        return _output(row, file, self._moved.get(at) or _path_of(row, file, self._scratch))


@dataclass
class Manifest:
    """The outputs of some jobs.

    Attributes:
        outputs: all of them.
        gone: the keys of jobs whose remote folder no longer exists.
        bad: key of a job → why one of its outputs cannot be collected. Its other outputs are in `outputs`.
        of_git: key of a job → how many files below a ``.git`` match its patterns. They are not collected.
    """

    outputs: Sequence[Output] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)
    bad: dict[int, str] = field(default_factory=dict)
    of_git: Counter[int] = field(default_factory=Counter)

    def of(self, key: int) -> list[Output]:
        """The outputs of one job."""
        if isinstance(self.outputs, Outputs):
            return self.outputs.of(key)
        return [output for output in self.outputs if output.job == key]


class _Listed(NamedTuple):
    """A file of the list: strings and numbers as they are there, and where its three parts begin."""

    job: str
    kind: str
    folder: str
    name: str
    details: bytes
    sha256: bytes
    start: int
    details_start: int
    hash_start: int

    @property
    def remote_path(self) -> str:
        """Its path."""
        return f"{self.folder.rstrip('/')}/{self.name}"


def read_listing(
    rows: Sequence[JobRow], reply: bytes, start: int, scratch: Path, *, shared: SharedFolders | None = None
) -> Manifest:
    """Read a list of outputs.

    Args:
        rows: the jobs that were requested.
        reply: what manifest.sh printed.
        start: where the line ``files N`` begins in it.
        scratch: the local folder for files that are read and not kept.
        shared: the working_dirs that several jobs have; default: none.

    Raises:
        ValueError, IndexError: the list is not valid.
        ListTooLong: it has more than `MOST_FILES` files.
    """
    outputs = Outputs(rows, reply, scratch)
    result = Manifest(outputs)
    for line in _head(reply, start, most=_HEAD_LINES + _HEAD_LINES_OF_ONE * len(rows)):
        word, _, rest = line.partition(" ")
        number, _, why = rest.partition(" ")
        if word == "gone":
            result.gone.add(_row(rows, number).key)
        elif word == "bad":
            code, _, name = why.partition(" ")
            result.bad.setdefault(_row(rows, number).key, _WHY.get(code, _WHY["read"]).format(repr(name)))
    taken, shared = LocalPaths(), shared or SharedFolders()
    for file in _files(reply, start + len("files ")):
        row = _row(rows, file.job)
        taken.begin(row)
        try:
            if _is_collected(row, file, result):
                found = _output(row, file, _path_of(row, file, scratch))
                path = found.local_path if file.kind == "error" else shared.path(row, _found(file, found))
                if path is not None and taken.take(path, file.remote_path, file.kind):
                    outputs.add(file, row.key, path)
        except NotCollectable as error:
            result.bad.setdefault(row.key, str(error))
    return result


def _head(reply: bytes, end: int, *, most: int) -> Iterator[str]:
    """The lines before the files, of each a limited part."""
    start = 0
    for _ in range(most):
        if start >= end:
            return
        stop = reply.index(b"\n", start)
        yield reply[start : min(stop, start + _LINE_BYTES)].decode(errors="replace")
        start = stop + 1
    raise ValueError("it has more lines about jobs than jobs were requested")


def _end_of(reply: bytes, mark: bytes, start: int, most: int = _LINE_BYTES) -> int:
    """Where the next mark is. What precedes it is a name or a line, so it cannot be long."""
    end = reply.find(mark, start, start + most)
    if end < 0:
        raise ValueError("it is incomplete, or a name in it is too long")
    return end


def _row(rows: Sequence[JobRow], number: str) -> JobRow:
    """The job with that number in the request. A negative number must not count from the end of the list."""
    if not is_number(number):
        raise ValueError(f"{number[:60]!r} is not the number of a job")
    return rows[int(number)]


def _files(reply: bytes, start: int) -> Iterator[_Listed]:
    """The files of the list, whose count is at `start`. The list may be long, so it is not copied as a whole."""
    end = _end_of(reply, b"\n", start)
    count, details = int(reply[start:end]), reply.rfind(b"\0") + 1
    if not count:
        return
    if count > MOST_FILES:
        raise ListTooLong(f"more than {MOST_FILES} files match its patterns; pack them into archives in the job")
    if reply.count(b"\0", end) != 3 * count or reply.count(b"\n", details) != 2 * count or reply[-1:] != b"\n":
        raise ValueError("it is incomplete")
    hashes = details
    for _ in range(count):
        hashes = reply.index(b"\n", hashes) + 1
    at = end + 1
    for _ in range(count):
        file, at = _read_file(reply, at, details, hashes)
        yield file
        details, hashes = details + len(file.details) + 1, hashes + len(file.sha256) + 1


def _read_file(reply: bytes, start: int, details: int, hashes: int) -> tuple[_Listed, int]:
    """The file whose strings, details and hash begin at these bytes; and where the strings of the next one begin."""
    middle = _end_of(reply, b"\0", _end_of(reply, b"\0", start) + 1)
    first, _, folder = reply[start:middle].partition(b"\0")
    end = _end_of(reply, b"\0", middle + 1)
    job, _, kind = first.decode().partition("\t")
    listed = _Listed(
        job, kind, os.fsdecode(folder), os.fsdecode(reply[middle + 1 : end]),
        reply[details : _end_of(reply, b"\n", details)], reply[hashes : _end_of(reply, b"\n", hashes)],
        start, details, hashes,
    )  # fmt: skip
    return listed, end + 1


def _output(row: JobRow, file: _Listed, local_path: str) -> Output:
    details = _DETAILS.match(file.details)
    if details is None or not _HASH.match(file.sha256):
        raise ValueError(f"{file.details[:60]!r} and {file.sha256[:70]!r} are not the size and the hash of a file")
    size, mode, modified = int(details[1]), details[2] or b"0", details[3]
    if size < 0 or file.sha256 == b"!":
        raise NotCollectable(f"cannot read {file.name!r}")
    if (file.sha256 == b"-") != (size >= LARGE_BYTES):
        raise ValueError(f"the hash of {file.name[:300]!r} is missing")
    sha256 = file.sha256.decode().removeprefix("-")
    return Output(
        job=row.key,
        kind=sys.intern(file.kind),
        remote_path=file.remote_path,
        local_path=local_path,
        size=size,
        sha256=SHA256_OF_EMPTY if sha256 == SHA256_OF_EMPTY else sha256,
        folder=row.working_dir if file.kind != "error" else "",
        mode=int(mode, 8),
        modified=int(modified) if modified is not None else None,
    )


def _found(file: _Listed, output: Output) -> Found:
    return Found(file.kind, file.name, file.remote_path, output.size, output.sha256, output.modified)


def _path_of(row: JobRow, file: _Listed, scratch: Path) -> str:
    """Where a file is downloaded to."""
    if file.kind == "error":
        return f"{scratch}/{row.key}.error.json"
    return f"{row.working_dir}/{LOGS.get(file.kind) or os.path.normpath(file.name)}"


def _is_collected(row: JobRow, file: _Listed, result: Manifest) -> bool:
    """Whether a file is downloaded. Those below a ``.git`` are counted in `result`.

    Raises:
        NotCollectable: the path in the reply leads out of the job's folder, or answers no declared pattern.
    """
    if file.kind == "error" or file.kind in LOGS:
        return True
    name = file.name
    if not is_number(file.kind) or int(file.kind) >= len(row.patterns):
        raise NotCollectable(f"the site listed an output that belongs to no pattern: {name[:300]!r}")
    path = os.path.normpath(name)  # changes only double slashes and single dots: a name with ".." is rejected
    if name.startswith("/") or ".." in name.split("/") or path == "." or "\0" in name:
        raise NotCollectable(f"the site listed an output outside the job's folder: {name[:300]!r}")
    pattern = row.patterns[int(file.kind)]
    if not patterns.matches(pattern, path):
        if patterns.may_be_listed(pattern, path):
            return False
        raise NotCollectable(f"the site listed {name[:300]!r}, which does not match the declared output {pattern!r}")
    if any(map(patterns.is_git, path.split("/"))):
        result.of_git[row.key] += 1
        return False
    return True
