"""All jobs of a site are asked after in one remote command, and what it says is weighed: of each batch that has moved.

Of most batches the same is said as the last time. Once that has settled what is known of all their elements, a digest
of it is in the ledger, and saying it again changes nothing: their jobs are not even read.
"""

from __future__ import annotations

import hashlib
import math
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from scheduler.batch.base import BatchSystem
from scheduler.batch.indices import write_indices
from scheduler.engine import programs
from scheduler.engine.poll.reconcile import Reconciler
from scheduler.engine.poll.reply import PollReply, read
from scheduler.engine.poll.settle import GAP_SECONDS
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import PolledBatch
from scheduler.site.site import Site
from scheduler.transports.base import Transport

POLL_SECONDS = 120.0
"""So long a poll may be without a byte: a frozen controller answers after 10 s, an accounting database in a minute."""


def poll(
    site: Site, system: BatchSystem, ledger: Ledger, transport: Transport, *, asked_before: float = math.inf
) -> str:
    """Ask once after every job of the site that has not ended, and record what is new.

    Args:
        asked_before: when the site was asked the last time.

    Returns:
        Why the queue did not answer, in its own words; empty if it did. Then nothing is known to have changed.

    Raises:
        TransportError: the site was not reached; nothing is known to have changed.
    """
    batches = ledger.polls.unfinished(site.name)
    if not batches:
        return ""
    tokens = {token: number for number, token in enumerate(dict.fromkeys(batch.bundle for batch in batches))}
    asked = [(batch, _question(batch)) for batch in batches]
    question = "".join(f"{tokens[batch.bundle]}\t{line}\n" for batch, line in asked).encode()
    ask_history = "no" if ledger.sites.history_of(site.name) == "none" else "yes"
    reply = transport.run(programs.program("poll", site.scheduler), [ask_history], stdin=question, timeout=POLL_SECONDS)
    heard = read(reply, list(tokens))
    if heard.history_answered is False and system.no_history(heard.history_words):
        ledger.sites.record_history(site.name, "none")
        ask_history = "no"
    if ask_history == "no":
        heard.history_answered = None
    _weigh(asked, heard, system, ledger, unwatched=max(0.0, time.time() - asked_before - GAP_SECONDS))
    return "" if heard.live_answered else heard.live_words


def _question(batch: PolledBatch) -> str:
    """The line of a batch but for the number of its bundle: folder, name, id, first element, indices that have not
    ended, its kind."""
    indices = write_indices(int(number) - batch.first for number in batch.elements.split(","))
    kind = "pack" if batch.packed else "array" if batch.in_array else "one"
    return f"{batch.folder}\t{batch.name}\t{batch.batch_id or '-'}\t{batch.first}\t{indices}\t{kind}"


def _weigh(
    asked: Sequence[tuple[PolledBatch, str]], heard: PollReply, system: BatchSystem, ledger: Ledger, *, unwatched: float
) -> None:
    """`unwatched`: so many of the seconds since the last poll are not held against a job that is silent."""
    moved = {(batch.bundle, batch.first): (batch, digest) for batch, digest in _moved(asked, heard)}
    if not moved:
        return
    polls = ledger.polls
    version = polls.version()
    elements = polls.elements([batch for batch, _ in moved.values()])
    names = {system.job_id(batch.batch_id): batch.name for batch, _ in asked if batch.batch_id}
    lines = chain.from_iterable(heard.live.get(batch.name, ()) for batch, _ in moved.values())
    weighing = Reconciler(
        heard, system.read_live(lines), system.read_history(heard.history, names),
        system=system, unwatched=unwatched,
    )  # fmt: skip
    for which, (batch, digest) in moved.items():
        weighing.weigh(batch, elements[which], digest)
    polls.record(weighing.news, version=version)


def _moved(asked: Sequence[tuple[PolledBatch, str]], heard: PollReply) -> Iterator[tuple[PolledBatch, str]]:
    """Batches of which something else is said than what has settled them, each with a digest of question and answer.
    What cannot settle one has none."""
    said = _said([batch for batch, _ in asked], heard)
    for batch, line in asked:
        digest = ""
        if heard.live_answered and batch.batch_id is not None and batch.bundle not in heard.missing:
            words = [line, *heard.live.get(batch.name, ()), *said.get((batch.bundle, batch.first), ())]
            digest = hashlib.blake2b("\n".join(words).encode(), digest_size=16).hexdigest()
        if not digest or digest != batch.settled_digest:
            yield batch, digest


def _said(batches: Iterable[PolledBatch], heard: PollReply) -> dict[tuple[str, int], list[str]]:
    """What else was said of batches than by the queue. The history speaks only of what the queue does not have."""
    firsts: dict[str, list[int]] = {}
    for batch in batches:
        firsts.setdefault(batch.bundle, []).append(batch.first)
    for some in firsts.values():
        some.sort()
    words = (heard.ends.items(), heard.logs.items(), heard.ids.items(), ((key, "began") for key in heard.begun))
    said: dict[tuple[str, int], list[str]] = {}
    for (bundle, number), what in chain[tuple[tuple[str, int], object]](*words):
        first = firsts[bundle][bisect_right(firsts[bundle], number) - 1]
        said.setdefault((bundle, first), []).append(f"{number} {what}")
    return said
