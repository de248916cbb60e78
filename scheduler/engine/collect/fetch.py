"""Download the outputs of a manifest: skip what is local already, stream the others, verify, rename into place.

A complete local file is not sent again, and a large file is resumed: an interrupted collection continues where it
stopped. On a local site where the job ran in its working_dir, nothing is copied. Nothing is deleted on the remote side.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scheduler.engine import programs
from scheduler.engine.collect import atomic_write, resumable, stripes
from scheduler.engine.collect.manifest import SHA256_OF_EMPTY, Output
from scheduler.engine.collect.small_files import keep, unpack
from scheduler.errors import OutputError, TransportError
from scheduler.transports.base import Transport

FETCH_SECONDS = 900.0
"""The longest time without data from fetch.sh while it compares the local part of a large file with the remote file."""
REPORT_BYTES = 1 << 18
"""The least number of bytes between two calls of a progress callback."""
Progress = Callable[[int, int], None]
"""Called with the bytes that have been downloaded, and the bytes to download in all."""


def fetch(outputs: Sequence[Output], transport: Transport, progress: Progress | None = None) -> None:
    """Download the outputs that are not local yet, in one remote command; no command if all are.

    Empty files are created locally.

    Args:
        outputs: what to download.
        transport: the connection to the site.
        progress: called while bytes arrive, and at the end.

    Raises:
        OutputError: a file differs from the manifest, or cannot be written locally. It names the jobs of such files;
            all other files are in place.
        TransportError: the connection was lost. What has arrived is kept, and the next call continues.
    """
    failed: dict[int, str] = {}
    wanted = {
        output.remote_path: output for output in outputs if not (_is_created(output, failed) or _is_local(output))
    }
    if wanted:
        with contextlib.ExitStack() as open_files:
            large = {
                path: open_files.enter_context(
                    contextlib.closing(resumable.part_of(Path(output.local_path), output.size))
                )
                for path, output in wanted.items()
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
    """`failed` receives the jobs of files that could not be kept, and why. The other files continue."""
    small = {path: output for path, output in wanted.items() if path not in large}
    small_request = b"".join(os.fsencode(path[1:]) + b"\0" for path in small)
    local_bytes = sum(part.offset for part in large.values())
    meter = _Meter(sum(output.size for output in wanted.values()) - local_bytes, progress)
    left, not_kept, reply = dict(large), dict[str, str](), None
    channels = stripes.channels_for(transport, sum(part.size for part in large.values()) - local_bytes)
    while channels:
        large_request = b"".join(_request(wanted[path], part) for path, part in left.items())
        run = stripes.open_channels(
            transport,
            programs.program("fetch"),
            [large_request, small_request],
            channels=channels,
            timeout=FETCH_SECONDS,
        )
        with run as source:
            try:
                channels = stripes.receive(source, left, meter.add, not_kept)
                if small and not left:
                    unpack(source, small, meter.add, failed)
            except TransportError as error:
                raise _interrupted(source, error) from error
            reply = source.reply
    failed |= {wanted[path].job: why for path, why in not_kept.items()}
    if small:
        words = reply.err.strip() if reply is not None else ""
        message = f"{len(small)} outputs were not sent, {next(iter(small))!r} first: {words[:500]}"
        failed |= {output.job: message for output in small.values()}


def _request(output: Output, part: resumable.Part) -> bytes:
    """What fetch.sh reads about a large file."""
    return f"{part.offset}\0{part.digest.hexdigest()}\0{part.size}\0".encode() + os.fsencode(output.remote_path) + b"\0"


def _interrupted(source: stripes.Channels, error: TransportError) -> Exception:
    """The error that fetch.sh printed, if it failed; else the connection's."""
    if source.reply is not None and source.reply.exit_code != 0:
        return OutputError(f"the outputs were not sent completely: {source.reply.err.strip()[:500]}")
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


def _is_created(output: Output, failed: dict[int, str]) -> bool:
    """Create an empty file (most often a log) instead of downloading it; False if it is not empty."""
    if output.size or not output.sha256:
        return False
    try:
        if output.sha256 == SHA256_OF_EMPTY:
            atomic_write.put_empty(output.local_path)
            return True
    except FileExistsError:
        if _is_local(output):
            return True
    except OSError:
        pass  # `keep` fails for the same reason, and reports it
    try:
        keep(output, b"")
    except OutputError as error:
        failed.setdefault(output.job, str(error))
    return True


def _is_local(output: Output) -> bool:
    try:
        size = atomic_write.size_of(output.local_path)
        if os.path.realpath(output.local_path) == output.remote_path:
            return True  # a local site, where the job ran in its working_dir
        same_size = bool(output.sha256) and size == output.size
        return same_size and atomic_write.sha256_of(output.local_path) == output.sha256
    except OSError:
        return False
