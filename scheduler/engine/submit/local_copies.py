"""Local files that a retry does not use: it uses the copies that were submitted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from scheduler.errors import JobError
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow
from scheduler.render.content.file_digests import FileDigests


def changed_since(rows: Iterable[JobRow], ledger: Ledger) -> list[str]:
    """The scripts, inputs and templates of these jobs that exist on this machine with another content than submitted.

    Nothing is known of jobs that an older version has submitted.
    """
    digests, changed = FileDigests({}), []
    for path, was in ledger.attempts.paths({row.content for row in rows}).items():
        try:
            if Path(path).exists() and digests.of(path, what="retry") != was:
                changed.append(path)
        except JobError:  # it cannot be read: a retry does not need it
            continue
    return sorted(changed)
