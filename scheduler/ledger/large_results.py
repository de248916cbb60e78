"""Results of a job that are too large for the ledger: they are in a file of the state folder, and read when needed.

In the ledger such a job has ``@NAME`` and a line end, then the results without what its payload returned, as JSON.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scheduler.schema.regular_file import read_regular

LARGE_BYTES = 64 << 10
"""The longest results, as JSON, that are in the ledger itself."""
MOST_DEPTH = 200
"""The deepest nesting of results that is read: programs that print or copy deeper ones fail."""
OF_EVERY_JOB = ("exit_code", "output_files", "stdout", "stderr", "attempts", "error")
"""The keys of results that do not come from the payload."""
_MOST_TEXT = 8 << 10
_MOST_FILE_BYTES = 1 << 30
"""Numbers and letters of a result.json of the greatest size take at most five times its bytes."""
_TOO_DEEP = f"its results are nested deeper than {MOST_DEPTH} levels, and are not read"


class LargeResults(Mapping[str, Any]):
    """Results of which only those of every job are in memory. Any other access reads the file.

    Args:
        own: the values of `OF_EVERY_JOB`.
        path: the file with all results.
    """

    def __init__(self, own: Mapping[str, Any], path: Path) -> None:
        self._own, self._path = own, path
        self._all: dict[str, Any] | None = None

    def __getitem__(self, key: str) -> Any:
        return self._own[key] if key in self._own else self._read()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __bool__(self) -> bool:
        return True

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key. A key of every job is not looked for in the file."""
        return self._own.get(key, default) if key in OF_EVERY_JOB else self._read().get(key, default)

    def _read(self) -> dict[str, Any]:
        if self._all is None:
            try:
                found = json.loads(_content(self._path))
                self._all = found if isinstance(found, dict) and not is_deep(found) else self._without(_TOO_DEEP)
            except (OSError, ValueError, RecursionError) as error:
                self._all = self._without(f"its results cannot be read from {self._path}: {error}")
        return self._all

    def _without(self, why: str) -> dict[str, Any]:
        return {**self._own, "error": "\n".join(filter(None, [str(self._own.get("error") or ""), why]))}


def is_deep(value: object) -> bool:
    """Whether lists and mappings are nested deeper than `MOST_DEPTH`."""
    level: list[object] = [value]
    for _ in range(MOST_DEPTH):
        containers = [one for one in level if isinstance(one, dict | list)]
        level = [inner for one in containers for inner in (one.values() if isinstance(one, dict) else one)]
        if not level:
            return False
    return any(isinstance(one, dict | list) for one in level)


def stored(results: Mapping[str, Any], folder: Path, *, name: str) -> str:
    """The text for the ledger. Large results are written to a file first.

    Args:
        results: of a job.
        folder: the state folder.
        name: of the job's attempt: the name of the file.

    Raises:
        OSError: the file cannot be written.
    """
    text = json.dumps(results)
    if len(text) <= LARGE_BYTES:
        return text
    target = folder / "results" / f"{name}.json"
    target.parent.mkdir(mode=0o700, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    with open(part, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(target)
    own = {key: results[key] for key in OF_EVERY_JOB if key in results and len(json.dumps(results[key])) <= _MOST_TEXT}
    if "error" in results and "error" not in own:
        own["error"] = str(results["error"])[:_MOST_TEXT]
    return f"@{target.name}\n{json.dumps(own)}"


def read(text: str | None, folder: Path) -> Mapping[str, Any] | None:
    """The results that `stored` gave as `text`; of an earlier version all are in the text.

    Args:
        text: from the ledger.
        folder: the state folder.

    Raises:
        ValueError: they are no results.
    """
    if not text:
        return None
    if text.startswith("@"):
        name, _, own = text[1:].partition("\n")
        return LargeResults(json.loads(own), folder / "results" / Path(name).name)
    try:
        results = json.loads(text)
    except RecursionError:
        return {"error": _TOO_DEEP}
    if results is None:
        return None
    if not isinstance(results, dict):
        raise ValueError("its results are not those of a job")
    if is_deep(results):
        return {**{key: results.get(key) for key in OF_EVERY_JOB if key in results}, "error": _TOO_DEEP}
    return results


def complete(text: str, folder: Path) -> str:
    """All results as JSON, for a copy of the ledger that has no state folder."""
    if not text.startswith("@"):
        return text
    with contextlib.suppress(OSError, ValueError):
        found = _content(folder / "results" / Path(text[1:].partition("\n")[0]).name).decode()
        return found if found.startswith("{") else text
    return text


def _content(path: Path) -> bytes:
    """The bytes of a file of `stored`.

    Raises:
        OSError: it cannot be read, or is no regular file, or larger than results can be.
    """
    content = read_regular(path, most=_MOST_FILE_BYTES)
    if content is None:
        raise OSError(errno.EFBIG, "it is larger than results can be", str(path))
    return content
