"""The manifest: the outputs of finished jobs with their sizes and SHA-256. Nothing is downloaded here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from scheduler.engine import programs
from scheduler.engine.collect.listing import ListTooLong, Manifest, read_listing
from scheduler.engine.collect.local_paths import SharedFolders
from scheduler.engine.collect.output import LARGE_BYTES, SHA256_OF_EMPTY, Output
from scheduler.errors import OutputError, ReplyTooLong
from scheduler.ledger.rows import JobRow
from scheduler.transports.base import Transport

__all__ = ["LARGE_BYTES", "SHA256_OF_EMPTY", "Manifest", "Output", "manifest"]

LIST_SECONDS = 900.0
"""The longest time without output of the listing: hashing 100 GB takes minutes."""
_FILES = re.compile(rb"^files \d{1,9}\n", re.MULTILINE)


def manifest(
    rows: Sequence[JobRow], transport: Transport, scratch: Path, *, shared: SharedFolders | None = None
) -> Manifest:
    """List the outputs of finished jobs, in one remote command.

    Args:
        rows: the jobs.
        transport: the connection to their site.
        scratch: a temporary local folder, for files that are read and not kept.
        shared: the working_dirs that several jobs have; default: none.

    Raises:
        OutputError: the reply is not a valid list. A file that cannot be collected is a problem of its job alone.
        ListTooLong: it is too long to be read at once.
        TransportError: the site could not be reached.
    """
    folders = {folder: n for n, folder in enumerate(dict.fromkeys(str(row.folder) for row in rows), 2)}
    request = "".join(
        f"{n}\t{folders[str(row.folder)]}\t{row.element}\t{row.status.requeues}\n" for n, row in enumerate(rows)
    ).encode()
    args = [str(LARGE_BYTES), *folders]
    try:
        reply = transport.run(programs.program("manifest"), args, stdin=request, timeout=LIST_SECONDS)
    except ReplyTooLong as error:
        raise ListTooLong("the names of the files that match its patterns are too many or too long") from error
    start = _FILES.search(reply.stdout)
    if reply.exit_code != 0 or start is None:
        raise OutputError(f"the outputs cannot be listed: {reply.err.strip()[:1000] or reply.out[:300]}")
    try:
        return read_listing(rows, reply.stdout, start.start(), scratch, shared=shared)
    except (ValueError, IndexError) as error:
        raise OutputError(f"the list of outputs is not valid: {str(error)[:300]}") from error
