"""Jobs are ended on purpose, wherever they are by now: waiting here, on their way, or in the batch system's hands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from scheduler.batch.base import BatchSystem
from scheduler.batch.indices import write_indices
from scheduler.engine import programs, withdraw
from scheduler.engine.poll.poll import POLL_SECONDS
from scheduler.errors import BatchError
from scheduler.job.state import Cause, JobState, Status
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow
from scheduler.site.site import Site
from scheduler.transports.base import Transport

_STRUCK_OUT = Status(JobState.CANCELLED, Cause.CANCELLED, reason="cancelled while it waited here for a place")


def cancel(keys: Sequence[int], site: Site, system: BatchSystem, ledger: Ledger, transport: Transport) -> None:
    """Ask the batch system to end those that have not ended, in one remote command.

    Raises:
        BatchError: its cancel command failed, in its own words.
        TransportError: the site was not reached.
    """
    ledger.attempts.never_again(keys)  # before they are looked at: nobody may move them from then on
    waiting = [row for row in ledger.of_keys(keys) if row.waiting and not row.status.final]
    ledger.slots.strike_out({row.key: replace(_STRUCK_OUT, retries=row.retries) for row in waiting})
    withdraw.withdraw(keys, site, system, ledger, transport)
    batches: dict[tuple[str, int], list[JobRow]] = {}
    for row in ledger.of_keys(keys):
        if not row.status.final:
            batches.setdefault((row.bundle, row.first), []).append(row)
    if not batches:
        return
    question = "".join(_lines(batches, ledger)).encode()
    reply = transport.run(programs.program("cancel", site.scheduler), stdin=question, timeout=POLL_SECONDS)
    if reply.exit_code != 0:
        words = reply.err.strip() or reply.out.strip()
        message = f"site {site.name!r}: cancelling failed (exit code {reply.exit_code}): {words}"
        raise BatchError(message, command="cancel", exit_code=reply.exit_code, words=words)
    ledger.observe({}, {row.key: "cancel: asked to end" for rows in batches.values() for row in rows})


def _lines(batches: Mapping[tuple[str, int], Sequence[JobRow]], ledger: Ledger) -> Iterator[str]:
    """A line a batch. Of jobs that share a node: the node, if no other goes on there; else they alone."""
    shared = {rows[0].bundle for rows in batches.values() if rows[0].packed}
    there = Counter((r.bundle, r.first) for t in shared for r in ledger.of_bundle(t) if not r.status.final)
    for batch, rows in batches.items():
        one, which, kind = rows[0], "", "one"
        if one.packed and there[batch] > len(rows):
            which, kind = write_indices(row.element for row in rows), "members"
        elif one.in_array:
            which, kind = write_indices(row.index for row in rows), "array"
        yield f"{one.folder or ''}\t{one.name}\t{one.batch_id or '-'}\t{one.first}\t{which}\t{kind}\n"
