"""A bundle goes to a site: spooled on disk here, recorded, sent in one remote command, its answers read.

What is large of it goes ahead, over several channels at once.

Whatever is cut or killed, the same bundle may be sent again: over there each batch is handed over at most once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scheduler import remote, spool, staging
from scheduler.batch.base import Accepted, BatchSystem, Outcome, Refused, Unknown
from scheduler.errors import BatchError, JobError
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
    spool.write(bundle, ledger.spool(bundle.token))
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
        spool.discard(ledger.spool(bundle.token))
    return keys


def send(token: str, site: Site, system: BatchSystem, ledger: Ledger, transport: Transport, *, again: bool) -> Answers:
    """Send a recorded bundle, or ask after it if it is there already, and record every answer.

    Args:
        again: batches that were tried without an answer, and that nobody has heard of since, are tried once more.

    Raises:
        TransportError: the line was cut: which batches were taken is not known yet. Nothing is lost.
        JobError: its pickles need another Python, or a large file has changed before it was sent; nothing was submitted
            and the record of it is struck out.
        BatchError: the program over there failed before any batch was tried (a work folder that cannot be written).
    """
    bundle, path = ledger.bundle(token), ledger.spool(token)
    work, running = Expanded(quote_path(site.work_dir, what="work_dir")), site.limits.running or 0
    pieces = _stage(path, (work, token), transport)
    changed = spool.changed(path)
    args = [work, token, str(running), bundle["probe"], "again" if again else "", pieces or ""]
    all_there = pieces is None or changed or "bundle" in pieces
    with spool.chunks(path) as chunks:
        sent = [spool.NOTHING] if all_there else chunks
        reply = transport.run(remote.program("submit", site.scheduler), args, stdin=sent, timeout=SEND_SECONDS)
    answers = read_answers(reply, system)
    if reply.exit_code != 0 and not answers.outcomes:
        raise BatchError(
            f"site {site.name!r}: nothing was submitted: {reply.err.strip() or reply.out.strip()}",
            command="submit", exit_code=reply.exit_code, words=reply.err,
        )  # fmt: skip
    if bundle["python"] and answers.python and answers.python != bundle["python"]:
        _forget(token, ledger)
        raise JobError(_other_python(site, bundle["python"], answers.python))
    if changed and answers.empty:
        _forget(token, ledger)
        raise JobError(f"{changed!r} was changed before it was sent; nothing was submitted. Submit again")
    _record_answers(token, answers, ledger, path)
    return answers


def _stage(path: Path, to: tuple[Expanded, str], transport: Transport) -> str | None:
    """Send what is large ahead. Gives how it is put together; None if the bundle is there already."""
    large = spool.large(path)
    if not large or spool.changed(path):
        return ""
    return staging.stage(large, to, transport, begun=spool.begun(path))


def _forget(token: str, ledger: Ledger) -> None:
    ledger.forget(token)
    spool.discard(ledger.spool(token))


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
        elif key.isdigit():
            code, _, words = rest.partition("\t")
            answers.outcomes[int(key)] = system.read_submit(int(code), words)
    return answers


def status_of(outcome: Outcome | None, system: BatchSystem) -> Status:
    """Where a job stands after the answer to its batch."""
    if isinstance(outcome, Accepted):
        return Status(JobState.QUEUED)
    if isinstance(outcome, Refused):
        reason = f"{system.submit_command} said no (exit code {outcome.exit_code}): {outcome.words}"
        return Status(JobState.FAILED, Cause.REFUSED, reason=reason)
    words = outcome.words.strip() if isinstance(outcome, Unknown) else ""
    return Status(JobState.SUBMITTING, reason=words or "not known yet whether the batch system has it")


def _record_answers(token: str, answers: Answers, ledger: Ledger, path: Path) -> None:
    if answers.folder and not answers.empty:
        ledger.record_folder(token, answers.folder)
    ids = {first: o.batch_id for first, o in answers.outcomes.items() if isinstance(o, Accepted)}
    if ids:
        ledger.record_ids(token, ids)
    known = {first for first, o in answers.outcomes.items() if not isinstance(o, Unknown)}
    if known >= {batch.first for batch in ledger.batches(token)}:
        ledger.record_sent(token)
        spool.discard(path)


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
