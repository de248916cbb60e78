"""What one poll has brought is weighed, element by element; what is new of it is kept for the ledger."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from scheduler.batch.base import BatchSystem, Key
from scheduler.engine.poll.reply import PollReply
from scheduler.engine.poll.settle import settle
from scheduler.job.evidence import Evidence, Observation
from scheduler.job.state import Status
from scheduler.ledger.polls import News
from scheduler.ledger.rows import Element, PolledBatch


class Reconciler:
    """The answer to one poll.

    Attributes:
        news: what is to be written down.
    """

    def __init__(
        self, heard: PollReply, live: Mapping[Key, Observation], history: Mapping[Key, Observation], *,
        system: BatchSystem, unwatched: float,
    ) -> None:  # fmt: skip
        """`unwatched`: so many of the seconds since the last poll are not held against a job that is silent."""
        self.news = News()
        self._heard, self._live, self._history, self._unwatched = heard, live, history, unwatched
        self._system = system
        self._known = {name for name, _ in (*live, *history)} if system.drops_cancelled_tasks else set[str]()
        self._going_on: dict[tuple[int, int], tuple[Status, Evidence, bool]] = {}
        self._now = time.time()

    def weigh(self, batch: PolledBatch, elements: Sequence[Element], digest: str) -> None:
        """Settle its elements. The digest of what was said is kept if saying it again would change nothing: the queue
        has all that were asked after, nobody else knows anything of them, and what is known of each stays as it is.
        """
        settled = len(elements) == batch.elements.count(",") + 1
        for one in elements:
            settled = self._settle(batch, one) and settled
        kept = digest if settled else ""
        if kept != batch.settled_digest:
            self.news.settled_digests[batch.bundle, batch.first] = kept
        if batch.batch_id is None:
            self._learn_id(batch, elements)

    def _settle(self, batch: PolledBatch, one: Element) -> bool:
        status, evidence, again = self._outcome(batch, one)
        if status != one.status:
            self.news.statuses[one.key], self.news.observations[one.key] = status, _said(status, evidence)
        count, since = 0, None
        if evidence.silent:
            count, since = evidence.silent_polls, self._silent_since(one) or self._now
        if count != one.silent:
            self.news.silence[one.key] = (count, since, one.status.retries)
        return again

    def _outcome(self, batch: PolledBatch, one: Element) -> tuple[Status, Evidence, bool]:
        """What is known of it now, from what, and whether the same evidence would leave it so."""
        at = (batch.name, _index(batch, one))
        live, history, key = self._live.get(at), self._history.get(at), (batch.bundle, one.element)
        if live is None or live.state is None or not live.active or history is not None or key in self._heard.ends:
            evidence = self._evidence(batch, one, live, history)
            return settle(one.status, evidence), evidence, False
        # The queue has it and nobody else knows anything: what it comes to depends on these two alone.
        known = self._going_on.get((id(one.status), id(live)))
        if known is None:
            evidence = Evidence(live=live, queue_answered=self._heard.live_answered, shared=bool(batch.packed))
            status = settle(one.status, evidence)
            known = status, evidence, status == one.status or settle(status, evidence) == status
            self._going_on[id(one.status), id(live)] = known
        return known

    def _evidence(
        self, batch: PolledBatch, one: Element, live: Observation | None, history: Observation | None
    ) -> Evidence:
        key, heard = (batch.bundle, one.element), self._heard
        end, since, log = heard.ends.get(key), self._silent_since(one), heard.logs.get(key, ())
        age = (heard.clock - end.ended).total_seconds() if heard.clock and end and end.ended else math.inf
        evidence = Evidence(
            end=end,
            end_age_seconds=age,
            live=live,
            history=history,
            log=log,
            log_cause=self._system.log_cause(log),
            queue_answered=heard.live_answered,
            history_answered=heard.history_answered,
            silent_polls=one.silent + 1,
            silent_seconds=self._now - since if since else 0.0,
            shared=bool(batch.packed),
        )
        struck_out = batch.name in self._known and self._is_struck_out(batch, one, evidence)
        return replace(evidence, struck_out=True) if struck_out else evidence

    def _silent_since(self, one: Element) -> float | None:
        return one.silent_since + self._unwatched if one.silent_since else None

    def _is_struck_out(self, batch: PolledBatch, one: Element, evidence: Evidence) -> bool:
        """Nobody knows of this element, and it has left no trace of a beginning."""
        unknown = batch.in_array and evidence.live is None and evidence.history is None and evidence.end is None
        heard = self._heard
        return unknown and (batch.bundle, one.element) not in heard.begun and batch.bundle not in heard.missing

    def _learn_id(self, batch: PolledBatch, elements: Sequence[Element]) -> None:
        """The id of a batch whose submission was cut off: from the id file, or from whoever knows its name."""
        at = [(batch.name, _index(batch, one)) for one in elements]
        seen = (self._live.get(key) or self._history.get(key) for key in at)
        named = (sighting.batch_id for sighting in seen if sighting is not None and sighting.batch_id)
        batch_id = self._heard.ids.get((batch.bundle, batch.first)) or next(named, "")
        if batch_id:
            self.news.ids[batch.bundle, batch.first] = batch_id


def _index(batch: PolledBatch, one: Element) -> int:
    """Its index in its batch, as the batch system counts: of a pack there is one for all."""
    return 0 if batch.packed else one.element - batch.first


def _said(status: Status, evidence: Evidence) -> str:
    """What was seen, for the job's history."""
    parts = [str(status)]
    if evidence.end is not None:
        parts.append(f"end file: exit={evidence.end.exit_code} signal={evidence.end.signal or '-'}")
    parts += [f"{name}: {s.raw}" for name, s in (("queue", evidence.live), ("history", evidence.history)) if s]
    parts += [f"log: {evidence.log[-1]}"] if evidence.log else []
    return "; ".join(parts)
