"""What a job's collected outputs mean: its results, its error in full, whether it completed. Reads local files only."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scheduler.engine import file_end
from scheduler.engine.collect import local_files
from scheduler.engine.collect.listing import Manifest
from scheduler.engine.collect.output import Output
from scheduler.job.interface import JobType
from scheduler.job.outcome.facts import CollectedFile, Facts, ResultKind
from scheduler.job.remote_text import cut
from scheduler.job.state import Cause, JobState, Status
from scheduler.ledger.large_results import MOST_DEPTH, is_deep
from scheduler.ledger.rows import JobRow

MOST_RESULT_BYTES = 64 << 20
"""The largest result.json: it is held in memory, and in the ledger."""
MOST_ERROR_CHARACTERS = 1 << 20
_WRAPPED = b'{"result":\n'
"""How run_function.py begins the result.json of a function that returned no mapping."""
_LAST_LINES = 15
_LAST_BYTES = 16384


def results_of(
    row: JobRow, manifest: Manifest, hashes: Mapping[str, str] | None = None
) -> tuple[Status, dict[str, Any], Facts]:
    """A finished job's final status, results and facts, once its outputs are local.

    Args:
        row: the job.
        manifest: its outputs.
        hashes: remote path of a large output → its SHA-256, which the manifest does not have.

    Returns:
        Its status: `JobState.FAILED` instead of completed if a declared output or a valid ``result.json`` is missing,
        or an output cannot be collected. Its results: what it returned or wrote to ``result.json``, and ``error`` if it
        did not complete. And what else is known of it.
    """
    outputs = manifest.of(row.key)
    if row.key in manifest.bad:
        outputs = [output for output in outputs if os.path.lexists(output.local_path)]
    results, kind, invalid = _own_results(row, outputs)
    bad = manifest.bad.get(row.key, "")
    status = _checked(row, outputs, invalid, gone=row.key in manifest.gone, bad=bad)
    files = [_collected(output, hashes or {}) for output in outputs if output.kind != "error"]
    declared = [file for file in files if file.kind.isdecimal()]
    facts = Facts(row.patterns, [file for file in files if not file.kind.isdecimal()], declared, kind)
    if status.state is not JobState.COMPLETED:
        facts = _with_problem(facts, status, outputs, bad)
        results["error"] = facts.error
    return status, results, facts


def _collected(output: Output, hashes: Mapping[str, str]) -> CollectedFile:
    try:
        modified = os.stat(output.local_path).st_mtime_ns  # noqa: PTH116  (a Path costs more than the call)
    except OSError:
        modified = 0
    sha256 = output.sha256 or hashes.get(output.remote_path, "")
    return CollectedFile(output.kind, output.local_path, output.remote_path, output.size, sha256, modified)


def _own_results(row: JobRow, outputs: Sequence[Output]) -> tuple[dict[str, Any], ResultKind, str]:
    """What the job returned or wrote to result.json, and what is wrong with that file."""
    none = ResultKind.NONE
    for output in outputs:
        if output.kind == "result":
            try:
                content = _read(output) if output.size <= MOST_RESULT_BYTES else b""
                if max(output.size, len(content)) > MOST_RESULT_BYTES:
                    most, do = MOST_RESULT_BYTES >> 20, "write large data to a file of output_files"
                    return {}, none, f"its result.json is larger than {most} MiB; {do}"
                value = json.loads(content.decode())
            except (OSError, ValueError, RecursionError) as error:
                return {}, none, f"its result.json is not JSON: {error}"
            own = value if isinstance(value, dict) else {"result": value}
            if is_deep(own):
                return {}, none, f"its result.json is nested deeper than {MOST_DEPTH} levels"
            is_value = own is not value or (row.type == JobType.FUNCTION.value and content.startswith(_WRAPPED))
            return own, ResultKind.VALUE if is_value else ResultKind.OBJECT, ""
    return {}, none, ""


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


def _with_problem(facts: Facts, status: Status, outputs: Sequence[Output], bad: str) -> Facts:
    """The facts with what happened; and the traceback, or the last lines of stderr or stdout."""
    lines = [f"{status}: {status.reason}" if status.reason else str(status)]
    lines += [f"not collected: {bad}"] if bad and bad != status.reason else []
    remote = next((_exception(Path(output.local_path)) for output in outputs if output.kind == "error"), "")
    if "\n" in remote:  # a traceback, which also ends stderr
        return replace(facts, problem="\n".join(lines), traceback=remote)
    lines += [remote] if remote else []
    facts = replace(facts, problem="\n".join(lines))
    for kind in ("stderr", "stdout"):
        path = facts.log(kind)
        printed = last_lines(Path(path), _LAST_LINES) if path is not None else ""
        if printed:
            return replace(facts, last_lines=printed, printed_on=kind)
    return facts


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
