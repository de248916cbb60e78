"""Outputs come home: listed over there with size and SHA-256, streamed, verified, renamed into place.

A file that is here already, whole, is not sent again, and of a large one only what is not here: so a collection that
was cut goes on, and on a local site, where the job ran in its working_dir, nothing is copied. Nothing over there is
deleted.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from scheduler import landing, parts, remote, stream
from scheduler.errors import OutputError, TransportError
from scheduler.ledger_rows import JobRow
from scheduler.members import Member, Source, members
from scheduler.transports.base import Reply, Transport

LIST_SECONDS = 900.0
"""So long the listing may be silent: hashing 100 GB takes minutes."""
FETCH_SECONDS = 900.0
"""And the sending, where it compares what is here of a large file."""
LARGE_BYTES = 8 << 20
"""The hash of such a file is taken while it is sent, not before, and it is gone on with in its middle after a cut."""
TOLD_BYTES = 1 << 18
"""So often a progress is told of."""
_OF_NOTHING = hashlib.sha256().hexdigest()
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


Progress = Callable[[int, int], None]
"""Called with the bytes that are home, and how many there are."""


def manifest(rows: Sequence[JobRow], transport: Transport, scratch: Path) -> Manifest:
    """List the outputs of jobs that have ended, in one remote command.

    Raises:
        OutputError: a file cannot be read over there, or the list makes no sense.
        TransportError: the site was not reached.
    """
    folders = {folder: n for n, folder in enumerate(dict.fromkeys(str(row.folder) for row in rows), 2)}
    question = "".join(
        f"{n}\t{folders[str(row.folder)]}\t{row.element}\t{row.status.attempt}\n" for n, row in enumerate(rows)
    ).encode()
    args = [str(LARGE_BYTES), *folders]
    reply = transport.run(remote.program("manifest"), args, stdin=question, timeout=LIST_SECONDS)
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
        hashed = _OF_NOTHING if sha256 == _OF_NOTHING else sha256.removeprefix("-")
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


def fetch(outputs: Sequence[Output], transport: Transport, progress: Progress | None = None) -> None:
    """Bring home what is not here yet, in one remote command; none if all is here. What is empty is made here.

    Raises:
        OutputError: a file is not what was announced (it changed meanwhile), or cannot be written here; it names the
            jobs of such files, and all others are home.
        TransportError: the line was cut; what is home stays, and the next call goes on.
    """
    failed: dict[int, str] = {}
    wanted = {output.path: output for output in outputs if not (_is_made(output, failed) or _is_home(output))}
    if wanted:
        with contextlib.ExitStack() as open_files:
            large = {
                name: open_files.enter_context(contextlib.closing(parts.part_of(Path(output.home), output.size)))
                for name, output in wanted.items()
                if not output.sha256
            }
            _fetch(wanted, large, transport, progress, failed)
    if failed:
        raise OutputError(next(iter(failed.values())), jobs=failed)


def _fetch(
    wanted: dict[str, Output],
    large: Mapping[str, parts.Part],
    transport: Transport,
    progress: Progress | None,
    failed: dict[int, str],
) -> None:
    """`failed`: gets the jobs of files that could not be kept, and why. The others go on."""
    asked = b"".join(_asked(wanted[name], part) for name, part in large.items())
    small = {name: output for name, output in wanted.items() if name not in large}
    names = b"".join(os.fsencode(name[1:]) + b"\0" for name in small)
    here = sum(part.offset for part in large.values())
    meter = _Meter(sum(output.size for output in wanted.values()) - here, progress)
    program, args = remote.program("fetch"), [str(len(asked))]
    with stream.opened(transport, program, args, stdin=[asked, names], timeout=FETCH_SECONDS) as source:
        try:
            for name, part in large.items():
                try:
                    part.receive(source, meter.add)
                except parts.NotKept as error:
                    failed.setdefault(wanted[name].job, str(error))
            if small:
                _unpack(source, small, meter, failed)
        except TransportError as error:
            raise _broken(source, error) from error
        reply = source.reply
    if small:
        words = reply.err.strip() if reply is not None else ""
        message = f"{len(small)} outputs did not come, {next(iter(small))!r} first: {words[:500]}"
        failed |= {output.job: message for output in small.values()}


def _asked(output: Output, part: parts.Part) -> bytes:
    """What fetch.sh is asked of a large file."""
    return f"{part.offset}\0{part.digest.hexdigest()}\0".encode() + os.fsencode(output.path) + b"\0"


def _broken(source: stream.Stream, error: TransportError) -> Exception:
    """The line was cut, or the program over there has said why it ended."""
    if source.reply is not None and source.reply.exit_code != 0:
        return OutputError(f"the outputs did not come whole: {source.reply.err.strip()[:500]}")
    return error


@dataclass
class _Meter:
    total: int
    tell: Progress | None
    done: int = 0
    told: int = 0

    def add(self, size: int) -> None:
        """Bytes are home; less than none: that were taken for home, and must come all the same."""
        if size < 0:
            self.total -= size
        else:
            self.done += size
        if self.tell is not None and (size < 0 or self.done == self.total or self.done - self.told >= TOLD_BYTES):
            self.tell(self.done, self.total)
            self.told = self.done


def _unpack(source: Source, wanted: dict[str, Output], meter: _Meter, failed: dict[int, str]) -> None:
    """Only what was asked for is written, and only files: names in the stream choose nothing."""
    here: dict[str, str] = {}
    size = sum(output.size for output in wanted.values())
    for member in members(source, files=len(wanted), size=size):
        output = wanted.pop(f"/{member.name}", None)
        if output is None or (member.link is not None and f"/{member.link}" not in here):
            raise OutputError(f"the site sent something that was not asked for: {member.name[:200]!r}")
        try:
            _keep(output, _content(member, output, here))
            here[output.path] = output.home
        except OutputError as error:
            failed.setdefault(output.job, str(error))
        meter.add(output.size)
        if not wanted:
            return


def _content(member: Member, output: Output, here: Mapping[str, str]) -> bytes:
    """A file's bytes. Of several links to one file tar sends the first, and of the others which one that was."""
    if member.link is not None:
        return Path(here[f"/{member.link}"]).read_bytes()
    if member.size != output.size:
        raise OutputError(f"{output.path!r} has {member.size} bytes and not {output.size}: it changes still")
    return member.content()


def _keep(output: Output, content: bytes) -> None:
    if hashlib.sha256(content).hexdigest() != output.sha256:
        raise OutputError(f"{output.path!r} is not what was announced (SHA-256 differs): it changes still")
    try:
        landing.put(output.home, content)
    except OSError as error:
        raise OutputError(f"cannot write {output.home!r}: {error}") from error


def _is_made(output: Output, failed: dict[int, str]) -> bool:
    """An empty file, most often a log, need not be sent."""
    if output.size or not output.sha256:
        return False
    try:
        if output.sha256 == _OF_NOTHING:
            landing.put_empty(output.home)
            return True
    except FileExistsError:
        if _is_home(output):
            return True
    except OSError:
        pass  # said by what follows
    try:
        _keep(output, b"")
    except OutputError as error:
        failed.setdefault(output.job, str(error))
    return True


def _is_home(output: Output) -> bool:
    try:
        size = landing.size_of(output.home)
        if os.path.realpath(output.home) == output.path:
            return True  # a local site, where the job ran in its working_dir
        return bool(output.sha256) and size == output.size and landing.sha256_of(output.home) == output.sha256
    except OSError:
        return False
