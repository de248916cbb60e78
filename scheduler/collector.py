"""Outputs come home: listed over there with size and SHA-256, streamed, verified, renamed into place.

A file that is here already, whole, is not sent again, and of a large one only what is not here: so a collection that
was cut goes on, and on a local site, where the job ran in its working_dir, nothing is copied. Nothing over there is
deleted.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO

from scheduler import parts, remote, stripes
from scheduler.errors import OutputError, TransportError
from scheduler.ledger_rows import JobRow
from scheduler.members import opened_tar
from scheduler.transports.base import Transport

LIST_SECONDS = 900.0
"""So long the listing may be silent: hashing 100 GB takes minutes."""
FETCH_SECONDS = 900.0
"""And the sending, where it compares what is here of a large file."""
LARGE_BYTES = 8 << 20
"""The hash of such a file is taken while it is sent, not before, and it is gone on with in its middle after a cut."""
LOGS = {"stdout": "job.stdout", "stderr": "job.stderr", "result": "result.json"}
"""Where what every job leaves is put in its working_dir."""


@dataclass(frozen=True)
class Output:
    """One file over there.

    Attributes:
        job: the key of its job.
        kind: ``stdout``, ``stderr``, ``result``, ``error``, or the number of the pattern that it matches.
        path: where it lies over there.
        home: where it comes to here.
        sha256: of its bytes; empty for a large file, whose hash comes after them.
    """

    job: int
    kind: str
    path: str
    home: Path
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
    question = "".join(f"{row.folder}\t{row.element}\t{row.status.attempt}\n" for row in rows).encode()
    reply = transport.run(remote.program("manifest"), [str(LARGE_BYTES)], stdin=question, timeout=LIST_SECONDS)
    head, found, rest = reply.stdout.partition(b"files ")
    if reply.exit_code != 0 or not found:
        raise OutputError(f"the outputs cannot be listed: {reply.err.strip() or reply.out[:300]}")
    try:
        gone = {_row(rows, line[5:]).key for line in head.decode().splitlines() if line.startswith("gone ")}
        return Manifest(list(_outputs(rows, rest, reply.err, scratch)), gone)
    except (ValueError, IndexError) as error:
        raise OutputError(f"the list of outputs makes no sense: {str(error)[:300]}") from error


def _row(rows: Sequence[JobRow], word: str) -> JobRow:
    """The job of that number in the question; -1 is none."""
    if not word.isdecimal():
        raise ValueError(f"{word[:60]!r} is the number of no job")
    return rows[int(word)]


def _outputs(rows: Sequence[JobRow], listed: bytes, complaints: str, scratch: Path) -> Iterator[Output]:
    count, _, rest = listed.partition(b"\n")
    number = int(count)
    if not number:
        return
    words = rest.split(b"\0", 3 * number)
    sizes_and_hashes = words[-1].decode("ascii", "replace").split("\n")[:-1]
    if len(words) != 3 * number + 1 or len(sizes_and_hashes) != 2 * number:
        raise OutputError(f"the list of outputs is not whole; a file cannot be read? {complaints.strip()[:1000]}")
    for n in range(number):
        job, _, kind = words[3 * n].decode().partition("\t")
        folder, name = (os.fsdecode(word) for word in words[3 * n + 1 : 3 * n + 3])
        size, sha256 = int(sizes_and_hashes[n]), sizes_and_hashes[number + n]
        if (sha256 == "-") != (size >= LARGE_BYTES):
            raise OutputError(f"the list of outputs is not whole; a file cannot be read? {complaints.strip()[:1000]}")
        row = _row(rows, job)
        home = _home(row, kind, name, scratch)
        yield Output(row.key, kind, f"{folder}/{name}", home, size, sha256.removeprefix("-"))


def _home(row: JobRow, kind: str, name: str, scratch: Path) -> Path:
    """Where a file comes to. What a cluster says is not trusted to stay in the job's folder."""
    if kind == "error":
        return scratch / f"{row.key}.error.json"
    if kind in LOGS:
        return Path(row.working_dir) / LOGS[kind]
    if not kind.isdecimal() or int(kind) >= len(row.patterns):
        raise OutputError(f"job {row.job_id!r}: an output of no pattern was announced: {name!r}")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise OutputError(f"job {row.job_id!r}: an output outside its folder was announced: {name!r}")
    return Path(row.working_dir, *path.parts)


def fetch(outputs: Sequence[Output], transport: Transport, progress: Progress | None = None) -> None:
    """Bring home what is not here yet, in one remote command; none if all is here.

    Raises:
        OutputError: a file is not what was announced (it changed meanwhile), or cannot be written here; it names the
            jobs of such files, and all others are home.
        TransportError: the line was cut; what is home stays, and the next call goes on.
    """
    wanted = {output.path.lstrip("/"): output for output in outputs if not _is_home(output)}
    if not wanted:
        return
    with contextlib.ExitStack() as open_files:
        large = {
            name: open_files.enter_context(contextlib.closing(parts.part_of(output.home, output.size)))
            for name, output in wanted.items()
            if not output.sha256
        }
        _fetch(wanted, large, transport, progress)


def _fetch(
    wanted: dict[str, Output], large: Mapping[str, parts.Part], transport: Transport, progress: Progress | None
) -> None:
    failed: dict[int, str] = {}
    small = {name: output for name, output in wanted.items() if name not in large}
    names = b"".join(os.fsencode(name) + b"\0" for name in small)
    here = sum(part.offset for part in large.values())
    meter = _Meter(sum(output.size for output in wanted.values()) - here, progress)
    left, broken, reply = dict(large), dict[str, str](), None
    channels = stripes.worth(transport, sum(part.size for part in large.values()) - here)
    while channels:
        asked = b"".join(_asked(wanted[name], part) for name, part in left.items())
        fetch = stripes.opened_by(
            transport, remote.program("fetch"), [asked, names], channels=channels, timeout=FETCH_SECONDS
        )
        with fetch as source:
            try:
                channels = stripes.receive(source, left, meter.add, broken)
                if small and not left:
                    _unpack(source, small, meter, failed)
            except (tarfile.TarError, TransportError) as error:
                raise _broken(source, error) from error
            reply = source.reply
    failed |= {wanted[name].job: words for name, words in broken.items()}
    if small:
        words = reply.err.strip() if reply is not None else ""
        message = f"{len(small)} outputs did not come, {next(iter(small))!r} first: {words[:500]}"
        failed |= {output.job: message for output in small.values()}
    if failed:
        raise OutputError(next(iter(failed.values())), jobs=failed)


def _asked(output: Output, part: parts.Part) -> bytes:
    """What fetch.sh is asked of a large file."""
    return f"{part.offset}\0{part.digest.hexdigest()}\0{part.size}\0".encode() + os.fsencode(output.path) + b"\0"


def _broken(source: stripes.Stripes, error: Exception) -> Exception:
    """The line was cut, or the program over there has said why it ended."""
    if source.reply is not None and source.reply.exit_code != 0:
        return OutputError(f"the outputs did not come whole: {source.reply.err.strip()[:500]}")
    if isinstance(error, TransportError):
        return error
    return TransportError(f"the outputs came in pieces: {error}; collect again")


@dataclass
class _Meter:
    total: int
    tell: Progress | None
    done: int = 0

    def add(self, size: int) -> None:
        """Bytes are home; less than none: that were taken for home, and must come all the same."""
        if size < 0:
            self.total -= size
        else:
            self.done += size
        if self.tell is not None:
            self.tell(self.done, self.total)


def _unpack(
    source: IO[bytes] | stripes.Stripes, wanted: dict[str, Output], meter: _Meter, failed: dict[int, str]
) -> None:
    """Only what was asked for is written, and only files: names in the stream choose nothing.

    `failed`: gets the jobs of files that could not be kept, and why. The others go on.
    """
    here: dict[str, Path] = {}
    size = sum(output.size for output in wanted.values())
    with opened_tar(source, files=len(wanted), size=size) as tar:
        for member in tar:
            output, content = wanted.get(member.name), _content(tar, member, here)
            if output is None or content is None:
                raise OutputError(f"the site sent something that was not asked for: {member.name[:200]!r}")
            del wanted[member.name]
            try:
                with content:
                    _keep(member, output, content, meter)
                here[member.name] = output.home
            except OutputError as error:
                failed.setdefault(output.job, str(error))


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, here: Mapping[str, Path]) -> IO[bytes] | None:
    """A file's bytes. Of several links to one file tar sends the first, and of the others which one that was."""
    if member.islnk() and member.linkname in here:
        return here[member.linkname].open("rb")
    return tar.extractfile(member) if member.isreg() else None


def _keep(member: tarfile.TarInfo, output: Output, content: IO[bytes], meter: _Meter) -> None:
    if member.isreg() and member.size != output.size:
        raise OutputError(f"{output.path!r} has {member.size} bytes and not {output.size}: it changes still")
    _write(output, content, meter)


def _write(output: Output, content: IO[bytes], meter: _Meter) -> None:
    part = output.home.with_name(f".{output.home.name[:80]}.{os.getpid()}.part")
    try:
        digest = hashlib.sha256()
        with _created(part) as file:
            while piece := content.read(1 << 18):
                digest.update(piece)
                file.write(piece)
                meter.add(len(piece))
        if digest.hexdigest() != output.sha256:
            raise OutputError(f"{output.path!r} is not what was announced (SHA-256 differs): it changes still")
        part.replace(output.home)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OutputError(f"cannot write {str(output.home)!r}: {error}") from error
        raise


def _created(path: Path) -> IO[bytes]:
    try:
        return path.open("wb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")


def _is_home(output: Output) -> bool:
    try:
        size = output.home.stat().st_size
        if str(output.home.resolve()) == output.path:
            return True  # a local site, where the job ran in its working_dir
        if not output.sha256 or size != output.size:
            return False
        with output.home.open("rb") as file:
            digest = hashlib.sha256()
            while piece := file.read(1 << 18):
                digest.update(piece)
        return digest.hexdigest() == output.sha256
    except OSError:
        return False
