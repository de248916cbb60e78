"""One output file of a job, as manifest.sh lists it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from scheduler.engine.collect.local_files import Properties, Where

LARGE_BYTES = 8 << 20
"""From this size on a file is hashed while it is sent, not before, and a partial download of it is resumed."""
SHA256_OF_EMPTY = hashlib.sha256().hexdigest()
CHANGING = "may still be changing. Collect again"
"""The end of the message about a file that is not what the list of the outputs has."""
LOGS = {"stdout": "job.stdout", "stderr": "job.stderr", "result": "result.json"}
"""Kind of output → its file name in the job's working_dir. Every job may have these."""


@dataclass(frozen=True, slots=True)
class Output:
    """One output file on the remote side.

    Attributes:
        job: the key of its job.
        kind: ``stdout``, ``stderr``, ``result``, ``error``, or the number of the output pattern that it matches.
        remote_path: where it is.
        local_path: where it is downloaded to; a string, not a Path, as there may be tens of thousands.
        size: in bytes.
        sha256: in hexadecimal; empty for a large file, whose hash is sent after its bytes.
        folder: the local folder below which no link is followed, a beginning of `local_path`; empty: its own folder.
        mode: the permissions of the remote file; 0 if not known.
        modified: when the remote file was last modified, in seconds since 1970; None if not known.
    """

    job: int
    kind: str
    remote_path: str
    local_path: str
    size: int
    sha256: str
    folder: str = ""
    mode: int = 0
    modified: int | None = None

    @property
    def where(self) -> Where:
        """Its local place."""
        return Where(self.folder, self.local_path)

    @property
    def properties(self) -> Properties:
        """What the local file takes over from the remote one."""
        return Properties(self.mode, self.modified)
