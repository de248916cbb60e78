"""Small outputs: the tar stream of fetch.sh becomes local files, each verified before it gets its name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping

from scheduler.engine.collect import local_files
from scheduler.engine.collect.output import CHANGING, Output
from scheduler.engine.collect.tar_reader import Member, Source, members
from scheduler.errors import OutputError


def unpack(
    source: Source,
    wanted: dict[str, Output],
    arrived: Callable[[int], None],
    failed: dict[int, str],
    kept: dict[str, str],
) -> None:
    """Read requested files from a tar stream and write them. Names in the stream decide no local path.

    Args:
        source: the stream.
        wanted: the requested outputs by their remote path; what has been read is removed.
        arrived: called with the size of each file.
        failed: receives the jobs of files that could not be kept, and why. The other files continue.
        kept: receives the local paths at which somebody else had written a file, and the name that this file has now.

    Raises:
        OutputError: the stream holds something that was not requested, or is not a tar stream.
        TransportError: the connection was lost.
    """
    written: dict[str, Output | None] = {}  # by remote path; None if the file could not be kept
    size = sum(output.size for output in wanted.values())
    for member in members(source, files=len(wanted), size=size):
        output = wanted.get(f"/{member.name}")
        if output is None or (member.link is not None and f"/{member.link}" not in written):
            raise OutputError(f"the site sent something that was not requested: {member.name[:200]!r}")
        written[output.remote_path] = None
        try:
            keep(output, _content(member, output, written), kept)
            written[output.remote_path] = output
        except OutputError as error:
            failed.setdefault(output.job, str(error))
        del wanted[output.remote_path]
        arrived(output.size)
        if not wanted:
            return


def keep(output: Output, content: bytes, kept: dict[str, str]) -> None:
    """Write a file if its content is what the manifest lists.

    Args:
        output: the file.
        content: its bytes.
        kept: as for `unpack`.

    Raises:
        OutputError: it is not, or the file cannot be written.
    """
    if hashlib.sha256(content).hexdigest() != output.sha256:
        raise OutputError(f"{output.remote_path!r} differs from the manifest (SHA-256); it {CHANGING}")
    try:
        if name := local_files.put(output.where, content, output.properties):
            kept[output.local_path] = name
    except OSError as error:
        raise OutputError(f"cannot write {output.local_path!r}: {error}") from error


def _content(member: Member, output: Output, written: Mapping[str, Output | None]) -> bytes:
    """The bytes of a file. Of hard links to one file, tar sends the bytes once, then references."""
    if member.link is not None:
        return _content_of_link(member.link, written)
    if member.size != output.size:
        raise OutputError(
            f"{output.remote_path!r} has {member.size} bytes, but the manifest lists {output.size}; it {CHANGING}"
        )
    return member.content()


def _content_of_link(link: str, written: Mapping[str, Output | None]) -> bytes:
    first = written[f"/{link}"]
    if first is None:
        raise OutputError(f"'/{link}', which this output is a hard link to, could not be kept")
    try:
        with os.fdopen(local_files.open_file(first.where), "rb") as file:
            return file.read(first.size + 1)
    except OSError as error:
        raise OutputError(f"cannot read {first.local_path!r}: {error}") from error
