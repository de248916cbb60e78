"""What jobs that have ended left over there: a list with size and SHA-256. Nothing is fetched here."""

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
from scheduler.ledger.rows import JobRow
from scheduler.transports.base import Reply, Transport

LIST_SECONDS = 900.0
"""So long the listing may be silent: hashing 100 GB takes minutes."""
LARGE_BYTES = 8 << 20
"""The hash of such a file is taken while it is sent, not before, and it is gone on with in its middle after a cut."""
OF_NOTHING = hashlib.sha256().hexdigest()
"""The hash of an empty file."""
LOGS = {"stdout": "job.stdout", "stderr": "job.stderr", "result": "result.json"}
"""Where what every job leaves is put in its working_dir."""


@dataclass(frozen=True, slots=True)
class Output:
    """One file over there.

    Attributes:
        job: the key of its job.
        kind: ``stdout``, ``stderr``, ``result``, ``error``, or the number of the pattern that it matches.
        path: where it lies over there.
        home: where it comes to here; words and no Path, as there may be tens of thousands.
        sha256: of its bytes; empty for a large file, whose hash comes after them.
    """

    job: int
    kind: str
    path: str
    home: str
    size: int
    sha256: str


@dataclass
class Manifest:
    """All outputs of some jobs, and the jobs whose folder is not there any more."""

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
    """List the outputs of jobs that have ended, in one remote command.

    Raises:
        OutputError: a file cannot be read over there, or the list makes no sense.
        TransportError: the site was not reached.
    """
    folders = {folder: n for n, folder in enumerate(dict.fromkeys(str(row.folder) for row in rows), 2)}
    question = "".join(
        f"{n}\t{folders[str(row.folder)]}\t{row.element}\t{row.status.requeues}\n" for n, row in enumerate(rows)
    ).encode()
    args = [str(LARGE_BYTES), *folders]
    reply = transport.run(programs.program("manifest"), args, stdin=question, timeout=LIST_SECONDS)
    start = reply.stdout.find(b"files ")
    if reply.exit_code != 0 or start < 0:
        raise OutputError(f"the outputs cannot be listed: {reply.err.strip() or reply.out[:300]}")
    try:
        lines = reply.stdout[:start].decode().splitlines()
        gone = {_row(rows, line[5:]).key for line in lines if line.startswith("gone ")}
        return Manifest(list(_outputs(rows, reply, start + len("files "), scratch)), gone)
    except (ValueError, IndexError) as error:
        raise OutputError(f"the list of outputs makes no sense: {str(error)[:300]}") from error


def _row(rows: Sequence[JobRow], word: str) -> JobRow:
    """The job of that number in the question; -1 is none."""
    if not word.isdecimal():
        raise ValueError(f"{word[:60]!r} is the number of no job")
    return rows[int(word)]


def _outputs(rows: Sequence[JobRow], reply: Reply, at: int, scratch: Path) -> Iterator[Output]:
    """`at`: where the list begins in the reply. It may be long: no copy is made of it, and few of its words live on."""
    listed, end = reply.stdout, reply.stdout.find(b"\n", at)
    number = int(listed[at:end])
    if not number:
        return
    told = listed[listed.rfind(b"\0") + 1 :].decode("ascii", "replace").split("\n")[:-1]
    if listed.count(b"\0", end) != 3 * number or len(told) != 2 * number:
        raise _not_whole(reply)
    for n in range(number):
        middle = listed.index(b"\0", listed.index(b"\0", end + 1) + 1)
        first, _, folder = listed[end + 1 : middle].partition(b"\0")
        end = listed.index(b"\0", middle + 1)
        job, _, kind = first.decode().partition("\t")
        name, size, sha256 = os.fsdecode(listed[middle + 1 : end]), int(told[n]), told[number + n]
        if (sha256 == "-") != (size >= LARGE_BYTES):
            raise _not_whole(reply)
        row, path = _row(rows, job), f"{os.fsdecode(folder).rstrip('/')}/{name}"
        hashed = OF_NOTHING if sha256 == OF_NOTHING else sha256.removeprefix("-")
        yield Output(row.key, sys.intern(kind), path, _home(row, kind, name, scratch), size, hashed)


def _not_whole(reply: Reply) -> OutputError:
    return OutputError(f"the list of outputs is not whole; a file cannot be read? {reply.err.strip()[:1000]}")


def _home(row: JobRow, kind: str, name: str, scratch: Path) -> str:
    """Where a file comes to. What a cluster says is not trusted to stay in the job's folder."""
    if kind == "error":
        return f"{scratch}/{row.key}.error.json"
    if kind in LOGS:
        return f"{row.working_dir}/{LOGS[kind]}"
    if not kind.isdecimal() or int(kind) >= len(row.patterns):
        raise OutputError(f"job {row.job_id!r}: an output of no pattern was announced: {name!r}")
    path = os.path.normpath(name)  # only of its slashes and single dots: with two dots it is refused
    if name.startswith("/") or ".." in name.split("/") or path == "." or "\0" in name:
        raise OutputError(f"job {row.job_id!r}: an output outside its folder was announced: {name!r}")
    return f"{row.working_dir}/{path}"
