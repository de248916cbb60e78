"""Small outputs: the tar stream of fetch.sh becomes local files, each verified before it gets its name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from scheduler.engine.collect import atomic_write
from scheduler.engine.collect.manifest import Output
from scheduler.engine.collect.tar_reader import Member, Source, members
from scheduler.errors import OutputError


def unpack(source: Source, wanted: dict[str, Output], arrived: Callable[[int], None], failed: dict[int, str]) -> None:
    """Read requested files from a tar stream and write them. Names in the stream decide no local path.

    Args:
        source: the stream.
        wanted: the requested outputs by their remote path; what has been read is removed.
        arrived: called with the size of each file.
        failed: receives the jobs of files that could not be kept, and why. The other files continue.

    Raises:
        OutputError: the stream holds something that was not requested, or is not a tar stream.
        TransportError: the connection was lost.
    """
    written: dict[str, str] = {}  # remote path → local path; empty if the file could not be kept
    size = sum(output.size for output in wanted.values())
    for member in members(source, files=len(wanted), size=size):
        output = wanted.pop(f"/{member.name}", None)
        if output is None or (member.link is not None and f"/{member.link}" not in written):
            raise OutputError(f"the site sent something that was not requested: {member.name[:200]!r}")
        written[output.remote_path] = ""
        try:
            keep(output, _content(member, output, written))
            written[output.remote_path] = output.local_path
        except OutputError as error:
            failed.setdefault(output.job, str(error))
        arrived(output.size)
        if not wanted:
            return


def keep(output: Output, content: bytes) -> None:
    """Write a file if its content is what the manifest lists.

    Raises:
        OutputError: it is not, or the file cannot be written.
    """
    if hashlib.sha256(content).hexdigest() != output.sha256:
        raise OutputError(
            f"{output.remote_path!r} differs from the manifest (SHA-256); it may still be changing. Collect again"
        )
    try:
        atomic_write.put(output.local_path, content)
    except OSError as error:
        raise OutputError(f"cannot write {output.local_path!r}: {error}") from error


def _content(member: Member, output: Output, written: Mapping[str, str]) -> bytes:
    """The bytes of a file. Of hard links to one file, tar sends the bytes once, then references."""
    if member.link is not None:
        return _content_of_link(member.link, written)
    if member.size != output.size:
        raise OutputError(
            f"{output.remote_path!r} has {member.size} bytes, but the manifest lists {output.size}; it may still be "
            "changing. Collect again"
        )
    return member.content()


def _content_of_link(link: str, written: Mapping[str, str]) -> bytes:
    local_path = written[f"/{link}"]
    if not local_path:
        raise OutputError(f"'/{link}', which this output is a hard link to, could not be kept")
    try:
        return Path(local_path).read_bytes()
    except OSError as error:
        raise OutputError(f"cannot read {local_path!r}: {error}") from error
