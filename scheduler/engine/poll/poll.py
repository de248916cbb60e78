"""Poll all unfinished jobs of a site in one remote command, and record what is new.

For most batches poll.sh prints the same lines as the last time. Once these lines have settled every job of a batch, the
ledger keeps a digest of them, and while the digest is the same, the batch's jobs are not even read.
"""

from __future__ import annotations

import hashlib
import math
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from scheduler.batch.base import BatchSystem
from scheduler.batch.indices import write_indices
from scheduler.engine import programs
from scheduler.engine.context import SiteContext
from scheduler.engine.poll.reconcile import Reconciler
from scheduler.engine.poll.reply import PollReader, PollReply
from scheduler.engine.poll.settle import LONGEST_COUNTED_GAP_SECONDS
from scheduler.ledger.rows import PolledBatch

POLL_SECONDS = 120.0
"""The longest time without output of poll.sh: a hanging Slurm controller answers after 10 s, an accounting database
within a minute."""


def poll(context: SiteContext, *, polled_before: float = math.inf) -> str:
    """Query all unfinished jobs of the site, and record what is new.

    Args:
        context: the site.
        polled_before: when it was polled last, in seconds since 1970.

    Returns:
        The error message of the queue; empty if it answered. If it did not answer, no status changes by its absence.

    Raises:
        TransportError: the site could not be reached; nothing is recorded.
    """
    site, ledger = context.site, context.ledger
    batches = ledger.polls.unfinished(context.key)
    if not batches:
        return ""
    reader = PollReader(batches)
    tokens = {token: number for number, token in enumerate(reader.tokens)}
    requested = [(batch, _line(batch, context.system)) for batch in batches]
    request = "".join(f"{tokens[batch.bundle]}\t{line}\n" for batch, line in requested).encode()
    query_history = "yes" if ledger.sites.keeps_history(context.key) else "no"
    program = programs.program("poll", site.scheduler)
    arguments = [query_history, str(request.count(b"\n"))]
    reply = context.transport.run(program, arguments, stdin=request, stdout=reader.feed, timeout=POLL_SECONDS)
    found = reader.read(reply)
    if found.history_answered is False and context.system.no_history(found.history_words):
        ledger.sites.record_history(context.key, "none")
        query_history = "no"
    elif found.history_answered and ledger.sites.history_of(context.key):
        ledger.sites.record_history(context.key, "")
    if query_history == "no":
        found.history_answered = None
    unwatched = max(0.0, time.time() - polled_before - LONGEST_COUNTED_GAP_SECONDS)
    _reconcile(requested, found, context, counts=reader.counts, unwatched=unwatched)
    if found.cancel_answered:
        ledger.attempts.record_cancel_sent(_cancelled(batches, found, context.system))
    return "" if found.live_answered else found.live_words


def _line(batch: PolledBatch, system: BatchSystem) -> str:
    """What poll.sh reads of a batch, without the number of its bundle."""
    indices = write_indices(int(number) - batch.first for number in batch.elements.split(","))
    kind = "pack" if batch.packed else "array" if batch.in_array else "one"
    batch_id = batch.batch_id if batch.batch_id and system.is_id(batch.batch_id) else "-"
    fields = [batch.folder, batch.name, batch_id, str(batch.first), indices, kind]
    return "\t".join([*fields, _to_cancel(batch)] if batch.cancelling else fields)


def _to_cancel(batch: PolledBatch) -> str:
    """Which jobs of a batch poll.sh withdraws or cancels: a kind as in cancel.sh, and indices or elements."""
    numbers = [int(number) for number in batch.cancelling.split(",")]
    if batch.packed and len(numbers) <= batch.elements.count(","):
        return f"members:{write_indices(numbers)}"
    return f"array:{write_indices(n - batch.first for n in numbers)}" if batch.in_array else "one:"


def _cancelled(batches: Sequence[PolledBatch], reply: PollReply, system: BatchSystem) -> Iterator[tuple[str, int]]:
    """The bundle and element of each job whose cancellation the batch system has accepted now."""
    for batch in batches:
        if batch.cancelling and (system.is_id(batch.batch_id) or batch.name in reply.live):
            yield from ((batch.bundle, int(number)) for number in batch.cancelling.split(","))


def _reconcile(
    requested: Sequence[tuple[PolledBatch, str]], reply: PollReply, context: SiteContext, *,
    counts: Mapping[str, int], unwatched: float,
) -> None:  # fmt: skip
    """Settle the jobs of the batches whose lines have changed, and record the outcome.

    `counts`: as for `BatchSystem.read_live`. `unwatched`: the part of the seconds since the last poll that does not
    count as silence of a job.
    """
    news = _changed(requested, reply, context.system)
    changed = {(batch.bundle, batch.first): (batch, digest) for batch, digest in news}
    if not changed:
        return
    polls, system = context.ledger.polls, context.system
    version = polls.version()
    elements = polls.elements([batch for batch, _ in changed.values()])
    names = {system.job_id(b.batch_id): b.name for b, _ in requested if b.batch_id and system.is_id(b.batch_id)}
    lines = chain.from_iterable(reply.live.get(batch.name, ()) for batch, _ in changed.values())
    reconciler = Reconciler(
        reply, system.read_live(lines, counts), system.read_history(reply.history, names, counts),
        system=system, unwatched=unwatched,
    )  # fmt: skip
    for which, (batch, digest) in changed.items():
        reconciler.reconcile(batch, elements[which], digest)
    polls.record(reconciler.news, version=version)


def _changed(
    requested: Sequence[tuple[PolledBatch, str]], reply: PollReply, system: BatchSystem
) -> Iterator[tuple[PolledBatch, str]]:
    """The batches whose lines differ from those that have settled them, each with a digest of its request and lines.

    The digest is empty if the lines cannot settle the batch.
    """
    other = _lines_beside_the_queue([batch for batch, _ in requested], reply)
    for batch, line in requested:
        digest = ""
        if reply.live_answered and system.is_id(batch.batch_id) and batch.bundle not in reply.missing:
            lines = [line, *reply.live.get(batch.name, ()), *other.get((batch.bundle, batch.first), ())]
            digest = hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()
        if not digest or digest != batch.settled_digest:
            yield batch, digest


def _lines_beside_the_queue(batches: Iterable[PolledBatch], reply: PollReply) -> dict[tuple[str, int], list[str]]:
    """What was printed about batches other than by the queue, by bundle and first element.

    The history is left out: it reports only on jobs that the queue does not have, and these settle no batch.
    """
    firsts: dict[str, list[int]] = {}
    for batch in batches:
        firsts.setdefault(batch.bundle, []).append(batch.first)
    for some in firsts.values():
        some.sort()
    started = ((key, "started") for key in reply.started)
    sources = (reply.ends.items(), reply.runs.items(), reply.logs.items(), reply.ids.items(), started)
    lines: dict[tuple[str, int], list[str]] = {}
    for (bundle, number), what in chain[tuple[tuple[str, int], object]](*sources):
        first = firsts[bundle][bisect_right(firsts[bundle], number) - 1]
        lines.setdefault((bundle, first), []).append(f"{number} {what}")
    return lines
