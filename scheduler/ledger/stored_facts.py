"""Facts of collected jobs as text of the ledger, and back. A long list of files is in a file of the state folder.

In the ledger a job has a mapping as JSON; if its list of files is long, ``@NAME`` and a line end come before it.
Results that a version before 6 recorded hold the facts too: they are taken apart when they are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from scheduler.errors import LedgerError
from scheduler.job.outcome.facts import CollectedFile, Facts, ResultKind
from scheduler.job.state import JobState, Status
from scheduler.ledger import large_results

_TEXTS = ("problem", "traceback", "last_lines", "printed_on")
_OLD_KEYS = ("exit_code", "output_files", "stdout", "stderr")
"""What older versions always put into the results of a collected job, in place of what its payload had under them."""


class LongList(Sequence[CollectedFile]):
    """A list of files that is read from the state folder when it is needed.

    Args:
        path: the file that holds it.
        patterns: how many declared outputs the job has.
    """

    def __init__(self, path: Path, patterns: int) -> None:
        self._path, self._patterns = path, patterns
        self._all: list[CollectedFile] | None = None

    def _read(self) -> list[CollectedFile]:
        if self._all is None:
            try:
                self._all = _files(json.loads(large_results.content(self._path)), self._patterns)
            except (OSError, ValueError, TypeError, RecursionError) as error:
                raise LedgerError(f"the list of a job's outputs cannot be read from {self._path}: {error}") from error
        return self._all

    @overload
    def __getitem__(self, index: int) -> CollectedFile: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[CollectedFile]: ...
    def __getitem__(self, index: int | slice) -> CollectedFile | Sequence[CollectedFile]:
        return self._read()[index]

    def __len__(self) -> int:
        return len(self._read())

    def __iter__(self) -> Iterator[CollectedFile]:
        return iter(self._read())


def stored(facts: Facts, folder: Path, *, name: str) -> str:
    """The text for the ledger. A long list of files is written to a file first.

    Args:
        facts: of a job.
        folder: the state folder.
        name: of the job's attempt: the name of the file begins with it.

    Raises:
        OSError: the file cannot be written.
    """
    values: dict[str, Any] = {name: value for name in _TEXTS if (value := getattr(facts, name))}
    values["logs"], files = list(facts.logs), json.dumps(list(facts.files))
    if facts.result is not ResultKind.NONE:
        values["result"] = facts.result.value
    if len(files) <= large_results.LARGE_BYTES:
        return json.dumps({**values, "files": json.loads(files)})
    target = large_results.write(files, folder, f"{name}.files.json")
    return f"@{target.name}\n{json.dumps(values)}"


def read(text: str, folder: Path, *, patterns: Sequence[str]) -> Facts:
    """The facts that `stored` gave as `text`.

    Args:
        text: from the ledger.
        folder: the state folder.
        patterns: the declared outputs of the job.

    Raises:
        ValueError, TypeError: they are no facts.
    """
    name, _, rest = text[1:].partition("\n") if text.startswith("@") else ("", "", text)
    values = json.loads(rest)
    if not isinstance(values, dict) or not all(isinstance(values.get(key, ""), str) for key in (*_TEXTS, "result")):
        raise ValueError("its facts are not those of a job")
    files: Sequence[CollectedFile] = _files(values.get("files", []), len(patterns))
    if name:
        files = LongList(folder / "results" / Path(name).name, len(patterns))
    logs, kind = _files(values.get("logs", []), 0), ResultKind(values.get("result", ResultKind.NONE.value))
    return Facts(patterns, logs, files, kind, **{key: values[key] for key in _TEXTS if key in values})


def complete(text: str, folder: Path) -> str:
    """The text with its whole list of files, for a copy of the ledger that has no state folder."""
    if not text.startswith("@"):
        return text
    name, _, rest = text[1:].partition("\n")
    try:
        files = json.loads(large_results.content(folder / "results" / Path(name).name))
        return json.dumps({**json.loads(rest), "files": files})
    except (OSError, ValueError, TypeError, RecursionError):
        return text


def of_older_version(
    results: Mapping[str, Any], status: Status, *, patterns: Sequence[str]
) -> tuple[Mapping[str, Any], Facts]:
    """Results that a version before 6 recorded, taken apart: those of the payload, and the facts.

    What a payload itself had under one of the keys of facts is lost. Whether it left no result or an empty one, and
    whether it returned a value or a mapping with the one key ``result``, cannot be told apart.

    Raises:
        ValueError: they are not the results of a job.
    """
    outputs, logs = results.get("output_files", {}), {kind: results.get(kind) for kind in ("stdout", "stderr")}
    if not isinstance(outputs, dict) or any(not isinstance(path, str | None) for path in logs.values()):
        raise ValueError("its results are not those of a job")
    files = [
        CollectedFile(str(number), str(path))
        for number, pattern in enumerate(patterns)
        for path in _paths(outputs.get(pattern, []))
    ]
    own_logs = [CollectedFile(kind, path) for kind, path in logs.items() if path]
    facts_of = {*_OLD_KEYS, "attempts"} if status.retries else set(_OLD_KEYS)
    problem = str(results.get("error") or status) if status.state is not JobState.COMPLETED else ""
    if isinstance(results, large_results.LargeResults):
        return results.without(facts_of), Facts(patterns, own_logs, files, ResultKind.OBJECT, problem)
    own = {key: value for key, value in results.items() if key not in facts_of}
    kind = ResultKind.OBJECT if own.keys() - ({"error"} if problem else set()) else ResultKind.NONE
    return own, Facts(patterns, own_logs, files, kind, problem)


def _paths(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError("its results are not those of a job")
    return value


def _files(values: object, patterns: int) -> list[CollectedFile]:
    """A list of files.

    Raises:
        ValueError, TypeError: it is none.
    """
    if not isinstance(values, list):
        raise ValueError("its files are no list")
    found = [CollectedFile(*value) for value in values]
    for file in found:
        texts, numbers = file[:3] + file[4:5], (file.size, file.modified_ns)
        if not all(isinstance(one, str) for one in texts) or not all(type(one) is int for one in numbers):
            raise ValueError("one of its files is none")
        if file.kind.isdecimal() and int(file.kind) >= patterns:
            raise ValueError("one of its files belongs to no pattern")
    return found
