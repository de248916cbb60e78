"""One recorded bundle goes to its site: large files first, then submit.sh with the rest; its reply is recorded.

After a lost connection or a killed process the same bundle may be sent again: submit.sh hands each batch to the batch
system at most once.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scheduler.batch.indices import write_indices
from scheduler.engine import programs
from scheduler.engine.context import SiteContext
from scheduler.engine.submit import record, spool, upload
from scheduler.engine.submit.reply import CANNOT_WRITE, MOST_HANDOVERS, SubmitReply, read_submit_reply
from scheduler.errors import BatchError, JobError
from scheduler.job.state import JobState
from scheduler.ledger.rows import BatchRow, Cancelling, Slot, StateRow
from scheduler.quoting import quote_path
from scheduler.site.site import Site
from scheduler.transports.base import LONGEST_SECONDS, Expanded

UNOBSERVED_POLLS = 3
"""A batch whose submission has no known outcome is submitted once more after this many answered polls that did not
observe it. If both arrive, the run-once guard of its scripts lets one run."""
SEND_SECONDS = 300.0
"""The longest time without data while a bundle is sent: a Slurm controller that hangs answers after 10 s."""
BATCH_SECONDS = 60.0
"""For each batch, the time that its submission may take in addition to `LONGEST_SECONDS`."""


def send(token: str, context: SiteContext, *, resubmit: bool) -> SubmitReply:
    """Send a recorded bundle, or query it if the site has it already, and record the reply.

    The batches that have a slot are handed to the batch system.

    Args:
        token: the bundle's.
        context: its site.
        resubmit: whether to submit batches once more whose submission has no known outcome, and that no poll has
            observed since; after `MOST_HANDOVERS` submissions they are withdrawn instead.

    Raises:
        TransportError: the connection was lost; which batches were accepted is not known yet, and nothing is lost.
        JobError: its pickles need another Python, or a large file has changed before it was sent. Nothing was
            submitted, and the record of the bundle is deleted.
        JobError: the site has bundles of the same campaign that the ledger does not know. Nothing was submitted, and
            the record of the bundle is deleted.
        BatchError: submit.sh failed before any batch was submitted (for instance: the work_dir cannot be written).
    """
    path = context.ledger.spool(token)
    with _unsubmitted_again(path):
        return _send(path, token, context, resubmit=resubmit)


@contextlib.contextmanager
def _unsubmitted_again(path: Path) -> Iterator[None]:
    """Note that still nothing was submitted if submit.sh has stopped before its first batch, as all its runs before."""
    before = spool.is_unsubmitted(path)
    try:
        yield
    except BatchError as error:
        if before and error.exit_code == CANNOT_WRITE:
            spool.mark_unsubmitted(path)
        raise


def _send(path: Path, token: str, context: SiteContext, *, resubmit: bool) -> SubmitReply:
    staged = _stage(path, token, context)
    changed = spool.changed(path)
    recorded = _Recorded.read(token, context)  # after the upload, which may take long: jobs may be cancelled meanwhile
    nothing_to_send = staged is None or changed or "bundle" in staged
    with spool.chunks(path) as chunks:
        stdin = _leaving(path, [spool.EMPTY_TAR] if nothing_to_send else chunks)
        reply = _exchange(recorded, context, stdin=stdin, resubmit=resubmit, staged=staged or "")
    if reply.unknown:
        record.drop(token, context.ledger)
        raise JobError(_unknown_bundles(context.site, reply.unknown))
    if recorded.python and reply.python and reply.python != recorded.python.split()[0]:
        record.drop(token, context.ledger)
        raise JobError(_other_python(context.site, recorded.python, reply.python))
    if changed and reply.empty:
        record.drop(token, context.ledger)
        raise JobError(f"{changed!r} was changed before it was sent; nothing was submitted. Submit again")
    if reply.empty and not path.exists():
        record.record_lost(token, context.ledger)
    record.record_reply(reply, recorded.batches, context)
    return reply


def _leaving(path: Path, stdin: Iterable[bytes]) -> Iterator[bytes]:
    """What is sent, after a note that it is: a transport that cannot connect asks for nothing of it."""
    spool.leave(path)
    yield from stdin


def due(token: str, context: SiteContext) -> tuple[bool, bool]:
    """Whether batches of a bundle are due for another submission, and whether some are given up: no poll has observed
    them since they were submitted last."""
    choices = _Recorded.read(token, context).choices(resubmit=True)
    return bool(choices.due), bool(choices.given_up)


def query(token: str, context: SiteContext) -> SubmitReply:
    """Find out what became of a bundle whose submission was interrupted, without sending it.

    If the site has the bundle, its batches are handed to the batch system; if not, `SubmitReply.empty` is set.

    Args:
        token: the bundle's.
        context: its site.

    Raises:
        TransportError, BatchError: as `send`.
    """
    recorded = _Recorded.read(token, context)
    reply = _exchange(recorded, context, stdin=[spool.EMPTY_TAR], resubmit=False)
    record.record_reply(reply, recorded.batches, context)
    return reply


@dataclass(frozen=True)
class Choices:
    """What submit.sh does with the batches and elements of a bundle.

    Attributes:
        now: batches that are handed to the batch system, unless they were before.
        again: those of `now` that are handed over although they were before: they are due for another submission, or
            the batch system was full.
        due: those of `again` that no poll has observed.
        cancelled: elements that must never run.
        given_up: batches that were handed over often enough: they are withdrawn.
    """

    now: Sequence[int]
    again: Sequence[int]
    due: Sequence[int]
    cancelled: Sequence[int]
    given_up: Sequence[int]


@dataclass(frozen=True)
class _Recorded:
    """What the ledger has of a bundle, read once.

    Attributes:
        token: the bundle's.
        python: the Python version that its pickles need, a blank, and what is pickled and why; or empty.
        probe: a command that prints the version of the site's Python, or empty.
        batches, states: its batches, and the states of its jobs.
    """

    token: str
    python: str
    probe: str
    batches: Sequence[BatchRow]
    states: Sequence[StateRow]

    @classmethod
    def read(cls, token: str, context: SiteContext) -> _Recorded:
        ledger = context.ledger
        bundle = ledger.bundle(token)
        return cls(token, bundle["python"], bundle["probe"], ledger.batches(token), ledger.states(token))

    def choices(self, *, resubmit: bool) -> Choices:
        """Which batches and elements submit.sh hands over.

        Args:
            resubmit: batches that no poll has observed are due for another submission, or given up.
        """
        without_id = {batch.first for batch in self.batches if batch.batch_id is None}
        cancelled = [row for row in self.states if row.first in without_id and _is_cancelled(row)]
        live = {row.first for row in self.states if not _is_cancelled(row)}
        with_slot = [batch for batch in self.batches if batch.slot is Slot.HAS and batch.first in live]
        unknown = {row.first for row in self.states if row.state is JobState.SUBMITTING} & without_id
        due = {batch.first for batch in with_slot if resubmit and batch.first in unknown and self._is_due(batch)}
        given_up = {batch.first for batch in with_slot if batch.first in due and batch.handovers + 1 >= MOST_HANDOVERS}
        full = {batch.first for batch in with_slot if batch.first in unknown and batch.full}
        return Choices(
            now=[batch.first for batch in with_slot if batch.first not in given_up],
            again=sorted((due | full) - given_up),
            due=sorted(due - given_up),
            cancelled=[row.element for row in cancelled],
            given_up=sorted(given_up),
        )

    def _is_due(self, batch: BatchRow) -> bool:
        """Whether enough polls have not observed the batch since it was submitted last."""
        silent = min(row.silent for row in self.states if row.first == batch.first and not _is_cancelled(row))
        return silent >= UNOBSERVED_POLLS * (batch.handovers + 1)


def _is_cancelled(row: StateRow) -> bool:
    return row.state is JobState.CANCELLED or row.cancelling is not Cancelling.NO


def _exchange(
    recorded: _Recorded, context: SiteContext, *, stdin: Iterable[bytes], resubmit: bool, staged: str = ""
) -> SubmitReply:
    site = context.site
    choices = recorded.choices(resubmit=resubmit)
    args: list[str | Expanded] = [_work_dir(site), recorded.token, str(site.limits.running or 0), recorded.probe]
    args += [*map(write_indices, (choices.now, choices.again, choices.cancelled)), staged]
    campaign = context.ledger.recovery.campaign_of(recorded.token)
    program = programs.program("submit", site.scheduler)
    program = replace(program, longest_seconds=LONGEST_SECONDS + BATCH_SECONDS * len(recorded.batches))
    known = " ".join(context.ledger.recovery.tokens(campaign)) if campaign else ""
    args += [_digest(campaign, site) if campaign else "", known, write_indices(choices.given_up)]
    if choices.due:
        context.ledger.count_handovers(recorded.token, choices.due)
    reply = context.transport.run(program, args, stdin=stdin, timeout=SEND_SECONDS)
    found = read_submit_reply(reply, context.system, {batch.first for batch in recorded.batches})
    if found.unknown:  # another process with this ledger may have submitted them meanwhile
        tokens = set(context.ledger.recovery.tokens(campaign))
        found.unknown = tuple(one for one in found.unknown if one not in tokens)
    if reply.exit_code != 0 and not found.outcomes:
        words = reply.message()
        message = f"site {site.name!r}: nothing was submitted: {words}"
        raise BatchError(message, command="submit", exit_code=reply.exit_code, words=words)
    return found


def _stage(path: Path, token: str, context: SiteContext) -> str | None:
    """Upload large files ahead of the bundle.

    Returns:
        How submit.sh joins them, or empty without large files; None if the site has the bundle already.
    """
    large = spool.large(path)
    if not large or spool.changed(path):
        return ""
    context.transport.upload_streams()  # connects: if that fails, nothing was sent
    spool.leave(path)
    return upload.stage(large, (_work_dir(context.site), token), context.transport, resumed=spool.mark_upload(path))


def _digest(campaign: str, site: Site) -> str:
    """The name of the remote folder in which the bundles of a campaign are noted."""
    return hashlib.sha256(f"{site.scheduler}\0{campaign}".encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _unknown_bundles(site: Site, tokens: Sequence[str]) -> str:
    return (
        f"site {site.name!r}: its work_dir has submissions of this campaign that the ledger does not know "
        f"({len(tokens)}, {tokens[0]} first): the ledger was lost, or another machine has submitted them. Nothing was "
        f"submitted. To record them: scheduler adopt {site.name} (or the path of its site file). To run the "
        "jobs all the same, choose another name for the campaign (--campaign)"
    )


def _work_dir(site: Site) -> Expanded:
    return Expanded(quote_path(site.work_dir, what="work_dir"))


def _other_python(site: Site, needed: str, found: str) -> str:
    needed, _, why = needed.partition(" ")
    why = f" ({why})" if why else ""
    return (
        f"site {site.name!r}: a function of these jobs is sent by cloudpickle{why}, which needs the local Python "
        f"version, {needed}; the site's {site.python!r} is {found}. Nothing was submitted. Make it a module-level "
        f"function with params that JSON can hold, set the site's `python:` to a Python {needed}, or run it in a "
        "container with one"
    )
