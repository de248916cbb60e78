"""The manifest: the outputs of finished jobs with their sizes and SHA-256. Nothing is downloaded here."""

from __future__ import annotations

import hashlib
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from scheduler.engine import programs
from scheduler.errors import OutputError
from scheduler.job.numerals import is_number
from scheduler.ledger.rows import JobRow
from scheduler.transports.base import Reply, Transport

LIST_SECONDS = 900.0
"""The longest time without output of the listing: hashing 100 GB takes minutes."""
LARGE_BYTES = 8 << 20
"""From this size on a file is hashed while it is sent, not before, and a partial download of it is resumed."""
SHA256_OF_EMPTY = hashlib.sha256().hexdigest()
LOGS = {"stdout": "job.stdout", "stderr": "job.stderr", "result": "result.json"}
"""Kind of output → its file name in the job's working_dir. Every job may have these."""


@dataclass(frozen=True, slots=True)
class Output:
    """One output file on the remote side.

    Attributes:
        job: the key of its job.
        kind: ``stdout``, ``stderr``, ``result``, ``error``, or the number of the output pattern that it matches.
        remote_path: where it is.
        local_path: where it is downloaded to; a string, not a Path, as there may be tens of thousands.
        size: in bytes.
        sha256: in hexadecimal; empty for a large file, whose hash is sent after its bytes.
    """

    job: int
    kind: str
    remote_path: str
    local_path: str
    size: int
    sha256: str


@dataclass
class Manifest:
    """The outputs of some jobs.

    Attributes:
        outputs: all of them.
        gone: the keys of jobs whose remote folder no longer exists.
    """

    outputs: list[Output] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)

    def of(self, key: int) -> list[Output]:
        """The outputs of one job."""
        return self._by_job.get(key, [])

    @cached_property
    def _by_job(self) -> Mapping[int, list[Output]]:
        found: dict[int, list[Output]] = defaultdict(list)
        for output in self.outputs:
            found[output.job].append(output)
        return found


def manifest(rows: Sequence[JobRow], transport: Transport, scratch: Path) -> Manifest:
    """List the outputs of finished jobs, in one remote command.

    Args:
        rows: the jobs.
        transport: the connection to their site.
        scratch: a temporary local folder, for files that are read and not kept.

    Raises:
        OutputError: a remote file cannot be read, or the reply is not a valid list.
        TransportError: the site could not be reached.
    """
    folders = {folder: n for n, folder in enumerate(dict.fromkeys(str(row.folder) for row in rows), 2)}
    request = "".join(
        f"{n}\t{folders[str(row.folder)]}\t{row.element}\t{row.status.requeues}\n" for n, row in enumerate(rows)
    ).encode()
    args = [str(LARGE_BYTES), *folders]
    reply = transport.run(programs.program("manifest"), args, stdin=request, timeout=LIST_SECONDS)
    start = reply.stdout.find(b"files ")
    if reply.exit_code != 0 or start < 0:
        raise OutputError(f"the outputs cannot be listed: {reply.err.strip() or reply.out[:300]}")
    try:
        lines = reply.stdout[:start].decode().splitlines()
        gone = {_row(rows, line[5:]).key for line in lines if line.startswith("gone ")}
        return Manifest(list(_outputs(rows, reply, start + len("files "), scratch)), gone)
    except (ValueError, IndexError) as error:
        raise OutputError(f"the list of outputs is not valid: {str(error)[:300]}") from error


def _row(rows: Sequence[JobRow], number: str) -> JobRow:
    """The job with that number in the request. A negative number must not count from the end of the list."""
    if not is_number(number):
        raise ValueError(f"{number[:60]!r} is not the number of a job")
    return rows[int(number)]


def _outputs(rows: Sequence[JobRow], reply: Reply, start: int, scratch: Path) -> Iterator[Output]:
    """Read the list that begins at byte `start` of the reply. It may be long, so it is not copied as a whole."""
    listed, end = reply.stdout, reply.stdout.find(b"\n", start)
    count = int(listed[start:end])
    if not count:
        return
    sizes_and_hashes = listed[listed.rfind(b"\0") + 1 :].decode("ascii", "replace").split("\n")[:-1]
    if listed.count(b"\0", end) != 3 * count or len(sizes_and_hashes) != 2 * count:
        raise _incomplete(reply)
    for n in range(count):
        middle = listed.index(b"\0", listed.index(b"\0", end + 1) + 1)
        first, _, folder = listed[end + 1 : middle].partition(b"\0")
        end = listed.index(b"\0", middle + 1)
        job, _, kind = first.decode().partition("\t")
        name, size, sha256 = (
            os.fsdecode(listed[middle + 1 : end]),
            int(sizes_and_hashes[n]),
            sizes_and_hashes[count + n],
        )
        if (sha256 == "-") != (size >= LARGE_BYTES):
            raise _incomplete(reply)
        row, remote_path = _row(rows, job), f"{os.fsdecode(folder).rstrip('/')}/{name}"
        shared = SHA256_OF_EMPTY if sha256 == SHA256_OF_EMPTY else sha256.removeprefix("-")
        yield Output(row.key, sys.intern(kind), remote_path, _local_path(row, kind, name, scratch), size, shared)


def _incomplete(reply: Reply) -> OutputError:
    words = reply.err.strip()[:1000] or "manifest.sh printed no error"
    return OutputError(f"the list of outputs is incomplete; check that the remote files can be read: {words}")


def _local_path(row: JobRow, kind: str, name: str, scratch: Path) -> str:
    """Where a file is downloaded to. The path in the reply may lead out of the job's folder, which is refused."""
    if kind == "error":
        return f"{scratch}/{row.key}.error.json"
    if kind in LOGS:
        return f"{row.working_dir}/{LOGS[kind]}"
    if not is_number(kind) or int(kind) >= len(row.patterns):
        raise OutputError(f"job {row.job_id!r}: the site listed an output that belongs to no pattern: {name!r}")
    path = os.path.normpath(name)  # changes only double slashes and single dots: a name with ".." is rejected
    if name.startswith("/") or ".." in name.split("/") or path == "." or "\0" in name:
        raise OutputError(f"job {row.job_id!r}: the site listed an output outside the job's folder: {name!r}")
    return f"{row.working_dir}/{path}"
