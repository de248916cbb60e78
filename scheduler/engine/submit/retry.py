"""Retries: which failed jobs get another attempt, the bundle of these attempts, and its record. Sends nothing.

A job is retried by its own retry rule, or at the user's request.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from scheduler.engine.context import SiteContext
from scheduler.engine.site_identity import identity_of
from scheduler.engine.submit import jobs_file, leftovers, record, spool
from scheduler.engine.submit.jobs_file import JobsFile
from scheduler.errors import ConfigError, JobError
from scheduler.job.resources import Resources, Retry, memory_mib
from scheduler.job.retry_policy import Again, Bounds, Enough, difference, next_attempt, single_nodes, with_other
from scheduler.job.state import Cause, JobState, Status
from scheduler.ledger.attempts import Move
from scheduler.ledger.folder.state_folder import refuse_unsafe
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow
from scheduler.ledger.soundness import report
from scheduler.render.frame import new_token
from scheduler.render.retry import NextBundle, RetryRequest, render_retries
from scheduler.site.site import Site


def decide(rows: Sequence[JobRow], context: SiteContext) -> dict[int, Again | Enough]:
    """Whether jobs get another attempt by their retry rules.

    Args:
        rows: finished jobs.
        context: their site.

    Returns:
        The key of a job → its next attempt, or why it gets no attempt although its rule covers this failure. Jobs whose
        rule does not cover how they finished are left out.
    """
    rows = [row for row in rows if row.retry != "{}" and row.status.state is JobState.FAILED and not row.collected]
    rows = [row for row in rows if row.folder is not None]
    if not rows:
        return {}
    failed_nodes = _failed_nodes(rows, context)
    decisions: dict[int, Again | Enough] = {}
    for row in rows:
        try:
            rule, resources = Retry.from_json(json.loads(row.retry)), resources_of(row, context.site)
        except (JobError, TypeError) as error:
            report(f"the retry of job {row.job_id!r:.100}", error)
            continue
        decision = next_attempt(
            row.status, rule, retries=row.retries, resources=resources, bounds=_bounds(context.site),
            failed_nodes=failed_nodes[row.key],
        )  # fmt: skip
        if decision is not None:
            decisions[row.key] = decision
    return decisions


def resources_of(row: JobRow, site: Site) -> Resources:
    """The resources that the last attempt of a job requested, with the site's defaults filled in."""
    return Resources.from_json(json.loads(row.resources)).over(site.resources)


def requests_for(rows: Sequence[JobRow], decisions: Mapping[int, Again | Enough], site: Site) -> list[RetryRequest]:
    """A request for each job that gets another attempt."""
    requests = []
    for row in rows:
        decision = decisions.get(row.key)
        if isinstance(decision, Again):
            requests.append(RetryRequest(row, decision, history_text(row, decision, site)))
    return requests


def requests_by_user(
    rows: Sequence[JobRow], context: SiteContext, *, memory: str | None, walltime: str | None
) -> list[RetryRequest]:
    """A retry request for each of these jobs, by a command of the user.

    Args:
        rows: the jobs.
        context: their site.
        memory: what the next attempt asks for instead, as in `Resources`; None: as before.
        walltime: likewise.

    Raises:
        JobError: a value is invalid, or more than the site allows.
    """
    failed_nodes = _failed_nodes(rows, context)
    requests = []
    for row in rows:
        resources = with_other(resources_of(row, context.site), memory=memory, walltime=walltime)
        try:
            context.site.check_limits(resources)
        except JobError as error:
            raise JobError(f"job {row.job_id!r}: {error}") from None
        again = Again(resources, single_nodes(failed_nodes[row.key]))
        requests.append(RetryRequest(row, again, history_text(row, again, context.site)))
    return requests


def history_text(row: JobRow, again: Again, site: Site) -> str:
    """For the job's history: ``attempt 2, after failed: out of memory: memory 300M → 450M``."""
    parts = [difference(resources_of(row, site), again.resources)]
    parts += [f"not on {', '.join(again.exclude)}"] if again.exclude else []
    changes = "; ".join(part for part in parts if part)
    return f"attempt {row.retries + 2}, after {row.status}" + (f": {changes}" if changes else "")


def plan(requests: Sequence[RetryRequest], context: SiteContext, *, force: bool = False) -> str | None:
    """Write the bundle of these attempts to the spool, and the intent to submit it to the ledger.

    Both are on disk when this returns. Each job then has the status of its next attempt.

    Args:
        requests: at least one.
        context: the site of the jobs.
        force: the attempts begin although the ones before may still run.

    Returns:
        The token of the bundle; None, and nothing is recorded, if another process has changed one of the jobs first.

    Raises:
        ConfigError: a template or a directive is invalid now.
        LedgerError: other users could change the bundle (see `refuse_unsafe`).
    """
    site, ledger = context.site, context.ledger
    refuse_unsafe(ledger.folder)
    bundle = render_retries(requests, site, context.system, token=new_token())
    files = {**bundle.files, jobs_file.NAME: _jobs_file(bundle, context).content()}
    if not force:
        files |= record.earlier_file({move.element: move.row for move in _moves(bundle)})
    batches = [(one.first, len(one.requests), one.name, one.packed) for one in bundle.batches]
    with leftovers.claimed(bundle.token, ledger) as path:
        spool.write(files, path)
        if ledger.attempts.record(
            token=bundle.token, site=context.key, site_json=site.to_json(), batches=batches, moves=_moves(bundle)
        ):
            return bundle.token
    spool.discard(path)
    return None


def _jobs_file(bundle: NextBundle, context: SiteContext) -> JobsFile:
    jobs = [
        {
            "element": element, "job_id": row.job_id, "campaign": row.campaign, "working_dir": row.working_dir,
            "type": row.type, "patterns": json.dumps(row.patterns), "earlier": (row.bundle, row.element),
            "resources": json.dumps(request.again.resources.to_json()), "content": row.content,
        }
        for one in bundle.batches
        for element, request in enumerate(one.requests, start=one.first)
        for row in [request.row]
    ]  # fmt: skip
    return JobsFile(context.site.name, identity_of(context.site), context.site.scheduler, time.time(), jobs)


def _moves(bundle: NextBundle) -> list[Move]:
    return [
        Move(request.row, one.first, element, json.dumps(request.again.resources.to_json()), request.why)
        for one in bundle.batches
        for element, request in enumerate(one.requests, start=one.first)
    ]


def reject_unrenderable(requests: Sequence[RetryRequest], context: SiteContext) -> int:
    """Give no further attempt to the jobs whose script cannot be rendered any more, and record why.

    Returns:
        How many there are.
    """
    errors: dict[int, str] = {}
    for request in requests:
        try:
            render_retries([request], context.site, context.system, token=new_token())
        except (ConfigError, JobError) as error:
            errors[request.row.key] = f"not retried: {error}"
    _add_reason([request.row for request in requests], errors, context.ledger)
    context.ledger.attempts.disable_retry(errors)
    return len(errors)


def record_why_not_retried(rows: Sequence[JobRow], decisions: Mapping[int, Again | Enough], ledger: Ledger) -> None:
    """Record, once, why jobs get no further attempt although their retry rule covers this failure."""
    why = {key: one.why for key, one in decisions.items() if isinstance(one, Enough)}
    _add_reason([row for row in rows if not row.status.reason.endswith(why.get(row.key, ""))], why, ledger)


def why_not(row: JobRow) -> str:
    """Why a job cannot be retried at the user's request; empty if it can."""
    if not row.status.final:
        return f"it has not finished ({row.status})"
    if row.status.state is JobState.COMPLETED:
        return "it completed"
    return "" if row.folder is not None else "it has no remote folder; submit it again"


def _add_reason(rows: Sequence[JobRow], why: Mapping[int, str], ledger: Ledger) -> None:
    reasons = {row.key: "; ".join(filter(None, [row.status.reason, why[row.key]])) for row in rows if row.key in why}
    changed = {row.key: replace(row.status, reason=reasons[row.key]) for row in rows if row.key in reasons}
    ledger.observe(changed, {key: why[key] for key in changed})


def _bounds(site: Site) -> Bounds:
    memory = site.limits.memory
    return Bounds(memory_mib(memory) if memory else None, site.limits.walltime, site.memory_style != "omit")


def _failed_nodes(rows: Sequence[JobRow], context: SiteContext) -> dict[int, list[str]]:
    """The nodes on which attempts of these jobs finished with a node failure; none if none can be excluded."""
    found: dict[int, list[str]] = {row.key: [] for row in rows}
    if not context.system.excludes_nodes:
        return found
    ends: list[tuple[int, Status]] = [
        (one.job, one.status) for one in context.ledger.attempts.of(row.key for row in rows if row.retries)
    ]
    ends += [(row.key, row.status) for row in rows]
    for key, status in ends:
        if status.cause is Cause.NODE_FAILURE and status.node:
            found[key].append(status.node)
    return found
