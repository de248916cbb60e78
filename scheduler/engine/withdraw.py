"""Withdraw jobs that were perhaps never submitted, and forget jobs of a site that cannot be reached any more.

This changes what is recorded. What the batch system has, `SiteSession.cancel` cancels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from scheduler.engine.context import SiteContext
from scheduler.engine.submit import spool, submission
from scheduler.engine.submit.record import close, record_statuses
from scheduler.errors import TransportError
from scheduler.job.outcome.facts import Facts
from scheduler.job.state import Cause, JobState, Status
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow
from scheduler.ledger.tables import FORGOTTEN


def withdraw(keys: Iterable[int], context: SiteContext) -> None:
    """Query the site about each bundle of these jobs whose submission had no reply. A bundle that has not arrived is
    withdrawn: it is never sent any more. So is, without a query, a bundle of which certainly nothing was submitted.

    Args:
        keys: the jobs, by their keys in the ledger.
        context: their site.

    Raises:
        TransportError: the site could not be reached, so it is not known whether it has the jobs.
        BatchError: as `submission.send`.
    """
    ledger = context.ledger
    rows = [row for row in ledger.of_keys(keys) if not (row.sent or row.folder or row.waiting or row.status.final)]
    for token in dict.fromkeys(row.bundle for row in rows):
        with ledger.slots.sending(token) as other:
            if other:
                raise TransportError(
                    f"site {context.site.name!r}: another process is submitting these jobs at the moment: {other}. "
                    f"{RECORDED}"
                )
            unfinished = [row for row in ledger.of_bundle(token) if not row.status.final]
            chosen = [row for row in unfinished if row.key in {one.key for one in rows}]
            if spool.is_unsubmitted(ledger.spool(token)):
                _withdraw(chosen, unfinished, ledger, reason=_UNSUBMITTED)
                continue
            try:
                reply = submission.query(token, context)
            except TransportError as error:
                raise TransportError(f"{error}. {_UNKNOWN}") from error
        unfinished = [row for row in ledger.of_bundle(token) if not row.status.final]
        if not reply.empty:
            record_statuses(reply, unfinished, context.system, ledger)
        else:
            chosen = [row for row in unfinished if row.key in {one.key for one in rows}]
            _withdraw(chosen, unfinished, ledger, reason=_WITHDRAWN)


def _withdraw(chosen: Sequence[JobRow], unfinished: Sequence[JobRow], ledger: Ledger, *, reason: str) -> None:
    """Record jobs of one bundle as cancelled. The bundle is closed if no other job of it is unfinished."""
    _finish(chosen, Status(JobState.CANCELLED, Cause.CANCELLED, reason=reason), "cancel", ledger)
    if len(chosen) == len(unfinished):
        for token in {row.bundle for row in chosen}:
            close(token, ledger)


def forget(rows: Sequence[JobRow], ledger: Ledger) -> None:
    """Record jobs as LOST without contacting their site; they are never submitted, polled or collected any more.

    Args:
        rows: the jobs, none of them final.
        ledger: where they are recorded.
    """
    _finish(rows, Status(JobState.FAILED, Cause.LOST, reason=FORGOTTEN), "forgotten", ledger)
    results = {row.key: {"error": FORGOTTEN} for row in rows}
    facts = {row.key: Facts(row.patterns, problem=FORGOTTEN) for row in rows}
    ledger.record_results(results, {row.key: row.retries for row in rows}, facts=facts)
    for token in dict.fromkeys(row.bundle for row in rows):
        if all(row.status.final for row in ledger.of_bundle(token)):
            close(token, ledger)


def _finish(rows: Sequence[JobRow], status: Status, verb: str, ledger: Ledger) -> None:
    ledger.observe(
        {row.key: replace(status, retries=row.retries) for row in rows},
        {row.key: f"{verb}: {status.reason}" for row in rows},
    )


_WITHDRAWN = "withdrawn before it reached the site"
_UNSUBMITTED = "withdrawn before anything of it was submitted"
RECORDED = "The cancellation is recorded: the next poll that reaches the site (scheduler status) carries it out"
_UNKNOWN = (
    f"It is not known whether the site has these jobs. {RECORDED}. If the site will never be reached again, forget"
    " them: scheduler cancel --forget"
)
