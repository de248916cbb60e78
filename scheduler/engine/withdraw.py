"""Jobs whose submission never had an answer are taken back, and jobs of a site that is gone are given up.

It changes what is recorded; whatever the batch system has is ended by `SiteSession.cancel`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from scheduler.batch.base import BatchSystem
from scheduler.engine.submit import submission
from scheduler.errors import TransportError
from scheduler.job.state import Cause, JobState, Status
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.owner import is_gone
from scheduler.ledger.rows import JobRow
from scheduler.site.site import Site
from scheduler.transports.base import Transport


def withdraw(keys: Iterable[int], site: Site, system: BatchSystem, ledger: Ledger, transport: Transport) -> None:
    """Ask after each bundle of these jobs that had no answer. One that has not arrived is never sent any more.

    Raises:
        TransportError: the site was not reached, so that nobody knows whether it has them; they are as before.
        BatchError: as `submission.send`.
    """
    rows = [row for row in ledger.of_keys(keys) if not (row.sent or row.folder or row.waiting or row.status.final)]
    for token in dict.fromkeys(row.bundle for row in rows):
        if not is_gone(ledger.bundle(token)["owner"]):
            raise TransportError(
                f"site {site.name!r}: another process is sending these jobs just now; cancel them again"
            )
        try:
            answers = submission.ask(token, site, system, ledger, transport)
        except TransportError as error:
            raise TransportError(f"{error}. {_HOW}") from error
        whole = [row for row in ledger.of_bundle(token) if not row.status.final]
        if not answers.empty:
            submission.record_statuses(answers, whole, system, ledger)
        elif {row.key for row in whole} <= {row.key for row in rows}:
            _end(whole, Status(JobState.CANCELLED, Cause.CANCELLED, reason=_NEVER_SENT), "cancel", ledger)
            submission.close(token, ledger)


def forget(rows: Sequence[JobRow], ledger: Ledger) -> None:
    """Give up jobs without asking their site: nothing is sent, asked or brought home for them any more."""
    _end(rows, Status(JobState.FAILED, Cause.LOST, reason=_GIVEN_UP), "forgotten", ledger)
    results: dict[str, object] = {
        "exit_code": None,
        "output_files": {},
        "stdout": None,
        "stderr": None,
        "error": _GIVEN_UP,
    }
    ledger.record_results({row.key: results for row in rows}, {row.key: row.retries for row in rows})
    for token in dict.fromkeys(row.bundle for row in rows):
        if all(row.status.final for row in ledger.of_bundle(token)):
            submission.close(token, ledger)


def _end(rows: Sequence[JobRow], status: Status, verb: str, ledger: Ledger) -> None:
    ledger.observe(
        {row.key: replace(status, retries=row.retries) for row in rows},
        {row.key: f"{verb}: {status.reason}" for row in rows},
    )


_NEVER_SENT = "taken back before it had arrived"
_GIVEN_UP = "given up by its user while its site could not be asked; if it arrived there, it may still run"
_HOW = "Whether it has these jobs is not known; cancel them again later, or give them up: scheduler cancel --forget"
