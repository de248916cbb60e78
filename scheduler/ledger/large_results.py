"""Results of a job that are too large for the ledger: they are in a file of the state folder, and read when needed.

In the ledger such a job has ``@NAME`` and a line end, then a mapping as JSON: a version before 6 kept facts in it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from scheduler.schema.regular_file import read_regular

LARGE_BYTES = 64 << 10
"""The longest results, as JSON, that are in the ledger itself."""
MOST_DEPTH = 200
"""The deepest nesting of results that is read: programs that print or copy deeper ones fail."""
_MOST_TEXT = 8 << 10
_MOST_FILE_BYTES = 1 << 30
"""Numbers and letters of a result.json of the greatest size take at most five times its bytes."""
_TOO_DEEP = f"its results are nested deeper than {MOST_DEPTH} levels, and are not read"


class LargeResults(Mapping[str, Any]):
    """Results that are read from their file when they are first used.

    Args:
        path: the file.
        own: values that are in memory.
        hidden: keys that are no results of the payload.
    """

    def __init__(self, path: Path, own: Mapping[str, Any], *, hidden: Collection[str] = ()) -> None:
        self._path, self._own, self._hidden = path, own, frozenset(hidden)
        self._all: dict[str, Any] | None = None

    def __getitem__(self, key: str) -> Any:
        if key in self._own and key not in self._hidden:
            return self._own[key]
        return self._read()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __bool__(self) -> bool:
        return True

    def without(self, keys: Collection[str]) -> LargeResults:
        """The results without these keys."""
        return LargeResults(self._path, self._own, hidden=keys)

    def _read(self) -> dict[str, Any]:
        if self._all is None:
            try:
                found = json.loads(content(self._path))
                self._all = found if isinstance(found, dict) and not is_deep(found) else self._lost(_TOO_DEEP)
            except (OSError, ValueError, RecursionError) as error:
                self._all = self._lost(f"its results cannot be read from {self._path}: {error}")
            self._all = {key: value for key, value in self._all.items() if key not in self._hidden}
        return self._all

    def _lost(self, why: str) -> dict[str, Any]:
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
    target = write(text, folder, f"{name}.json")
    own = {"error": str(results["error"])[:_MOST_TEXT]} if "error" in results else {}
    return f"@{target.name}\n{json.dumps(own)}"


def write(text: str, folder: Path, name: str) -> Path:
    """Write a private file of the state folder, for text that is too long for the ledger. Returns its path.

    Raises:
        OSError: it cannot be written.
    """
    target = folder / "results" / name
    target.parent.mkdir(mode=0o700, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    with open(part, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(target)
    return target


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
        return LargeResults(folder / "results" / Path(name).name, json.loads(own))
    try:
        results = json.loads(text)
    except RecursionError:
        return {"error": _TOO_DEEP}
    if results is None:
        return None
    if not isinstance(results, dict):
        raise ValueError("its results are not those of a job")
    if is_deep(results):
        return {**{key: value for key, value in results.items() if not is_deep(value)}, "error": _TOO_DEEP}
    return results


def complete(text: str, folder: Path) -> str:
    """All results as JSON, for a copy of the ledger that has no state folder."""
    if not text.startswith("@"):
        return text
    with contextlib.suppress(OSError, ValueError):
        found = content(folder / "results" / Path(text[1:].partition("\n")[0]).name).decode()
        return found if found.startswith("{") else text
    return text


def content(path: Path) -> bytes:
    """The bytes of a file of `write`.

    Raises:
        OSError: it cannot be read, or is no regular file, or larger than results can be.
    """
    content = read_regular(path, most=_MOST_FILE_BYTES)
    if content is None:
        raise OSError(errno.EFBIG, "it is larger than results can be", str(path))
    return content
