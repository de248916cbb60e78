"""A bundle goes to a site: spooled on disk here, recorded, sent in one remote command, its answers read.

What is large of it goes ahead, over several channels at once.

Whatever is cut or killed, the same bundle may be sent again: over there each batch is handed over at most once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from scheduler.batch.base import BatchSystem
from scheduler.batch.indices import write_indices
from scheduler.batch.outcome import Accepted, Full, Outcome, Refused, Unknown
from scheduler.engine import programs
from scheduler.engine.submit import spool, upload
from scheduler.errors import BatchError, JobError
from scheduler.job.job import Job
from scheduler.job.state import Cause, JobState, Status
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import BatchRow, JobRow, Slot, StateRow
from scheduler.quoting import quote_path
from scheduler.render.bundle import Bundle
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
    asked = cache(lambda want: json.dumps(want.to_json()))
    spool.write(bundle.files, ledger.spool(bundle.token), together=bundle.together)
    batches = [(one.first, len(one.jobs), one.name, one.packed) for one in bundle.batches]
    jobs = [
        {**_job_values(job, element, one.first, campaign), "resources": asked(want), "retry": _retry_of(job, site)}
        for one in bundle.batches
        for element, (job, want) in enumerate(zip(one.jobs, one.resources, strict=True), start=one.first)
    ]
    keys = ledger.record_intent(
        token=bundle.token, site=site.name, site_json=site.to_json(), python=bundle.python,
        probe=bundle.python_probe, batches=batches, jobs=jobs,
    )  # fmt: skip
    if not keys:
        spool.discard(ledger.spool(bundle.token))
    return keys


def send(token: str, site: Site, system: BatchSystem, ledger: Ledger, transport: Transport, *, again: bool) -> Answers:
    """Send a recorded bundle, or ask after it if it is there already, and record every answer. Of its batches those are
    handed over that have a place.

    Args:
        again: batches that were tried without an answer, and that nobody has heard of since, are tried once more.

    Raises:
        TransportError: the line was cut: which batches were taken is not known yet. Nothing is lost.
        JobError: its pickles need another Python, or a large file has changed before it was sent; nothing was submitted
            and the record of it is struck out.
        BatchError: the program over there failed before any batch was tried (a work folder that cannot be written).
    """
    bundle, path = ledger.bundle(token), ledger.spool(token)
    work = Expanded(quote_path(site.work_dir, what="work_dir"))
    pieces = _stage(path, (work, token), transport)
    changed = spool.changed(path)
    all_there = pieces is None or changed or "bundle" in pieces
    with spool.chunks(path) as chunks:
        sent = [spool.NOTHING] if all_there else chunks
        answers = _exchange(token, site, system, ledger, transport, sent=sent, again=again, pieces=pieces or "")
    if bundle["python"] and answers.python and answers.python != bundle["python"]:
        _forget(token, ledger)
        raise JobError(_other_python(site, bundle["python"], answers.python))
    if changed and answers.empty:
        _forget(token, ledger)
        raise JobError(f"{changed!r} was changed before it was sent; nothing was submitted. Submit again")
    if answers.empty and not path.exists():
        _record_lost(token, ledger)
    _record_answers(token, site.name, answers, ledger)
    return answers


def ask(token: str, site: Site, system: BatchSystem, ledger: Ledger, transport: Transport) -> Answers:
    """What became of a bundle whose sending was cut: the same question without the bundle. What has arrived is handed
    over; if nothing has, `empty` says so.

    Raises:
        TransportError, BatchError: as `send`.
    """
    answers = _exchange(token, site, system, ledger, transport, sent=[spool.NOTHING], again=False)
    _record_answers(token, site.name, answers, ledger)
    return answers


def _stage(path: Path, to: tuple[Expanded, str], transport: Transport) -> str | None:
    """Send what is large ahead. Gives how it is put together; None if the bundle is there already."""
    large = spool.large(path)
    if not large or spool.changed(path):
        return ""
    return upload.stage(large, to, transport, begun=spool.begun(path))


def _forget(token: str, ledger: Ledger) -> None:
    ledger.forget(token)
    spool.discard(ledger.spool(token))


def _exchange(
    token: str, site: Site, system: BatchSystem, ledger: Ledger, transport: Transport, *,
    sent: Iterable[bytes], again: bool, pieces: str = "",
) -> Answers:  # fmt: skip
    bundle = ledger.bundle(token)
    running = site.limits.running or 0
    args: list[str | Expanded] = [Expanded(quote_path(site.work_dir, what="work_dir")), token, str(running)]
    args += [bundle["probe"], *_which(ledger.batches(token), ledger.states(token), again=again), pieces]
    reply = transport.run(programs.program("submit", site.scheduler), args, stdin=sent, timeout=SEND_SECONDS)
    answers = read_answers(reply, system)
    if reply.exit_code != 0 and not answers.outcomes:
        raise BatchError(
            f"site {site.name!r}: nothing was submitted: {reply.err.strip() or reply.out.strip()}",
            command="submit", exit_code=reply.exit_code, words=reply.err,
        )  # fmt: skip
    return answers


def _which(batches: Sequence[BatchRow], rows: Sequence[StateRow], *, again: bool) -> list[str]:
    """What submit.sh is told of them: which may be handed over, which of those once more, which jobs never run."""
    now = [batch for batch in batches if batch.slot is Slot.HAS]
    unheard = {row.first for row in rows if row.state is JobState.SUBMITTING}
    twice = [b.first for b in now if b.batch_id is None and b.first in unheard and (again or b.full)]
    waited = {batch.first for batch in now if batch.batch_id is None}
    never = [row.element for row in rows if row.first in waited and row.state is JobState.CANCELLED]
    return [write_indices(batch.first for batch in now), write_indices(twice), write_indices(never)]


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
            answers.outcomes[int(key)] = _outcome(code, words, system)
    return answers


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) < 10


def _outcome(code: str, words: str, system: BatchSystem) -> Outcome:
    """A batch without an exit code was not tried (the disk is full), or its exit code could not be written down."""
    if not _is_number(code):
        return Unknown(words, None)
    return system.read_submit(int(code), words)


def status_of(outcome: Outcome | None, system: BatchSystem) -> Status:
    """Where a job stands after the answer to its batch."""
    if isinstance(outcome, Accepted):
        return Status(JobState.QUEUED)
    if isinstance(outcome, Full):
        return Status(JobState.SUBMITTING, reason=f"waits for a place: {outcome.words}")
    if isinstance(outcome, Refused):
        reason = f"{system.submit_command} said no (exit code {outcome.exit_code}): {outcome.words}"
        return Status(JobState.FAILED, Cause.REFUSED, reason=reason)
    words = outcome.words.strip() if isinstance(outcome, Unknown) else ""
    return Status(JobState.SUBMITTING, reason=words or "not known yet whether the batch system has it")


def _record_lost(token: str, ledger: Ledger) -> None:
    """The site does not have the bundle, and it is not here any more either: nobody will ever send it."""
    status = Status(JobState.FAILED, Cause.LOST, reason="its bundle is neither here nor over there; it was never begun")
    rows = [row for row in ledger.of_bundle(token) if row.status.state is JobState.SUBMITTING]
    lost = {row.key: replace(status, retries=row.retries) for row in rows}
    ledger.observe(lost, dict.fromkeys(lost, f"submit: {status.reason}"), was=JobState.SUBMITTING)
    ledger.record_sent(token)


def _record_answers(token: str, site: str, answers: Answers, ledger: Ledger) -> None:
    if answers.folder and not answers.empty:
        ledger.record_folder(token, answers.folder)
    ids = {first: o.batch_id for first, o in answers.outcomes.items() if isinstance(o, Accepted)}
    if ids:
        ledger.record_ids(token, ids)
    full = [first for first, o in answers.outcomes.items() if isinstance(o, Full)]
    if full:
        ledger.slots.record_full(site, token, full)
    elif ids:
        ledger.slots.record_taken(site)
    known = {first for first, o in answers.outcomes.items() if not isinstance(o, Unknown | Full)}
    if known >= {batch.first for batch in ledger.batches(token) if batch.slot is not Slot.NEVER}:
        close(token, ledger)


def close(token: str, ledger: Ledger) -> None:
    """Nothing of the bundle is to be sent any more."""
    ledger.record_sent(token)
    spool.discard(ledger.spool(token))


def record_statuses(answers: Answers, rows: Sequence[JobRow], system: BatchSystem, ledger: Ledger) -> dict[int, str]:
    """Write down what the answers mean for the jobs that were still on their way.

    Returns:
        Those that were to be tried again and are not, and why: they are what they were before.
    """
    changes: dict[int, Status] = {}
    taken_back: dict[int, str] = {}
    meant = cache(lambda first, retries: replace(status_of(answers.outcomes[first], system), retries=retries))
    for row in rows:
        if row.status.state is JobState.SUBMITTING and row.first in answers.outcomes:
            outcome, status = answers.outcomes[row.first], meant(row.first, row.retries)
            if row.retries and isinstance(outcome, Refused):
                words = outcome.words if outcome.exit_code in _OURS else status.reason
                taken_back[row.key] = f"not tried again: {words}"
            else:
                changes[row.key] = status
    said = {key: f"submit: {status.reason or 'accepted'}" for key, status in changes.items()}
    ledger.observe(changes, said, was=JobState.SUBMITTING)  # others may have seen it run, or end, by now
    ledger.attempts.take_back(taken_back)
    return taken_back


_OURS = (66, 70)
"""Exit codes of submit.sh itself for a batch: what it needs is gone; it cannot write."""


def _retry_of(job: Job, site: Site) -> str:
    """When a job is tried again, as the ledger has it."""
    retry = job.retry if job.retry is not None else site.retry
    return json.dumps(retry.to_json()) if retry.times else "{}"


def _job_values(job: Job, element: int, first: int, campaign: str | None) -> dict[str, object]:
    return {
        "first": first,
        "element": element,
        "job_id": job.job_id,
        "campaign": campaign,
        "type": job.job_type.value,
        "working_dir": job.working_dir,
        "patterns": json.dumps(job.output_files),
        "template": job.template,
    }


def _other_python(site: Site, needed: str, theirs: str) -> str:
    return (
        f"site {site.name!r}: a function goes by cloudpickle, which needs Python {needed} over there as here; "
        f"{site.python!r} is {theirs}. Nothing was submitted. Make it a module-level function with params that "
        f"JSON can hold, set the site's `python:` to a Python {needed}, or run it in a container that has one"
    )
