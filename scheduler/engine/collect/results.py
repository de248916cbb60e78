"""What a job's collected outputs mean: its results, its error in full, whether it completed. Reads local files only."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scheduler.engine import file_end
from scheduler.engine.collect import local_files
from scheduler.engine.collect.listing import Manifest
from scheduler.engine.collect.output import Output
from scheduler.job.remote_text import cut
from scheduler.job.state import Cause, JobState, Status
from scheduler.ledger.large_results import MOST_DEPTH, is_deep
from scheduler.ledger.rows import JobRow

MOST_RESULT_BYTES = 64 << 20
"""The largest result.json: it is held in memory, and in the ledger."""
MOST_ERROR_CHARACTERS = 1 << 20
_LAST_LINES = 15
_LAST_BYTES = 16384


def results_of(row: JobRow, manifest: Manifest) -> tuple[Status, dict[str, Any]]:
    """A finished job's final status and results, once its outputs are local.

    Args:
        row: the job.
        manifest: its outputs.

    Returns:
        Its status: `JobState.FAILED` instead of completed if a declared output or a valid ``result.json`` is missing,
        or an output cannot be collected.
        And its results: the contents of its ``result.json``; then ``exit_code``, ``output_files`` (pattern → local
        paths), ``stdout`` and ``stderr`` (local paths), ``attempts`` if there were several, and ``error`` if it did not
        complete.
    """
    outputs = manifest.of(row.key)
    if row.key in manifest.bad:
        outputs = [output for output in outputs if os.path.lexists(output.local_path)]
    own, problem = _own_results(outputs)
    bad = manifest.bad.get(row.key, "")
    status = _checked(row, outputs, problem, gone=row.key in manifest.gone, bad=bad)
    results = {**own, "exit_code": status.exit_code, "output_files": _by_pattern(row, outputs)}
    if row.retries:
        results["attempts"] = row.retries + 1
    for kind in ("stdout", "stderr"):
        results[kind] = next((output.local_path for output in outputs if output.kind == kind), None)
    if status.state is not JobState.COMPLETED:
        results["error"] = _error(status, outputs, bad)
    return status, results


def _own_results(outputs: Sequence[Output]) -> tuple[dict[str, Any], str]:
    """What the job wrote to result.json, and what is wrong with that file."""
    for output in outputs:
        if output.kind == "result":
            try:
                content = _read(output) if output.size <= MOST_RESULT_BYTES else b""
                if max(output.size, len(content)) > MOST_RESULT_BYTES:
                    most = MOST_RESULT_BYTES >> 20
                    return {}, f"its result.json is larger than {most} MiB; write large data to a file of output_files"
                value = json.loads(content.decode())
            except (OSError, ValueError, RecursionError) as error:
                return {}, f"its result.json is not JSON: {error}"
            own = value if isinstance(value, dict) else {"result": value}
            if is_deep(own):
                return {}, f"its result.json is nested deeper than {MOST_DEPTH} levels"
            return own, ""
    return {}, ""


def _read(output: Output) -> bytes:
    """The bytes of a local result.json, at most one more than it may have, whatever size was listed.

    Raises:
        OSError: it cannot be read, or is a link to what the site did not list.
    """
    try:
        file = local_files.open_file(output.where)
    except OSError:
        if os.path.realpath(output.remote_path) != os.path.realpath(output.local_path):
            raise
        file = os.open(
            output.local_path, os.O_RDONLY | os.O_NONBLOCK
        )  # the job left a link where it ran, on this machine
    with os.fdopen(file, "rb") as content:
        return content.read(MOST_RESULT_BYTES + 1)


def _checked(row: JobRow, outputs: Sequence[Output], problem: str, *, gone: bool, bad: str) -> Status:
    """A job is completed only if its declared outputs are local and its result.json is valid."""
    status = row.status
    if status.state is not JobState.COMPLETED:
        return status
    if bad:
        return replace(status, state=JobState.FAILED, cause=Cause.BAD_OUTPUT, reason=bad)
    found = {output.kind for output in outputs}
    missing = [pattern for n, pattern in enumerate(row.patterns) if str(n) not in found]
    if gone:
        problem = "its remote folder no longer exists, so its outputs cannot be downloaded"
    elif missing:
        problem = f"no file matches the declared output {missing[0]}"
    return replace(status, state=JobState.FAILED, cause=Cause.MISSING_OUTPUT, reason=problem) if problem else status


def _by_pattern(row: JobRow, outputs: Sequence[Output]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {pattern: [] for pattern in row.patterns}
    for output in outputs:
        if output.kind.isdecimal():
            found[row.patterns[int(output.kind)]].append(output.local_path)
    return {pattern: sorted(paths) for pattern, paths in found.items()}


def _error(status: Status, outputs: Sequence[Output], bad: str) -> str:
    """What happened; then the traceback, or the last lines of stderr or stdout and where that file is."""
    lines = [f"{status}: {status.reason}" if status.reason else str(status)]
    lines += [f"not collected: {bad}"] if bad and bad != status.reason else []
    remote = next((_exception(Path(output.local_path)) for output in outputs if output.kind == "error"), "")
    if "\n" in remote:  # a traceback, which also ends stderr
        return "\n".join([*lines, remote])
    lines += [remote] if remote else []
    for kind in ("stderr", "stdout"):
        path = next((Path(output.local_path) for output in outputs if output.kind == kind), None)
        printed = last_lines(path, _LAST_LINES) if path is not None else ""
        if printed:
            return "\n".join([*lines, f"last lines of {kind} ({path}):", printed])
    return "\n".join(lines)


def _exception(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            error = json.loads(file.read(MOST_ERROR_CHARACTERS))
        return cut(str(error.get("traceback") or f"{error.get('type')}: {error.get('message')}"), _LAST_BYTES)
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""


def last_lines(path: Path, count: int) -> str:
    """The last lines of a local text file; empty if it cannot be read.

    Args:
        path: the file. Bytes that are not UTF-8 are shown as escapes.
        count: how many lines.
    """
    try:
        end = file_end.end_of_file(path, _LAST_BYTES)
    except OSError:
        return ""
    return "\n".join(file_end.last_lines(end.rstrip(), count))
