"""A bundle goes to a site: spooled on disk here, recorded, sent in one remote command, its answers read.

Whatever is cut or killed, the same bundle may be sent again: over there each batch is handed over at most once.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scheduler import remote
from scheduler.batch.base import Accepted, BatchSystem, Outcome, Refused, Unknown
from scheduler.errors import BatchError, JobError, LedgerError
from scheduler.job.job import Job
from scheduler.job.state import Cause, JobState, Status
from scheduler.ledger import Ledger
from scheduler.ledger_rows import JobRow
from scheduler.quoting import quote_path
from scheduler.render import Bundle
from scheduler.site.site import Site
from scheduler.transports.base import Expanded, Reply, Transport

SEND_SECONDS = 300.0
"""So long nothing may come or go while a bundle is sent: an answer of a frozen controller takes 10 s."""


@dataclass
class Answers:
    """What a site said to a bundle: its folder, and an outcome for each batch by its first element."""

    folder: str = ""
    busy: str = ""
    empty: bool = False
    python: str = ""
    outcomes: dict[int, Outcome] = field(default_factory=dict)


def record(bundle: Bundle, site: Site, ledger: Ledger, *, campaign: str | None) -> list[int]:
    """The bundle and the intent to send it, on disk, before the first byte leaves. Gives the ledger's keys.

    None are given, and nothing is recorded, if another process has recorded a job of this campaign meanwhile.
    """
    write_spool(bundle, ledger.spool(bundle.token))
    batches = [(one.first, len(one.jobs), one.name) for one in bundle.batches]
    jobs = [
        _job_values(job, element, one.first, campaign)
        for one in bundle.batches
        for element, job in enumerate(one.jobs, start=one.first)
    ]
    keys = ledger.record_intent(
        token=bundle.token, site=site.name, site_json=site.to_json(), python=bundle.python,
        probe=bundle.python_probe, batches=batches, jobs=jobs,
    )  # fmt: skip
    if not keys:
        ledger.spool(bundle.token).unlink(missing_ok=True)
    return keys


def send(token: str, site: Site, system: BatchSystem, ledger: Ledger, transport: Transport, *, again: bool) -> Answers:
    """Send a recorded bundle, or ask after it if it is there already, and record every answer.

    Args:
        again: batches that were tried without an answer, and that nobody has heard of since, are tried once more.

    Raises:
        TransportError: the line was cut: which batches were taken is not known yet. Nothing is lost.
        JobError: its pickles need another Python; nothing was submitted and the record of it is struck out.
        BatchError: the program over there failed before any batch was tried (a work folder that cannot be written).
    """
    bundle = ledger.bundle(token)
    running = site.limits.running or 0
    args: list[str | Expanded] = [Expanded(quote_path(site.work_dir, what="work_dir")), token, str(running)]
    args += [bundle["probe"], "again" if again else ""]
    spool = ledger.spool(token)
    with _chunks(spool) as chunks:
        reply = transport.run(remote.program("submit", site.scheduler), args, stdin=chunks, timeout=SEND_SECONDS)
    answers = read_answers(reply, system)
    if reply.exit_code != 0 and not answers.outcomes:
        raise BatchError(
            f"site {site.name!r}: nothing was submitted: {reply.err.strip() or reply.out.strip()}",
            command="submit", exit_code=reply.exit_code, words=reply.err,
        )  # fmt: skip
    if bundle["python"] and answers.python and answers.python != bundle["python"]:
        ledger.forget(token)
        spool.unlink(missing_ok=True)
        raise JobError(_other_python(site, bundle["python"], answers.python))
    _record_answers(token, answers, ledger, spool)
    return answers


def read_answers(reply: Reply, system: BatchSystem) -> Answers:
    """The lines that submit.sh prints. A batch of which it says nothing has no answer yet."""
    answers = Answers()
    for line in reply.out.splitlines():
        key, _, rest = line.partition("\t")
        if key == "folder":
            answers.folder = rest
        elif key == "busy":
            answers.busy = rest
        elif key == "empty":
            answers.empty = True
        elif key == "python":
            answers.python = rest.strip()
        elif _is_number(key):
            code, _, words = rest.partition("\t")
            if _is_number(code):
                answers.outcomes[int(key)] = system.read_submit(int(code), words)
    return answers


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) < 10


def status_of(outcome: Outcome | None, system: BatchSystem) -> Status:
    """Where a job stands after the answer to its batch."""
    if isinstance(outcome, Accepted):
        return Status(JobState.QUEUED)
    if isinstance(outcome, Refused):
        reason = f"{system.submit_command} said no (exit code {outcome.exit_code}): {outcome.words}"
        return Status(JobState.FAILED, Cause.REFUSED, reason=reason)
    words = outcome.words.strip() if isinstance(outcome, Unknown) else ""
    return Status(JobState.SUBMITTING, reason=words or "not known yet whether the batch system has it")


def write_spool(bundle: Bundle, path: Path) -> None:
    """The bundle as a gzipped tar, whole or not at all.

    Raises:
        LedgerError: it cannot be written here.
        JobError: a file of the user cannot be read.
    """
    part = path.with_suffix(".part")
    try:
        with open(part, "wb", opener=_for_me_alone) as raw:
            with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, mtime=0) as packed:
                _write_tar(bundle, packed)
            raw.flush()
            os.fsync(raw.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise LedgerError(f"cannot write the bundle {path}: {error}; nothing was sent") from error


def _for_me_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _write_tar(bundle: Bundle, packed: gzip.GzipFile) -> None:
    with tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for name, content in bundle.files.items():
            if isinstance(content, bytes):
                tar.addfile(_member(name, len(content)), io.BytesIO(content))
            else:
                _add_path(tar, name, content)


def _add_path(tar: tarfile.TarFile, name: str, path: Path) -> None:
    """A file of the user, links followed; a folder with all that is in it."""
    if path.is_dir():
        tar.addfile(_member(name, 0, kind=tarfile.DIRTYPE))
        for inside in sorted(path.iterdir()):
            _add_path(tar, f"{name}/{inside.name}", inside)
        return
    try:
        with path.open("rb") as content:
            status = os.fstat(content.fileno())
            runs = bool(status.st_mode & 0o100) or content.read(2) == b"#!"
            content.seek(0)
            tar.addfile(_member(name, status.st_size, runs=runs), content)
    except OSError as error:
        raise JobError(f"the file {str(path)!r} cannot be sent: {error}") from error


def _member(name: str, size: int, *, kind: bytes = tarfile.REGTYPE, runs: bool = False) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    member.mode = 0o700 if runs or kind == tarfile.DIRTYPE else 0o600
    return member


@contextlib.contextmanager
def _chunks(path: Path) -> Iterator[Iterator[bytes]]:
    """The file piece by piece; nothing, if it is not needed any more."""
    if not path.exists():
        yield iter([_NOTHING])
        return
    with path.open("rb") as file:
        yield iter(lambda: file.read(1 << 18), b"")


def _empty_tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz"):
        pass
    return buffer.getvalue()


_NOTHING = _empty_tar()


def _record_answers(token: str, answers: Answers, ledger: Ledger, spool: Path) -> None:
    if answers.folder and not answers.empty:
        ledger.record_folder(token, answers.folder)
    ids = {first: o.batch_id for first, o in answers.outcomes.items() if isinstance(o, Accepted)}
    if ids:
        ledger.record_ids(token, ids)
    known = {first for first, o in answers.outcomes.items() if not isinstance(o, Unknown)}
    if known >= {batch.first for batch in ledger.batches(token)}:
        ledger.record_sent(token)
        spool.unlink(missing_ok=True)


def record_statuses(answers: Answers, rows: Sequence[JobRow], system: BatchSystem, ledger: Ledger) -> None:
    """Write down what the answers mean for the jobs that were still on their way."""
    changes = {}
    for row in rows:
        if row.status.state is JobState.SUBMITTING and row.first in answers.outcomes:
            changes[row.key] = status_of(answers.outcomes[row.first], system)
    said = {key: f"submit: {status.reason or 'accepted'}" for key, status in changes.items()}
    ledger.observe(changes, said)


def _job_values(job: Job, element: int, first: int, campaign: str | None) -> dict[str, object]:
    return {
        "first": first,
        "element": element,
        "job_id": job.job_id,
        "campaign": campaign,
        "type": job.job_type.value,
        "working_dir": job.working_dir,
        "patterns": json.dumps(job.output_files),
    }


def _other_python(site: Site, needed: str, theirs: str) -> str:
    return (
        f"site {site.name!r}: a function goes by cloudpickle, which needs Python {needed} over there as here; "
        f"{site.python!r} is {theirs}. Nothing was submitted. Make it a module-level function with params that "
        f"JSON can hold, set the site's `python:` to a Python {needed}, or run it in a container that has one"
    )
