"""Collect given finished jobs: download their outputs, then record their results."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scheduler.engine.collect import local_files
from scheduler.engine.collect.fetch import Progress, fetch
from scheduler.engine.collect.listing import ListTooLong, Manifest
from scheduler.engine.collect.local_paths import SharedFolders
from scheduler.engine.collect.manifest import manifest
from scheduler.engine.collect.output import CHANGING, Output
from scheduler.engine.collect.results import results_of
from scheduler.engine.context import SiteContext
from scheduler.errors import OutputError
from scheduler.job.outcome.facts import Facts
from scheduler.job.state import Cause, Status
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow

JOBS_PER_TRANSACTION = 1000
"""How many jobs' results are read and recorded at once: the results of ten thousand would need too much memory."""

JOBS_PER_LIST = 20_000
"""The outputs of so many jobs are listed at once: a list of those of a large campaign would need too much memory."""
MOST_SPLITS = 64
"""How many lists may be too long. Each is then read in two halves, until the job that makes it too long is alone."""

LISTS_OF_CHANGING, CHANGING_SECONDS = 3, 60.0
"""A job with an output that changes is given up after so many different lists of its outputs, in this time at least."""


def collect(rows: Sequence[JobRow], context: SiteContext, *, progress: Progress | None = None) -> None:
    """Download the outputs of finished jobs and record their results, in two remote commands for each `JOBS_PER_LIST`.

    Args:
        rows: the jobs. None of them is due for a retry.
        context: their site.
        progress: called while bytes arrive.

    Raises:
        OutputError: a file differs from the manifest, or cannot be written locally. The jobs that it does not name are
            collected.
        TransportError: the connection was lost. What has been downloaded is kept.
    """
    parts = [rows[start : start + JOBS_PER_LIST] for start in range(0, len(rows), JOBS_PER_LIST)][::-1]
    errors, splits = [], 0
    while parts:
        part = parts.pop()
        try:
            errors.append(_collect_at_once(part, context, progress))
        except ListTooLong as error:
            splits += 1
            if splits > MOST_SPLITS:
                raise OutputError(f"the outputs cannot be listed: of each of many jobs, {error}") from error
            parts += [part[len(part) // 2 :], part[: len(part) // 2]]
    if found := [error for error in errors if error is not None]:
        reasons = {key: why for error in found for key, why in error.reasons.items()}
        raise OutputError(str(found[0]), reasons=reasons, changing=all(error.changing for error in found))


def _collect_at_once(rows: Sequence[JobRow], context: SiteContext, progress: Progress | None) -> OutputError | None:
    """Collect these jobs. An error that names its jobs is returned: the others are collected."""
    submitted = [row for row in rows if row.folder is not None and row.status.cause is not Cause.REFUSED]
    with tempfile.TemporaryDirectory(prefix="scheduler-") as scratch:
        listed = _listed(submitted, context, Path(scratch))
        done = _Done(listed)
        error = _fetch(done, context, progress)
        if error is not None:
            error = _left_of(error, listed, context.ledger)
        complete = [row for row in rows if error is None or row.key not in error.jobs]
        for start in range(0, len(complete), JOBS_PER_TRANSACTION):
            _record(complete[start : start + JOBS_PER_TRANSACTION], done, context.ledger)
    return error


def _listed(rows: Sequence[JobRow], context: SiteContext, scratch: Path) -> Manifest:
    """The outputs of these jobs. One job alone with too many of them is bad; several raise ListTooLong."""
    try:
        shared = SharedFolders(context.ledger.of_folders((row.working_dir for row in rows), at_least=2))
        return manifest(rows, context.transport, scratch, shared=shared) if rows else Manifest()
    except ListTooLong as error:
        if len(rows) > 1:
            raise
        return Manifest(bad={rows[0].key: str(error)})


def _left_of(error: OutputError, listed: Manifest, ledger: Ledger) -> OutputError | None:
    """What is left of an error without the jobs whose outputs have been changing for too long: they are bad.

    The reasons are recorded in the histories of the other jobs, with a digest of the list of their outputs. Only other
    lists prove that a file changes, and not that the connection changes it.
    """
    reasons, texts = dict(error.reasons), dict[int, str]()
    for key, why in error.reasons.items():
        texts[key] = f"collect: {why}"
        if CHANGING in why:
            texts[key] += f" (listing {_digest(listed.of(key))})"
            before = [(at, text) for at, text in ledger.history(key) if CHANGING in text]
            lists = {text.rpartition(" (listing ")[2] for text in (texts[key], *(text for _, text in before))}
            if len(lists) >= LISTS_OF_CHANGING and time.time() - before[0][0] >= CHANGING_SECONDS:
                listed.bad[key] = why.replace(CHANGING, f"has changed for {CHANGING_SECONDS:.0f} s since the job ended")
                del reasons[key], texts[key]
    ledger.observe({}, texts)
    if not reasons:
        return None
    changing = all(CHANGING in why for why in reasons.values())
    return OutputError(next(iter(reasons.values())), reasons=reasons, changing=changing)


def _digest(outputs: Iterable[Output]) -> str:
    found = hashlib.sha256()
    for one in outputs:
        found.update(repr((one.remote_path, one.size, one.sha256, one.modified)).encode())
    return found.hexdigest()[:12]


def collect_again(
    rows: Sequence[JobRow], context: SiteContext, *, to: Path | None = None, progress: Progress | None = None
) -> None:
    """Download the outputs of collected jobs once more, in two remote commands. States and results stay as they are.

    Args:
        rows: the jobs.
        context: their site.
        to: a folder that gets a folder with the id of each job; None: where they were collected to.
        progress: called while bytes arrive.

    Raises:
        OutputError: an output does not exist on the site any more, or is another one; all others are downloaded.
        TransportError: the connection was lost. What has been downloaded is kept.
    """
    placed = [row if to is None else replace(row, working_dir=f"{to}/{row.job_id}") for row in rows]
    with tempfile.TemporaryDirectory(prefix="scheduler-") as scratch:
        done = _Done(_listed(placed, context, Path(scratch)))
        error = _fetch(done, context, progress)
        reasons = dict(error.reasons) if error is not None else {}
        facts = {row.key: results_of(row, done.listed, done.hashes)[2] for row in placed}
    for row in rows:
        if why := _lost_since(row, facts[row.key], done.listed):
            reasons.setdefault(row.key, f"job {row.job_id!r}: {why}")
    if to is None:
        good = {row.key: row for row in rows if row.key not in reasons and row.facts is not None}
        kept = {key: _with_files(row, facts[key]) for key, row in good.items()}
        retries = {key: row.retries for key, row in good.items()}
        context.ledger.record_results({key: dict(row.results or {}) for key, row in good.items()}, retries, facts=kept)
    if reasons:
        raise OutputError(next(iter(reasons.values())), reasons=reasons)


def _with_files(row: JobRow, now: Facts) -> Facts:
    assert row.facts is not None  # noqa: S101  (only such rows are recorded)
    return replace(row.facts, logs=now.logs, files=now.files)


def _lost_since(row: JobRow, now: Facts, listed: Manifest) -> str:
    """Why the outputs that are on the site now are not those that were collected; empty if they are."""
    if row.key in listed.bad or row.key in listed.gone:
        return listed.bad.get(row.key) or "its remote folder no longer exists"
    there = {one.path: one for one in now.remote_outputs}
    for one in row.facts.remote_outputs if row.facts is not None else ():
        if one.path not in there:
            return f"{one.path!r} no longer exists"
        if one.sha256 and there[one.path].sha256 not in ("", one.sha256):
            return f"{one.path!r} is not the file that was collected"
    return ""


@dataclass(frozen=True)
class _Done:
    """What was downloaded.

    Attributes:
        listed: the outputs.
        kept: local path of an output → the name of the file that somebody else had written there.
        hashes: remote path of a large output → its SHA-256.
    """

    listed: Manifest
    kept: dict[str, str] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)


def _fetch(done: _Done, context: SiteContext, progress: Progress | None) -> OutputError | None:
    """Download all outputs. An error that names its jobs is returned, so that the other jobs are recorded first."""
    kept, hashes, is_local = done.kept, done.hashes, context.site.is_local
    try:
        fetch(done.listed.outputs, context.transport, progress, kept=kept, hashes=hashes, on_this_machine=is_local)
    except OutputError as error:
        if not error.jobs:
            raise
        return error
    return None


def _record(rows: Sequence[JobRow], done: _Done, ledger: Ledger) -> None:
    """Record the results and facts of jobs whose outputs are in place."""
    listed = done.listed
    statuses, results, facts = dict[int, Status](), dict[int, Mapping[str, Any]](), dict[int, Facts]()
    notes = {row.key: _notes(row, listed, done.kept) for row in rows}
    for row in rows:
        outputs = listed.of(row.key)
        local_files.remove_leftovers([output.where for output in outputs])
        done.hashes.update(_hashes_of_itself(outputs, done.hashes))
        status, results[row.key], facts[row.key] = results_of(row, listed, done.hashes)
        reason = "; ".join(filter(None, [status.reason, *notes[row.key]]))
        statuses[row.key] = replace(status, reason=reason)
    changed = {row.key: statuses[row.key] for row in rows if statuses[row.key] != row.status}
    texts = {row.key: _text(row, listed, notes[row.key]) for row in rows}
    texts |= {key: f"outputs: {status}: {status.reason}" for key, status in changed.items() if not notes[key]}
    ledger.observe(changed, texts)
    ledger.record_results(results, {row.key: row.retries for row in rows}, facts=facts)


def _hashes_of_itself(outputs: Sequence[Output], known: Mapping[str, str]) -> dict[str, str]:
    """The SHA-256 of large outputs that were not sent, because the job left them where they are on this machine."""
    found = dict[str, str]()
    for output in outputs:
        if not output.sha256 and output.remote_path not in known:
            with contextlib.suppress(OSError), Path(output.local_path).open("rb") as file:
                found[output.remote_path] = local_files.sha256_of(file.fileno())
    return found


def _text(row: JobRow, listed: Manifest, notes: Sequence[str]) -> str:
    """What happened to the outputs of a job, for its history."""
    return "; ".join([f"collected: {len(listed.of(row.key))} files downloaded", *notes])


def _notes(row: JobRow, listed: Manifest, kept: Mapping[str, str]) -> list[str]:
    """What the user should know about the outputs of a job, whatever its state is."""
    notes = [
        f"{Path(output.local_path).name} had been changed locally; the changed file is now {kept[output.local_path]}"
        for output in listed.of(row.key)
        if output.local_path in kept
    ]
    if listed.of_git[row.key]:
        notes.append(f"{listed.of_git[row.key]} files in .git folders were not downloaded")
    return list(dict.fromkeys(notes))
