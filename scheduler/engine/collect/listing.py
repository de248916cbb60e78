"""Reads what manifest.sh prints. A file that cannot be collected is a problem of its job alone."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from scheduler.engine.collect.local_paths import LocalPaths, NotCollectable
from scheduler.engine.collect.output import LARGE_BYTES, LOGS, SHA256_OF_EMPTY, Output
from scheduler.job import patterns
from scheduler.job.numerals import is_number
from scheduler.ledger.rows import JobRow

_WHY = {
    "read": "cannot read {}",
    "inside": "{} is a link to a folder that contains the job's own folder or files of scheduler",
}
_DETAILS = re.compile(rb"(-1|\d{1,18})(?: ([0-7]{1,6}) (-?\d{1,12}))?\Z")
_HASH = re.compile(rb"[0-9a-f]{64}\Z|-\Z|!\Z")


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

    def of(self, key: int) -> Sequence[Output]:
        """The outputs of one job."""
        return self._by_job.get(key, [])

    @cached_property
    def _by_job(self) -> Mapping[int, list[Output]]:
        found: dict[int, list[Output]] = defaultdict(list)
        for output in self.outputs:
            found[output.job].append(output)
        return found


class _Listed(NamedTuple):
    """A file of the list: strings and numbers as they are there."""

    job: str
    kind: str
    folder: str
    name: str
    details: bytes
    sha256: bytes


def read_listing(rows: Sequence[JobRow], reply: bytes, start: int, scratch: Path) -> Manifest:
    """Read a list of outputs.

    Args:
        rows: the jobs that were requested.
        reply: what manifest.sh printed.
        start: where the line ``files N`` begins in it.
        scratch: the local folder for files that are read and not kept.

    Raises:
        ValueError, IndexError: the list is not valid.
    """
    result = Manifest()
    for line in reply[:start].decode(errors="replace").splitlines():
        word, _, rest = line.partition(" ")
        number, _, why = rest.partition(" ")
        if word == "gone":
            result.gone.add(_row(rows, number).key)
        elif word == "bad":
            code, _, name = why.partition(" ")
            result.bad.setdefault(_row(rows, number).key, _WHY[code].format(repr(name)))
    result.outputs = list(_outputs(rows, _files(reply, start + len("files ")), scratch, result))
    return result


def _row(rows: Sequence[JobRow], number: str) -> JobRow:
    """The job with that number in the request. A negative number must not count from the end of the list."""
    if not is_number(number):
        raise ValueError(f"{number[:60]!r} is not the number of a job")
    return rows[int(number)]


def _files(reply: bytes, start: int) -> Iterator[_Listed]:
    """The files of the list, whose count is at `start`. The list may be long, so it is not copied as a whole."""
    end = reply.index(b"\n", start)
    count, details = int(reply[start:end]), reply.rfind(b"\0") + 1
    if not count:
        return
    if reply.count(b"\0", end) != 3 * count or reply.count(b"\n", details) != 2 * count or reply[-1:] != b"\n":
        raise ValueError("it is incomplete")
    hashes = details
    for _ in range(count):
        hashes = reply.index(b"\n", hashes) + 1
    for _ in range(count):
        middle = reply.index(b"\0", reply.index(b"\0", end + 1) + 1)
        first, _, folder = reply[end + 1 : middle].partition(b"\0")
        end = reply.index(b"\0", middle + 1)
        job, _, kind = first.decode().partition("\t")
        details_end, hash_end = reply.index(b"\n", details), reply.index(b"\n", hashes)
        name = os.fsdecode(reply[middle + 1 : end])
        yield _Listed(job, kind, os.fsdecode(folder), name, reply[details:details_end], reply[hashes:hash_end])
        details, hashes = details_end + 1, hash_end + 1


def _outputs(rows: Sequence[JobRow], files: Iterator[_Listed], scratch: Path, result: Manifest) -> Iterator[Output]:
    """The files that can be collected. The others are counted or named in `result`."""
    taken = LocalPaths()
    for file in files:
        row = _row(rows, file.job)
        taken.begin(row)
        try:
            local_path = _local_path(row, file, scratch, result)
            if local_path and taken.take(local_path, f"{file.folder.rstrip('/')}/{file.name}", file.kind):
                yield _output(row, file, local_path)
        except NotCollectable as error:
            result.bad.setdefault(row.key, str(error))


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
        remote_path=f"{file.folder.rstrip('/')}/{file.name}",
        local_path=local_path,
        size=size,
        sha256=SHA256_OF_EMPTY if sha256 == SHA256_OF_EMPTY else sha256,
        folder=row.working_dir if file.kind != "error" else "",
        mode=int(mode, 8),
        modified=int(modified) if modified is not None else None,
    )


def _local_path(row: JobRow, file: _Listed, scratch: Path, result: Manifest) -> str:
    """Where a file is downloaded to; empty if it is not downloaded.

    Raises:
        NotCollectable: the path in the reply leads out of the job's folder, or answers no declared pattern.
    """
    if file.kind == "error":
        return f"{scratch}/{row.key}.error.json"
    if file.kind in LOGS:
        return f"{row.working_dir}/{LOGS[file.kind]}"
    name = file.name
    if not is_number(file.kind) or int(file.kind) >= len(row.patterns):
        raise NotCollectable(f"the site listed an output that belongs to no pattern: {name[:300]!r}")
    path = os.path.normpath(name)  # changes only double slashes and single dots: a name with ".." is rejected
    if name.startswith("/") or ".." in name.split("/") or path == "." or "\0" in name:
        raise NotCollectable(f"the site listed an output outside the job's folder: {name[:300]!r}")
    pattern = row.patterns[int(file.kind)]
    if not patterns.matches(pattern, path):
        if patterns.may_be_listed(pattern, path):
            return ""
        raise NotCollectable(f"the site listed {name[:300]!r}, which does not match the declared output {pattern!r}")
    if any(map(patterns.is_git, path.split("/"))):
        result.of_git[row.key] += 1
        return ""
    return f"{row.working_dir}/{path}"
