"""Whether the collected outputs of a job are still on this machine as they were downloaded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from scheduler.job.outcome.facts import CollectedFile, Facts
from scheduler.job.state import JobState, Status

_MOST_NAMED = 3
_CHUNK_BYTES = 1 << 18


def changes(files: Sequence[CollectedFile]) -> str:
    """What has happened to collected outputs since, and what to do; empty if they are as they were.

    A file has changed if its size differs, or its time and its SHA-256. Only then it is read.
    """
    found = list(_changes(files))
    if not found:
        return ""
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return f"{', '.join(found[:_MOST_NAMED])}{more} on this machine since it was collected: scheduler collect --again"


def checked(status: Status, facts: Facts | None) -> Status:
    """The status of a job, with what has happened to its collected outputs in its reason, if it completed."""
    if facts is None or status.state is not JobState.COMPLETED:
        return status
    changed = changes(facts.files)
    return replace(status, reason="; ".join(filter(None, [changed, status.reason]))) if changed else status


def _changes(files: Sequence[CollectedFile]) -> Iterator[str]:
    for file in files:
        try:
            now = os.stat(file.local_path)  # noqa: PTH116  (a Path costs more than the call)
        except OSError:
            yield f"{file.local_path!r} was removed"
            continue
        is_known = file.size >= 0 and file.modified_ns
        if is_known and (now.st_size != file.size or (now.st_mtime_ns != file.modified_ns and _differs(file))):
            yield f"{file.local_path!r} was changed"


def _differs(file: CollectedFile) -> bool:
    digest = hashlib.sha256()
    try:
        with Path(file.local_path).open("rb") as content:
            while chunk := content.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError:
        return True
    return digest.hexdigest() != file.sha256
