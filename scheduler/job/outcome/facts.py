"""What is known of a job once its outputs are collected, besides what its payload returned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple


class ResultKind(Enum):
    """How the payload's result is kept in the results of its job."""

    NONE = "none"
    """It left no result."""
    OBJECT = "object"
    """Its result is a JSON object: the results themselves."""
    VALUE = "value"
    """Its result is another JSON value: it is in the results under ``"result"``."""


class RemoteOutput(NamedTuple):
    """An output as it is on the site.

    Attributes:
        path: its remote path.
        size: in bytes.
        sha256: in hexadecimal; empty if it was never computed.
    """

    path: str
    size: int
    sha256: str


class CollectedFile(NamedTuple):
    """A file of a job that was collected.

    Attributes:
        kind: ``stdout``, ``stderr``, ``result``, or the number of the output pattern that it matches.
        local_path: where it is on this machine.
        remote_path: where it is on the site; empty if it was recorded by a version that did not keep this.
        size: in bytes; -1 if it was not recorded.
        sha256: in hexadecimal; empty if it is not known.
        modified_ns: when the local file was last modified, in nanoseconds since 1970; 0 if it was not recorded.
    """

    kind: str
    local_path: str
    remote_path: str = ""
    size: int = -1
    sha256: str = ""
    modified_ns: int = 0


@dataclass(frozen=True)
class Facts:
    """Facts about a collected job.

    Attributes:
        patterns: its declared outputs.
        logs: its collected ``stdout``, ``stderr`` and ``result.json``.
        files: its collected outputs: those that match a declared one.
        result: how its result is kept.
        problem: why it did not complete; empty if it did.
        traceback: what its function raised on the node; empty if nothing is known of that.
        last_lines: the last lines that it printed; empty if it printed none or has a traceback.
        printed_on: where it printed these lines, ``stderr`` or ``stdout``.
    """

    patterns: Sequence[str] = ()
    logs: Sequence[CollectedFile] = ()
    files: Sequence[CollectedFile] = ()
    result: ResultKind = ResultKind.NONE
    problem: str = ""
    traceback: str = ""
    last_lines: str = ""
    printed_on: str = ""

    @property
    def outputs(self) -> dict[str, list[str]]:
        """Pattern → the local paths of the files that match it."""
        found: dict[str, list[str]] = {pattern: [] for pattern in self.patterns}
        for file in self.files:
            found[self.patterns[int(file.kind)]].append(file.local_path)
        return {pattern: sorted(paths) for pattern, paths in found.items()}

    @property
    def remote_outputs(self) -> list[RemoteOutput]:
        """The declared outputs as they are on the site, each once."""
        return list(
            dict.fromkeys(RemoteOutput(one.remote_path, one.size, one.sha256) for one in self.files if one.remote_path)
        )

    def log(self, kind: str) -> str | None:
        """The local path of ``stdout`` or ``stderr``; None if it was not collected."""
        return next((file.local_path for file in self.logs if file.kind == kind), None)

    @property
    def error(self) -> str | None:
        """What happened; then the traceback, or the last lines of stderr or stdout. None if it completed."""
        if not self.problem:
            return None
        if self.traceback:
            return f"{self.problem}\n{self.traceback}"
        if self.last_lines:
            return f"{self.problem}\nlast lines of {self.printed_on} ({self.log(self.printed_on)}):\n{self.last_lines}"
        return self.problem

    def value(self, results: Mapping[str, Any]) -> Any:
        """The payload's result as it was returned; None if it left none.

        Args:
            results: of the job.
        """
        if self.result is ResultKind.VALUE and "result" in results:
            return results["result"]
        return None if self.result is ResultKind.NONE and not results else dict(results)
