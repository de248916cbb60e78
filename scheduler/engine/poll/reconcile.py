"""From one poll reply to what the ledger has to record: each unfinished job of a batch is settled with its evidence.

So is each job that was declared lost in the last days: it becomes what new evidence proves, or stays as it is."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from scheduler.batch.base import BatchSystem, Key
from scheduler.engine.poll.reply import PollReply
from scheduler.engine.poll.settle import settle
from scheduler.job.evidence import Evidence, Observation
from scheduler.job.state import Cause, Status
from scheduler.ledger.polls import News
from scheduler.ledger.rows import Element, PolledBatch


class Reconciler:
    """Settles the jobs of one poll.

    Attributes:
        news: what is to be recorded.
    """

    def __init__(
        self, reply: PollReply, live: Mapping[Key, Observation], history: Mapping[Key, Observation], *,
        system: BatchSystem, unwatched: float,
    ) -> None:  # fmt: skip
        """
        Args:
            reply: the poll's reply.
            live: what the queue reports, by name of the batch and index.
            history: what the history reports, likewise.
            system: the batch system.
            unwatched: the part of the seconds since the last poll that does not count as silence of a job.
        """
        self.news = News()
        self._system = system
        self._reply, self._live, self._history, self._unwatched = reply, live, history, unwatched
        self._known = {name for name, _ in (*live, *history)} if system.drops_cancelled_tasks else set[str]()
        self._active: dict[tuple[int, int], tuple[Status, Evidence, bool]] = {}
        self._now = time.time()
        unanswered = (line.partition("|") for line in reply.history if line.startswith("unanswered|"))
        self._unanswered = {of.strip() for _, _, of in unanswered}

    def reconcile(self, batch: PolledBatch, elements: Sequence[Element], digest: str) -> None:
        """Settle the unfinished jobs of a batch.

        Args:
            batch: the batch.
            elements: its unfinished jobs.
            digest: of the poll's lines about it; empty if they can settle nothing. It is kept if the same lines would
                change nothing: the queue has every job, no other source reports on one, and each status stays as it is.
        """
        settled = len(elements) == batch.elements.count(",") + 1
        for one in elements:
            settled = self._settle(batch, one) and settled
        kept = digest if settled else ""
        if kept != batch.settled_digest:
            self.news.settled_digests[batch.bundle, batch.first] = kept
        if not self._system.is_id(batch.batch_id) or self._has_another_id(batch, elements):
            self._learn_id(batch, elements)

    def _settle(self, batch: PolledBatch, one: Element) -> bool:
        """Settle one job; whether the same evidence would change nothing more."""
        status, evidence, stable = self._outcome(batch, one)
        lost = one.status.cause is Cause.LOST
        if lost and status.cause is Cause.LOST:
            return False
        if lost:
            self.news.reopened.add(one.key)
        if status != one.status:
            text = _observation_text(one.status, status, evidence)
            self.news.statuses[one.key], self.news.observations[one.key] = status, f"not lost: {text}" if lost else text
        count, since = 0, None
        if evidence.silent:
            count, since = evidence.silent_polls, self._silent_since(one) or self._now
        if count != one.silent:
            self.news.silence[one.key] = (count, since, one.status.retries)
        return stable

    def _outcome(self, batch: PolledBatch, one: Element) -> tuple[Status, Evidence, bool]:
        """A job's status now, the evidence, and whether the same evidence would leave this status as it is."""
        at = (batch.name, _index(batch, one))
        live, history, key = self._live.get(at), self._history.get(at), (batch.bundle, one.element)
        if (
            live is None
            or live.state is None
            or not live.active
            or history is not None
            or key in self._reply.ends
            or key in self._reply.runs
        ):
            evidence = self._evidence(batch, one, live, history)
            return settle(one.status, evidence), evidence, False
        # Only the queue reports on it: the outcome depends on its status and that report alone, and is computed once.
        known = self._active.get((id(one.status), id(live)))
        if known is None:
            evidence = Evidence(live=live, queue_answered=self._reply.live_answered, shared=bool(batch.packed))
            status = settle(one.status, evidence)
            known = status, evidence, status == one.status or settle(status, evidence) == status
            self._active[id(one.status), id(live)] = known
        return known

    def _evidence(
        self, batch: PolledBatch, one: Element, live: Observation | None, history: Observation | None
    ) -> Evidence:
        key, reply = (batch.bundle, one.element), self._reply
        end, since = reply.ends.get(key), self._silent_since(one)
        log = self._system.own_lines(reply.logs.get(key, ()))
        age = (reply.clock - end.ended).total_seconds() if reply.clock and end and end.ended else math.inf
        evidence = Evidence(
            end=end,
            run=reply.runs.get(key, 0),
            end_age_seconds=age,
            live=live,
            history=history,
            log=log,
            log_cause=self._system.log_cause(log),
            queue_answered=reply.live_answered,
            history_answered=False if self._is_unanswered(batch) else reply.history_answered,
            silent_polls=one.silent + 1,
            silent_seconds=self._now - since if since else 0.0,
            shared=bool(batch.packed),
        )
        struck_out = batch.name in self._known and self._is_struck_out(batch, one, evidence)
        return replace(evidence, struck_out=True) if struck_out else evidence

    def _is_unanswered(self, batch: PolledBatch) -> bool:
        """Whether the query of the history has failed for this batch alone."""
        own = {batch.name, self._system.job_id(batch.batch_id)} if batch.batch_id else {batch.name}
        return not own.isdisjoint(self._unanswered)

    def _silent_since(self, one: Element) -> float | None:
        return one.silent_since + self._unwatched if one.silent_since else None

    def _is_struck_out(self, batch: PolledBatch, one: Element, evidence: Evidence) -> bool:
        """No source reports on this array element, and nothing shows that it ever started."""
        unknown = batch.in_array and evidence.live is None and evidence.history is None and evidence.end is None
        reply = self._reply
        return unknown and (batch.bundle, one.element) not in reply.started and batch.bundle not in reply.missing

    def _has_another_id(self, batch: PolledBatch, elements: Sequence[Element]) -> bool:
        """Whether the queue has the batch by its name, but not with the id that was recorded, and no job of it was seen
        running: a wrapper of the site may have printed another number than the id."""
        lines, recorded = self._reply.live.get(batch.name, ()), self._system.job_id(batch.batch_id or "")
        if not lines or any(recorded in line.split("|")[1:4] for line in lines):
            return False
        return not any(one.status.started or one.status.node for one in elements)

    def _learn_id(self, batch: PolledBatch, elements: Sequence[Element]) -> None:
        """The id of a batch whose submission was interrupted: from its id file, or from an observation by its name."""
        at = [(batch.name, _index(batch, one)) for one in elements]
        observations = (self._live.get(key) or self._history.get(key) for key in at)
        found = [one.batch_id for one in observations if one is not None]
        ids = (one for one in (self._reply.ids.get((batch.bundle, batch.first)), *found) if self._system.is_id(one))
        if batch_id := next(ids, None):
            self.news.ids[batch.bundle, batch.first] = batch_id


def _index(batch: PolledBatch, one: Element) -> int:
    """A job's index in its batch, as the batch system counts: 0 for all jobs of a pack."""
    return 0 if batch.packed else one.element - batch.first


def _observation_text(before: Status, status: Status, evidence: Evidence) -> str:
    """What was observed, for the job's history."""
    parts = [str(status)]
    if status.requeues > before.requeues:
        parts.append(f"run {status.requeues + 1} of this attempt: the batch system had requeued the job")
    if not status.final and status.reason and evidence.live is None:
        parts.append(status.reason)
    if evidence.end is not None:
        parts.append(f"end file: exit={evidence.end.exit_code} signal={evidence.end.signal or '-'}")
    sources = (("queue", evidence.live), ("history", evidence.history))
    parts += [f"{source}: {observed.raw}" for source, observed in sources if observed]
    parts += [f"log: {evidence.log[-1]}"] if evidence.log else []
    return "; ".join(parts)
