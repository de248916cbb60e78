"""Jobs that failed are tried again: which are due, the bundle of them, and its record. `work` sends it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from scheduler.batch.base import BatchSystem
from scheduler.engine.submit import spool
from scheduler.errors import ConfigError, JobError
from scheduler.job.resources import Resources, Retry, memory_mib
from scheduler.job.retry_policy import Again, Bounds, Enough, difference, next_attempt, single_nodes, with_other
from scheduler.job.state import Cause, JobState, Status
from scheduler.ledger.attempts import Move
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow
from scheduler.render.frame import new_token
from scheduler.render.retry import NextBundle, RetryRequest, render_retries
from scheduler.site.site import Site


def judge(rows: Sequence[JobRow], site: Site, ledger: Ledger) -> dict[int, Again | Enough]:
    """What follows on the end of jobs, by their keys; those of which nothing follows are left out."""
    rows = [row for row in rows if row.retry != "{}" and row.status.state is JobState.FAILED and not row.collected]
    rows = [row for row in rows if row.folder is not None]
    if not rows:
        return {}
    failed_nodes = _failed_nodes(rows, ledger)
    found: dict[int, Again | Enough] = {}
    for row in rows:
        following = next_attempt(
            row.status, Retry.from_json(json.loads(row.retry)), retries=row.retries, resources=resources_of(row, site),
            bounds=_bounds(site), failed_nodes=failed_nodes[row.key],
        )  # fmt: skip
        if following is not None:
            found[row.key] = following
    return found


def resources_of(row: JobRow, site: Site) -> Resources:
    """What its last attempt asked for, in full."""
    return Resources.from_json(json.loads(row.resources)).over(site.resources)


def wishes_for(rows: Sequence[JobRow], judged: Mapping[int, Again | Enough], site: Site) -> list[RetryRequest]:
    """Those of the jobs that are to be tried again, and what their history says of it."""
    wishes = []
    for row in rows:
        again = judged.get(row.key)
        if isinstance(again, Again):
            wishes.append(RetryRequest(row, again, reason_of(row, again, site)))
    return wishes


def reason_of(row: JobRow, again: Again, site: Site) -> str:
    """For the history: ``attempt 2, after failed: out of memory: memory 300M → 450M``."""
    parts = [difference(resources_of(row, site), again.resources)]
    parts += [f"not on {', '.join(again.exclude)}"] if again.exclude else []
    said = "; ".join(part for part in parts if part)
    return f"attempt {row.retries + 2}, after {row.status}" + (f": {said}" if said else "")


def plan(wishes: Sequence[RetryRequest], site: Site, system: BatchSystem, ledger: Ledger) -> str | None:
    """The bundle of these jobs and the intent to send it, on disk, before the first byte leaves.

    Returns:
        Its token; None, and nothing is recorded, if another process was faster with one of them.

    Raises:
        ConfigError: the template or a directive is wrong now.
    """
    bundle = render_retries(wishes, site, system, token=new_token())
    path = ledger.spool(bundle.token)
    spool.write(bundle.files, path)
    batches = [(one.first, len(one.requests), one.name, one.packed) for one in bundle.batches]
    site_json = site.to_json()
    if ledger.attempts.record(
        token=bundle.token, site=site.name, site_json=site_json, batches=batches, moves=_moves(bundle)
    ):
        return bundle.token
    spool.discard(path)
    return None


def _moves(bundle: NextBundle) -> list[Move]:
    return [
        Move(wish.row, one.first, element, json.dumps(wish.again.resources.to_json()), wish.why)
        for one in bundle.batches
        for element, wish in enumerate(one.requests, start=one.first)
    ]


def give_up_those_that_cannot(wishes: Sequence[RetryRequest], site: Site, system: BatchSystem, ledger: Ledger) -> int:
    """Those of which no header can be made any more are not tried again, and it is written down why. How many?"""
    wrong: dict[int, str] = {}
    for wish in wishes:
        try:
            render_retries([wish], site, system, token=new_token())
        except (ConfigError, JobError) as error:
            wrong[wish.row.key] = f"not tried again: {error}"
    _write_down([wish.row for wish in wishes], wrong, ledger)
    ledger.attempts.never_again(wrong)
    return len(wrong)


def say_enough(rows: Sequence[JobRow], judged: Mapping[int, Again | Enough], ledger: Ledger) -> None:
    """Write down of jobs, once, why there is no further attempt though one was to be expected."""
    enough = {key: one.why for key, one in judged.items() if isinstance(one, Enough)}
    _write_down([row for row in rows if not row.status.reason.endswith(enough.get(row.key, ""))], enough, ledger)


def _write_down(rows: Sequence[JobRow], why: Mapping[int, str], ledger: Ledger) -> None:
    said = {row.key: "; ".join(filter(None, [row.status.reason, why[row.key]])) for row in rows if row.key in why}
    changed = {row.key: replace(row.status, reason=said[row.key]) for row in rows if row.key in said}
    ledger.observe(changed, {key: why[key] for key in changed})


def why_not(row: JobRow) -> str:
    """Why a job cannot be tried again by hand; empty if it can."""
    if not row.status.final:
        return f"it has not ended ({row.status})"
    if row.status.state is JobState.COMPLETED:
        return "it completed"
    return "" if row.folder is not None else "nothing of it is over there; submit it again"


def by_hand(
    rows: Sequence[JobRow], site: Site, ledger: Ledger, *, memory: str | None, walltime: str | None
) -> list[RetryRequest]:
    """All of these jobs, with more memory or walltime if that is given.

    Raises:
        JobError: it is no amount, or more than the site allows.
    """
    failed_nodes = _failed_nodes(rows, ledger)
    wishes = []
    for row in rows:
        asked = with_other(resources_of(row, site), memory=memory, walltime=walltime)
        try:
            site.check_limits(asked)
        except JobError as error:
            raise JobError(f"job {row.job_id!r}: {error}") from None
        again = Again(asked, single_nodes(failed_nodes[row.key]))
        wishes.append(RetryRequest(row, again, reason_of(row, again, site)))
    return wishes


def _bounds(site: Site) -> Bounds:
    memory = site.limits.memory
    return Bounds(memory_mib(memory) if memory else None, site.limits.walltime, site.memory_style != "omit")


def _failed_nodes(rows: Sequence[JobRow], ledger: Ledger) -> dict[int, list[str]]:
    """On which nodes attempts of these jobs ended in a node failure."""
    ends: list[tuple[int, Status]] = [
        (one.job, one.status) for one in ledger.attempts.of(row.key for row in rows if row.retries)
    ]
    ends += [(row.key, row.status) for row in rows]
    found: dict[int, list[str]] = {row.key: [] for row in rows}
    for key, status in ends:
        if status.cause is Cause.NODE_FAILURE and status.node:
            found[key].append(status.node)
    return found
