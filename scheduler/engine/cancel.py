"""Cancel jobs, whether they wait for a slot on this machine, are being submitted, or are in the batch system."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from scheduler.batch.indices import write_indices
from scheduler.engine import programs
from scheduler.engine.context import SiteContext
from scheduler.engine.poll.poll import POLL_SECONDS
from scheduler.engine.withdraw import RECORDED, withdraw
from scheduler.errors import BatchError
from scheduler.job.state import Cause, JobState, Status
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow

_WHILE_WAITING = Status(JobState.CANCELLED, Cause.CANCELLED, reason="cancelled while it was waiting for a free slot")


def cancel(keys: Sequence[int], context: SiteContext) -> None:
    """Cancel the unfinished jobs among these; those in the batch system in one remote command.

    A success does not prove that they were cancelled: the next poll observes that.

    Args:
        keys: the jobs, by their keys in the ledger.
        context: their site.

    Raises:
        BatchError: the batch system's cancel command failed; its own message.
        TransportError: the site could not be reached.
    """
    site, ledger = context.site, context.ledger
    ledger.attempts.request_cancel(keys)  # first of all: it holds although the site cannot be reached
    ledger.observe({}, {row.key: "cancel: recorded" for row in ledger.of_keys(keys) if not row.status.final})
    waiting = [row for row in ledger.of_keys(keys) if row.waiting and not row.status.final]
    ledger.slots.cancel_waiting({row.key: replace(_WHILE_WAITING, retries=row.retries) for row in waiting})
    withdraw(keys, context)
    batches: dict[tuple[str, int], list[JobRow]] = {}
    for row in ledger.of_keys(keys):
        if not row.status.final:
            batches.setdefault((row.bundle, row.first), []).append(row)
    if not batches:
        return
    is_id = context.system.is_id
    request = "".join(_lines(batches, ledger, is_id)).encode()
    program = programs.program("cancel", site.scheduler)
    reply = context.transport.run(program, [str(request.count(b"\n"))], stdin=request, timeout=POLL_SECONDS)
    if reply.exit_code != 0:
        words = reply.message()
        message = f"site {site.name!r}: cancelling failed (exit code {reply.exit_code}): {words}. {RECORDED}"
        raise BatchError(message, command="cancel", exit_code=reply.exit_code, words=words)
    rows = [row for some in batches.values() for row in some]
    ledger.attempts.record_cancel_sent((row.bundle, row.element) for row in rows if is_id(row.batch_id))
    ledger.observe({}, {row.key: "cancel: requested" for row in rows})


def _lines(
    batches: Mapping[tuple[str, int], Sequence[JobRow]], ledger: Ledger, is_id: Callable[[str | None], bool]
) -> Iterator[str]:
    """What cancel.sh reads: a line for each batch. Of a pack, the whole batch if no other of its jobs is unfinished;
    else the elements."""
    packs = {rows[0].bundle for rows in batches.values() if rows[0].packed}
    unfinished = Counter(
        (row.bundle, row.first) for token in packs for row in ledger.of_bundle(token) if not row.status.final
    )
    for batch, rows in batches.items():
        one, which, kind = rows[0], "", "one"
        if one.packed and unfinished[batch] > len(rows):
            which, kind = write_indices(row.element for row in rows), "members"
        elif one.in_array:
            which, kind = write_indices(row.index for row in rows), "array"
        batch_id = one.batch_id if is_id(one.batch_id) else "-"
        yield f"{one.folder or ''}\t{one.name}\t{batch_id}\t{one.first}\t{which}\t{kind}\n"
