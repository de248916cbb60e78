"""Download the outputs of a manifest: skip what is local already, stream the others, verify, rename into place.

A complete local file is not sent again, and a large file is resumed: an interrupted collection continues where it
stopped. On a local site where the job ran in its working_dir, nothing is copied. Nothing is deleted on the remote side.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scheduler.engine import programs
from scheduler.engine.collect import local_files, resumable, stripes
from scheduler.engine.collect.output import SHA256_OF_EMPTY, Output
from scheduler.engine.collect.small_files import keep, unpack
from scheduler.errors import OutputError, TransportError
from scheduler.transports.base import Transport

FETCH_SECONDS = 900.0
"""The longest time without data from fetch.sh while it compares the local part of a large file with the remote file."""
REPORT_BYTES = 1 << 18
"""The least number of bytes between two calls of a progress callback."""
MOST_BROKEN = 20
"""After so many breaks of the stream, nothing more is requested."""
Progress = Callable[[int, int], None]
"""Called with the bytes that have been downloaded, and the bytes to download in all."""


class _Broken(OutputError):
    """The stream cannot be read on. `left`: what has not been read of it, first the output at which it broke."""

    def __init__(self, message: str, left: Sequence[Output]) -> None:
        super().__init__(message)
        self.left = left


def fetch(
    outputs: Sequence[Output],
    transport: Transport,
    progress: Progress | None = None,
    *,
    kept: dict[str, str] | None = None,
    hashes: dict[str, str] | None = None,
    on_this_machine: bool = False,
) -> None:
    """Download the outputs that are not local yet, in one remote command; no command if all are.

    Empty files are created locally. If the stream breaks at an output of a job, the outputs of the others are requested
    in another command.

    Args:
        outputs: what to download.
        transport: the connection to the site.
        progress: called while bytes arrive, and at the end.
        on_this_machine: the site is this machine, so that a remote path may be the local file itself.
        kept: receives the local paths at which somebody else had written a file, and the name that this file has now.
        hashes: receives the SHA-256 of large outputs, by their remote paths.

    Raises:
        OutputError: a file differs from the manifest, or cannot be written locally. It names the jobs of such files;
            all other files are in place.
        TransportError: the connection was lost. What has arrived is kept, and the next call continues.
    """
    failed, kept, hashes = dict[int, str](), {} if kept is None else kept, {} if hashes is None else hashes
    is_here = _is_itself_or_equal if on_this_machine else _is_equal
    wanted = [output for output in outputs if not (is_here(output) or _is_created(output, failed, kept))]
    for attempt in range(MOST_BROKEN, -1, -1):
        try:
            _fetch_once(wanted, _Run(transport, progress, failed, kept, hashes))
            break
        except _Broken as error:
            blamed = error.left[:1] if attempt else error.left
            failed = {output.job: str(error) for output in blamed} | failed
            wanted = [output for output in error.left if output.job not in failed]
    if failed:
        raise OutputError(next(iter(failed.values())), reasons=failed)


def _fetch_once(outputs: Sequence[Output], run: _Run) -> None:
    wanted = {output.remote_path: output for output in outputs}
    with contextlib.ExitStack() as open_files:
        large = dict[str, resumable.Part]()
        for path, output in list(wanted.items()):
            if not output.sha256:
                try:
                    part = resumable.part_of(output.where, output.size, output.properties)
                    large[path] = open_files.enter_context(contextlib.closing(part))
                except OutputError as error:
                    run.failed.setdefault(output.job, str(error))
                    del wanted[path]
        if wanted:
            _fetch(wanted, large, run)


@dataclass
class _Run:
    """A call of `fetch`.

    Attributes:
        failed: receives the jobs of files that could not be kept, and why. The other files continue.
        kept, hashes: as for `fetch`.
    """

    transport: Transport
    progress: Progress | None
    failed: dict[int, str]
    kept: dict[str, str]
    hashes: dict[str, str]


def _fetch(wanted: Mapping[str, Output], large: Mapping[str, resumable.Part], run: _Run) -> None:
    small = {path: output for path, output in wanted.items() if path not in large}
    small_request = b"".join(os.fsencode(path[1:]) + b"\0" for path in small)
    local_bytes = sum(part.offset for part in large.values())
    meter = _Meter(sum(output.size for output in wanted.values()) - local_bytes, run.progress)
    left, not_kept, reply = dict(large), dict[str, str](), None
    channels = stripes.channels_for(run.transport, sum(part.size for part in large.values()) - local_bytes)
    while channels:
        large_request = b"".join(_request(wanted[path], part) for path, part in left.items())
        with stripes.open_channels(
            run.transport,
            programs.program("fetch"),
            [large_request, small_request],
            channels=channels,
            timeout=FETCH_SECONDS,
        ) as source:
            try:
                channels = stripes.receive(source, left, meter.add, not_kept)
                if small and not left:
                    unpack(source, small, meter.add, run.failed, run.kept)
            except (TransportError, OutputError) as error:
                raise _interrupted(source, error, [*(wanted[path] for path in left), *small.values()]) from error
            finally:
                run.failed.update({wanted[path].job: why for path, why in not_kept.items()})
                run.kept.update({part.target.path: part.kept for part in large.values() if part.kept})
                done = large.keys() - left.keys() - not_kept.keys()
                run.hashes.update({path: large[path].digest.hexdigest() for path in done})
            reply = source.reply
    if small:
        words = reply.err.strip() if reply is not None else ""
        message = f"{len(small)} outputs were not sent, {next(iter(small))!r} first: {words[:500]}"
        run.failed.update({output.job: message for output in small.values()})


def _request(output: Output, part: resumable.Part) -> bytes:
    """What fetch.sh reads about a large file."""
    return f"{part.offset}\0{part.digest.hexdigest()}\0{part.size}\0".encode() + os.fsencode(output.remote_path) + b"\0"


def _interrupted(source: stripes.Channels, error: Exception, left: Sequence[Output]) -> Exception:
    """The error that fetch.sh printed, if it failed; else the connection's, or what is wrong with the stream."""
    if isinstance(error, OutputError):
        return _Broken(str(error), left)
    if source.reply is not None and source.reply.exit_code != 0:
        return _Broken(f"the outputs were not sent completely: {source.reply.err.strip()[:500]}", left)
    return error


@dataclass
class _Meter:
    total: int
    progress: Progress | None
    done: int = 0
    reported: int = 0

    def add(self, size: int) -> None:
        """Count bytes that have arrived; a negative number: local bytes that cannot be used and are sent again."""
        if size < 0:
            self.total -= size
        else:
            self.done += size
        due = size < 0 or self.done == self.total or self.done - self.reported >= REPORT_BYTES
        if self.progress is not None and due:
            self.progress(self.done, self.total)
            self.reported = self.done


def _is_created(output: Output, failed: dict[int, str], kept: dict[str, str]) -> bool:
    """Create an empty file (most often a log) instead of downloading it; False if it is not empty."""
    if output.size or not output.sha256:
        return False
    try:
        if output.sha256 == SHA256_OF_EMPTY:
            local_files.put_empty(output.where, output.properties)
            return True
    except OSError:
        pass  # it exists, or `keep` fails for the same reason, and reports it
    try:
        keep(output, b"", kept)
    except OutputError as error:
        failed.setdefault(output.job, str(error))
    return True


def _is_itself_or_equal(output: Output) -> bool:
    """Whether the local file is the remote one (on a local site, a job runs in its working_dir), or equals it.

    What a site elsewhere calls the path of a file would prove nothing.
    """
    folder = output.folder or output.local_path.rpartition("/")[0]
    if os.path.realpath(folder) + output.local_path[len(folder) :] == output.remote_path:
        return os.path.lexists(output.local_path)
    return _is_equal(output)


def _is_equal(output: Output) -> bool:
    """Whether the local file has the size and the SHA-256 of the remote one."""
    if not output.sha256:
        return False
    try:
        file = local_files.open_file(output.where)
    except OSError:
        return False
    try:
        return os.fstat(file).st_size == output.size and local_files.sha256_of(file) == output.sha256
    except OSError:
        return False
    finally:
        os.close(file)
