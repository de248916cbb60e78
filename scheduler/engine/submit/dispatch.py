"""When bundles go to a site: new ones, interrupted ones, those that waited for a slot, and retries.

How a bundle is made, recorded and sent is in `retry`, `record` and `submission`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scheduler.engine.context import SiteContext
from scheduler.engine.submit import retry, spool, submission
from scheduler.engine.submit.record import close, record_statuses
from scheduler.engine.submit.submission import UNOBSERVED_POLLS
from scheduler.engine.withdraw import withdraw
from scheduler.errors import BatchError, ConfigError, JobError, TransportError
from scheduler.job.state import Cause, JobState, Status
from scheduler.ledger.rows import Cancelling, JobRow, Slot

_RESUBMITTED = "submit: no poll has observed it; submitted once more (its script runs the payload only once)"
_UNOBSERVED = Status(JobState.CANCELLED, Cause.CANCELLED, reason="cancelled; the batch system does not have it")
_SENT_BY = "being submitted by"
_AT_WORK = "an earlier submission of it may still be at work on the site"
_FREE = "submit: no other process is submitting it any more"
_NOT_SUBMITTED = "nothing of it is submitted yet"
_WAY_OUT = "The next poll (scheduler status) tries again; scheduler cancel withdraws it"


class Dispatcher:
    """Sends the bundles of one site."""

    def __init__(self, context: SiteContext) -> None:
        self.context = context

    def send(self, token: str, *, resubmit: bool = False, firsts: Sequence[int] = ()) -> dict[int, str]:
        """Send a recorded bundle, or query it if the site has it already, and record the reply.

        Args:
            token: the bundle's.
            resubmit: submit batches whose outcome is not known once more.
            firsts: the first elements of batches that have just got a slot.

        Returns:
            Retries that were refused: the key of the job → why.

        Raises:
            TransportError, JobError, BatchError: as `submission.send`.
        """
        ledger = self.context.ledger
        with ledger.slots.sending(token) as other:
            if other:
                self._record_busy(token, f"{_SENT_BY} {other}")
                return {}
            if not resubmit:
                self._note(token, f"submit: to {self.context.site.name}")
            elif submission.due(token, self.context)[0]:
                self._note(token, _RESUBMITTED)
            try:
                reply = submission.send(token, self.context, resubmit=resubmit)
            except (TransportError, BatchError) as error:
                self._note(token, f"submit: {error}")
                if spool.is_unsubmitted(ledger.spool(token)):
                    self._record_unsubmitted(token, str(error))
                else:
                    self._record_free(token, _NOT_SUBMITTED, text="submit: some of it was sent")
                raise
            if reply.busy:
                if firsts:
                    ledger.slots.release(token, firsts)
                self._record_busy(token, f"{_AT_WORK}: {reply.busy}; if it was killed, this is known after 10 minutes")
            else:
                self._record_free(token, _SENT_BY, _AT_WORK)
                self._record_free(token, _NOT_SUBMITTED, text="submit: it was sent")
            return record_statuses(reply, ledger.of_bundle(token), self.context.system, ledger)

    def send_waiting(self) -> dict[int, str]:
        """Give free slots of the site to waiting batches, and submit them: one remote command for each bundle with
        such a batch, no command without one.

        Returns:
            Retries that were refused: the key of the job → why.

        Raises:
            TransportError, JobError, BatchError: as `submission.send`.
        """
        site, pause = self.context.site, self.context.poll_seconds
        slots, refused = self.context.ledger.slots, dict[int, str]()
        me = self.context.ledger.database.me()
        given = slots.assign(self.context.key, site.limits.queued, owner=me, pause=pause)
        try:
            for token, firsts in given.items():
                refused |= self.send(token, firsts=firsts)
        finally:
            slots.leave(given)
        return refused

    def resume(self) -> str:
        """Send the bundles whose submission was interrupted, by this process or by one that no longer runs.

        Returns:
            Why one of them could not be submitted; empty if all were. It does not hold up the others.

        Raises:
            TransportError, JobError: as `submission.send`.
        """
        ledger, problem = self.context.ledger, ""
        for bundle in ledger.unsent(self.context.key):
            if ledger.slots.other_sender(bundle["token"]):
                continue
            self._record_free(bundle["token"], _SENT_BY)
            try:
                self._resume(bundle["token"], known=bundle["folder"] is not None)
            except BatchError as error:
                problem = str(error)
        return problem

    def _resume(self, token: str, *, known: bool) -> None:
        """Send a bundle once more, if that is due. `known`: the site has the bundle."""
        ledger = self.context.ledger
        rows = self._without_cancelled(token)
        with_slot = [row for row in rows if not row.waiting]
        unknown = [row for row in with_slot if row.status.state is JobState.SUBMITTING and row.batch_id is None]
        wanted = [row for row in unknown if row.cancelling is Cancelling.NO]
        if not known and unknown and not wanted and len(with_slot) == len(rows):
            withdraw([row.key for row in unknown], self.context)
        elif not unknown and len(with_slot) == len(rows) and (known or all(row.status.final for row in rows)):
            close(token, ledger)
        elif with_slot and (not known or (wanted and any(submission.due(token, self.context)))):
            self.send(token, resubmit=known)

    def _without_cancelled(self, token: str) -> list[JobRow]:
        """The jobs of a bundle, after those that are cancelled and that no poll has observed were recorded as such."""
        ledger, rows = self.context.ledger, self.context.ledger.of_bundle(token)
        gone = {
            row.key: replace(_UNOBSERVED, retries=row.retries)
            for row in rows
            if row.cancelling is not Cancelling.NO and row.status.state is JobState.SUBMITTING
            and row.silent >= UNOBSERVED_POLLS and row.batch_id is None
        }  # fmt: skip
        if not gone:
            return rows
        ledger.observe(gone, dict.fromkeys(gone, f"cancel: {_UNOBSERVED.reason}"), was=JobState.SUBMITTING)
        return ledger.of_bundle(token)

    def plan_retries(self) -> None:
        """Record the next attempt of each failed job that is due for one; `send_waiting` submits them."""
        token = None
        while token is None:  # another process planned one of them first: the others are left
            rows = self.context.ledger.failed(self.context.key)
            decisions = retry.decide(rows, self.context)
            retry.record_why_not_retried(rows, decisions, self.context.ledger)
            requests = retry.requests_for(rows, decisions, self.context.site)
            if not requests:
                return
            try:
                token = retry.plan(requests, self.context)
            except (ConfigError, JobError):
                if not retry.reject_unrenderable(requests, self.context):
                    raise

    def retry(
        self, keys: Sequence[int], *, memory: str | None = None, walltime: str | None = None, force: bool = False
    ) -> dict[int, str]:
        """Retry jobs at the user's request, in one remote command for each bundle.

        Args:
            keys: finished jobs that did not complete.
            memory: what the next attempt asks for instead, as in `Resources`.
            walltime: likewise.
            force: although the attempt before may still run.

        Returns:
            Jobs that are not retried: their key → why.

        Raises:
            JobError: the site does not allow so much; nothing was submitted.
            ConfigError: a template or a directive is invalid now; nothing was submitted.
            TransportError: the connection was lost; nothing is lost, and the next poll sends what did not arrive.
        """
        refused: dict[int, str] = {}
        token = None
        while token is None:
            rows = self.context.ledger.of_keys(keys)
            refused = {row.key: why for row in rows if (why := retry.why_not(row))}
            rows = [row for row in rows if row.key not in refused]
            requests = retry.requests_by_user(rows, self.context, memory=memory, walltime=walltime)
            token = retry.plan(requests, self.context, force=force) if requests else ""
        return refused | (self.send_waiting() if token else {})

    def _record_busy(self, token: str, reason: str) -> None:
        """Record why those jobs of a bundle that are submitting are not submitted by this process."""
        rows = [row for row in self.context.ledger.of_bundle(token) if row.status.state is JobState.SUBMITTING]
        changes = {row.key: replace(row.status, reason=reason) for row in rows if row.status.reason != reason}
        texts = dict.fromkeys(changes, f"submit: {reason}")
        self.context.ledger.observe(changes, texts, was=JobState.SUBMITTING)

    def _record_unsubmitted(self, token: str, error: str) -> None:
        """Record why nothing of a bundle is submitted yet; those of its jobs that wait for a slot keep their reason."""
        rows = [row for row in self.context.ledger.of_bundle(token) if row.status.state is JobState.SUBMITTING]
        reason = f"{_NOT_SUBMITTED}: {error}. {_WAY_OUT}"
        changes = {
            row.key: replace(row.status, reason=reason)
            for row in rows
            if not row.waiting and row.status.reason != reason
        }
        texts = dict.fromkeys(changes, f"submit: {_NOT_SUBMITTED}")
        self.context.ledger.observe(changes, texts, was=JobState.SUBMITTING)

    def _record_free(self, token: str, *reasons: str, text: str = _FREE) -> None:
        """Remove reasons that begin so, and are not true any more, from the jobs of a bundle that are submitting."""
        rows = [row for row in self.context.ledger.of_bundle(token) if row.status.state is JobState.SUBMITTING]
        changes = {row.key: replace(row.status, reason="") for row in rows if row.status.reason.startswith(reasons)}
        if changes:
            self.context.ledger.observe(changes, dict.fromkeys(changes, text), was=JobState.SUBMITTING)

    def _note(self, token: str, text: str) -> None:
        """Add to the history of those jobs of a bundle that are submitting and do not wait for a slot."""
        ledger = self.context.ledger
        waiting = {batch.first for batch in ledger.batches(token) if batch.slot is Slot.WAITS}
        rows = ledger.states(token)
        submitting = [row.key for row in rows if row.state is JobState.SUBMITTING and row.first not in waiting]
        ledger.observe({}, dict.fromkeys(submitting, text))
