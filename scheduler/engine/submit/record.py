"""What is recorded of a submission: the intent before anything is sent, and the site's reply. Sends nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from scheduler.batch.base import BatchSystem
from scheduler.batch.outcome import Accepted, Full, Refused, Unknown
from scheduler.engine.context import SiteContext
from scheduler.engine.identity import may_still_run
from scheduler.engine.site_identity import identity_of
from scheduler.engine.submit import jobs_file, leftovers, local_inputs, spool
from scheduler.engine.submit.jobs_file import JobsFile
from scheduler.engine.submit.reply import CANNOT_WRITE, MISSING_FOLDER, SubmitReply, status_of
from scheduler.errors import JobError, LedgerError
from scheduler.job.job import Job
from scheduler.job.state import Cause, JobState, Status
from scheduler.ledger.folder.state_folder import refuse_unsafe
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import BatchRow, Cancelling, JobRow, Slot
from scheduler.render.bundle import Bundle
from scheduler.render.content.content import Content
from scheduler.site.site import Site


@dataclass(frozen=True)
class Intent:
    """What is to be submitted.

    Attributes:
        bundle: the scripts and files of the jobs.
        campaign: its name, or None.
        contents: of the jobs.
        renewed: the jobs of the bundle that the ledger has already, as they were: they get another attempt.
        force: another attempt begins although the one before may still run.
        changed: gives the path of a file of the user that has changed since its content was examined.
    """

    bundle: Bundle
    campaign: str | None
    contents: Mapping[Job, Content]
    renewed: Mapping[Job, JobRow]
    force: bool = False
    changed: Callable[[], str] = str

    @property
    def earlier(self) -> dict[int, JobRow]:
        """Element → the renewed job as it was."""
        return {element: self.renewed[job] for element, job in self.bundle.jobs if job in self.renewed}

    def jobs(self, site: Site) -> list[dict[str, Any]]:
        """The values of the jobs for the ledger."""
        resources_json = cache(lambda resources: json.dumps(resources.to_json()))
        return [
            _job_values(job, element, one.first, self.campaign)
            | {"resources": resources_json(want), "retry": _retry(job, site), "content": self.contents[job].digest}
            for one in self.bundle.batches
            for element, (job, want) in enumerate(zip(one.jobs, one.resources, strict=True), start=one.first)
        ]


def record_intent(intent: Intent, context: SiteContext) -> list[int]:
    """Write a bundle to the spool, and the intent to submit it to the ledger. Both are on disk when this returns.

    Returns:
        The ledger's keys of the jobs, in the bundle's order. Empty, and nothing is recorded, if another process has
        recorded a job of this campaign, or changed a renewed one, in the meantime.

    Raises:
        LedgerError: the spool or the ledger cannot be written, or other users could change them.
        JobError: a file of the user cannot be read, was changed meanwhile, or would be replaced by an input.
    """
    site, ledger, bundle = context.site, context.ledger, intent.bundle
    local_inputs.refuse_to_replace((job for _, job in bundle.jobs), context)
    refuse_unsafe(ledger.folder)
    if lost := ledger.recovery.lost():
        raise LedgerError(f"nothing was submitted: {ledger.recovery.loss_message(lost)}")
    batches = [(one.first, len(one.jobs), one.name, one.packed) for one in bundle.batches]
    jobs, earlier = intent.jobs(site), intent.earlier
    with leftovers.claimed(bundle.token, ledger) as path:
        files = {**bundle.files, jobs_file.NAME: _jobs_file(jobs, site, earlier)}
        spool.write(files | ({} if intent.force else earlier_file(earlier)), path, together=bundle.together)
        if changed := intent.changed():
            spool.discard(path)
            raise JobError(f"{changed!r} was changed while it was read; nothing was submitted. Submit again")
        contents = (intent.contents[job] for _, job in bundle.jobs)
        keys = ledger.record_intent(
            token=bundle.token, site=context.key, site_json=site.to_json(), python=bundle.python,
            probe=bundle.python_probe, batches=batches, jobs=jobs,
            contents={one.digest: (one.text, json.dumps(one.paths)) for one in contents},
            renewed={element: (row, _why_renewed(row)) for element, row in earlier.items()},
        )  # fmt: skip
    if not keys:
        spool.discard(ledger.spool(bundle.token))
    return keys


def earlier_file(rows: Mapping[int, JobRow]) -> dict[str, bytes]:
    """The file of a bundle that names attempts that may still run: submit.sh withdraws them, or holds the next ones.

    Args:
        rows: element in the bundle → the job as it was.
    """
    lines = [
        f"{element}\t{row.folder or row.bundle}\t{row.element}\n" for element, row in rows.items() if may_still_run(row)
    ]
    return {"earlier": "".join(lines).encode()} if lines else {}


def _why_renewed(row: JobRow) -> str:
    return f"attempt {row.retries + 2}, with what is here now, after {row.status}"


def _jobs_file(jobs: Sequence[Mapping[str, Any]], site: Site, earlier: Mapping[int, JobRow]) -> bytes:
    tokens = {element: (row.bundle, row.element) for element, row in earlier.items()}
    described = [{**job, "earlier": tokens.get(job["element"])} for job in jobs]
    return JobsFile(site.name, identity_of(site), site.scheduler, time.time(), described).content()


def record_reply(reply: SubmitReply, batches: Sequence[BatchRow], context: SiteContext) -> None:
    """Record what a site replied to a bundle: its folder, ids, and whether the queue is full.

    Once every batch has a definite outcome, the bundle is closed.

    Args:
        reply: the reply.
        batches: the batches of the bundle, at least one.
        context: the site.
    """
    token, site, ledger = batches[0].bundle, context.key, context.ledger
    if reply.folder and not reply.empty:
        ledger.record_folder(token, reply.folder)
    ids = {first: one.batch_id for first, one in reply.outcomes.items() if isinstance(one, Accepted)}
    if ids:
        ledger.record_ids(token, ids)
    _refuse_what_never_fits(reply, token, context)
    full = [first for first, one in reply.outcomes.items() if isinstance(one, Full)]
    if full:
        ledger.slots.record_full(site, token, full)
    elif ids:
        ledger.slots.record_accepted(site)
    definite = {first for first, one in reply.outcomes.items() if not isinstance(one, Unknown | Full)}
    if definite >= {batch.first for batch in batches if batch.slot is not Slot.NEVER}:
        close(token, ledger)


def _refuse_what_never_fits(reply: SubmitReply, token: str, context: SiteContext) -> None:
    """A batch that alone exceeds a limit is refused, not waiting: unless a job of ours may have used up the limit."""
    full = {first: one for first, one in reply.outcomes.items() if isinstance(one, Full)}
    never = {first: one for first, one in full.items() if one.never_fits}
    if never and not context.ledger.slots.in_use(context.key, besides=(token, full)):
        reply.outcomes.update({first: Refused(one.words, one.exit_code) for first, one in never.items()})


def record_statuses(reply: SubmitReply, rows: Sequence[JobRow], system: BatchSystem, ledger: Ledger) -> dict[int, str]:
    """Record the statuses of jobs that follow from a reply, for those that are still submitting.

    Args:
        reply: the reply to their bundle.
        rows: jobs of the bundle.
        system: the batch system of the site.
        ledger: where they are recorded.

    Returns:
        Retries that were refused: the key of the job → why. Such a job gets back the status of its earlier attempt.
    """
    changes: dict[int, Status] = {}
    refused: dict[int, str] = {}
    status_after = cache(lambda first, retries: replace(status_of(reply.outcomes[first], system), retries=retries))
    for row in rows:
        if row.status.state is JobState.SUBMITTING and row.element in reply.held and row.retries:
            refused[row.key] = f"not retried: the attempt before may still run: {reply.held[row.element]}. {_FORCE}"
        elif row.status.state is JobState.SUBMITTING and row.first in reply.outcomes:
            outcome, status = reply.outcomes[row.first], status_after(row.first, row.retries)
            if row.cancelling is not Cancelling.NO and isinstance(outcome, Refused):
                changes[row.key] = Status(JobState.CANCELLED, Cause.CANCELLED, reason=_REFUSED, retries=row.retries)
            elif row.retries and isinstance(outcome, Refused):
                ours = outcome.exit_code in (MISSING_FOLDER, CANNOT_WRITE)
                refused[row.key] = f"not retried: {outcome.words if ours else status.reason}"
            else:
                changes[row.key] = status
    texts = {key: f"submit: {status.reason or 'accepted'}" for key, status in changes.items()}
    ledger.observe(changes, texts, was=JobState.SUBMITTING)  # another process may have seen it run, or finish, by now
    ledger.attempts.undo(refused)
    return refused


_FORCE = "To run it all the same: scheduler retry --force"
_REFUSED = "cancelled; the batch system had not accepted it"


def record_lost(token: str, ledger: Ledger) -> None:
    """The site does not have the bundle, and the local spool does not either: its jobs can never be submitted."""
    reason = "its bundle is neither on the site nor in the local spool; it was never submitted"
    status = Status(JobState.FAILED, Cause.LOST, reason=reason)
    rows = [row for row in ledger.of_bundle(token) if row.status.state is JobState.SUBMITTING]
    lost = {row.key: replace(status, retries=row.retries) for row in rows}
    ledger.observe(lost, dict.fromkeys(lost, f"submit: {reason}"), was=JobState.SUBMITTING)
    ledger.record_sent(token)


def close(token: str, ledger: Ledger) -> None:
    """Record that nothing of a bundle is to be sent any more, and delete it from the spool."""
    ledger.record_sent(token)
    spool.discard(ledger.spool(token))


def drop(token: str, ledger: Ledger) -> None:
    """Delete a bundle of which nothing was submitted from the ledger and the spool."""
    ledger.delete_bundle(token)
    spool.discard(ledger.spool(token))


def _retry(job: Job, site: Site) -> str:
    """When a job is retried, as the ledger stores it."""
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
