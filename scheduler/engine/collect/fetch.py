"""Outputs come home: listed over there with size and SHA-256, streamed, verified, renamed into place.

A file that is here already, whole, is not sent again, and of a large one only what is not here: so a collection that
was cut goes on, and on a local site, where the job ran in its working_dir, nothing is copied. Nothing over there is
deleted.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scheduler.engine import programs
from scheduler.engine.collect import atomic_write, resumable, stripes
from scheduler.engine.collect.manifest import LARGE_BYTES, OF_NOTHING, Manifest, Output, manifest
from scheduler.engine.collect.tar_reader import Member, Source, members
from scheduler.errors import OutputError, TransportError
from scheduler.transports.base import Transport

__all__ = ["LARGE_BYTES", "Manifest", "Output", "Progress", "fetch", "manifest"]

FETCH_SECONDS = 900.0
"""So long the sending may be silent, while it compares what is here of a large file."""
TOLD_BYTES = 1 << 18
"""So often a progress is told of."""
Progress = Callable[[int, int], None]
"""Called with the bytes that are home, and how many there are."""


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
                name: open_files.enter_context(contextlib.closing(resumable.part_of(Path(output.home), output.size)))
                for name, output in wanted.items()
                if not output.sha256
            }
            _fetch(wanted, large, transport, progress, failed)
    if failed:
        raise OutputError(next(iter(failed.values())), jobs=failed)


def _fetch(
    wanted: dict[str, Output],
    large: Mapping[str, resumable.Part],
    transport: Transport,
    progress: Progress | None,
    failed: dict[int, str],
) -> None:
    """`failed`: gets the jobs of files that could not be kept, and why. The others go on."""
    small = {name: output for name, output in wanted.items() if name not in large}
    names = b"".join(os.fsencode(name[1:]) + b"\0" for name in small)
    here = sum(part.offset for part in large.values())
    meter = _Meter(sum(output.size for output in wanted.values()) - here, progress)
    left, broken, reply = dict(large), dict[str, str](), None
    channels = stripes.worth(transport, sum(part.size for part in large.values()) - here)
    while channels:
        asked = b"".join(_asked(wanted[name], part) for name, part in left.items())
        fetch = stripes.opened_by(
            transport, programs.program("fetch"), [asked, names], channels=channels, timeout=FETCH_SECONDS
        )
        with fetch as source:
            try:
                channels = stripes.receive(source, left, meter.add, broken)
                if small and not left:
                    _unpack(source, small, meter, failed)
            except TransportError as error:
                raise _broken(source, error) from error
            reply = source.reply
    failed |= {wanted[name].job: words for name, words in broken.items()}
    if small:
        words = reply.err.strip() if reply is not None else ""
        message = f"{len(small)} outputs did not come, {next(iter(small))!r} first: {words[:500]}"
        failed |= {output.job: message for output in small.values()}


def _asked(output: Output, part: resumable.Part) -> bytes:
    """What fetch.sh is asked of a large file."""
    return f"{part.offset}\0{part.digest.hexdigest()}\0{part.size}\0".encode() + os.fsencode(output.path) + b"\0"


def _broken(source: stripes.Stripes, error: TransportError) -> Exception:
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
    here: dict[str, str] = {}  # path over there → here; empty, if it could not be kept
    size = sum(output.size for output in wanted.values())
    for member in members(source, files=len(wanted), size=size):
        output = wanted.pop(f"/{member.name}", None)
        if output is None or (member.link is not None and f"/{member.link}" not in here):
            raise OutputError(f"the site sent something that was not asked for: {member.name[:200]!r}")
        here[output.path] = ""
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
        return _first_of(member.link, here)
    if member.size != output.size:
        raise OutputError(f"{output.path!r} has {member.size} bytes and not {output.size}: it changes still")
    return member.content()


def _first_of(link: str, here: Mapping[str, str]) -> bytes:
    home = here[f"/{link}"]
    if not home:
        raise OutputError(f"'/{link}', to which there are several links, was not kept")
    try:
        return Path(home).read_bytes()
    except OSError as error:
        raise OutputError(f"cannot read {home!r}: {error}") from error


def _keep(output: Output, content: bytes) -> None:
    if hashlib.sha256(content).hexdigest() != output.sha256:
        raise OutputError(f"{output.path!r} is not what was announced (SHA-256 differs): it changes still")
    try:
        atomic_write.put(output.home, content)
    except OSError as error:
        raise OutputError(f"cannot write {output.home!r}: {error}") from error


def _is_made(output: Output, failed: dict[int, str]) -> bool:
    """An empty file, most often a log, need not be sent."""
    if output.size or not output.sha256:
        return False
    try:
        if output.sha256 == OF_NOTHING:
            atomic_write.put_empty(output.home)
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
        size = atomic_write.size_of(output.home)
        if os.path.realpath(output.home) == output.path:
            return True  # a local site, where the job ran in its working_dir
        return bool(output.sha256) and size == output.size and atomic_write.sha256_of(output.home) == output.sha256
    except OSError:
        return False
