"""Rows of the ledger's database as values: what a newcomer reads to know what is recorded. `mapping.py` builds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

from scheduler.job.outcome.facts import Facts
from scheduler.job.state import JobState, Status


class Slot(IntEnum):
    """Whether a batch may be submitted to the batch system (a site may limit how many jobs it has in its queue)."""

    WAITS = 0
    """Not yet: the site's queue limit is reached."""
    HAS = 1
    """It may be submitted, or has been."""
    NEVER = 2
    """All of its jobs were cancelled while it waited."""


class Cancelling(IntEnum):
    """How far the cancellation of an unfinished job is. It is recorded before the site is contacted."""

    NO = 0
    """It is not to be cancelled."""
    REQUESTED = 1
    """It must never be handed to the batch system again; if the batch system has it, the next poll cancels it there."""
    SENT = 2
    """The batch system has accepted the cancellation; a poll observes the end."""


@dataclass(frozen=True, slots=True)
class BatchRow:
    """What is submitted to the batch system at once: a job, an array, or a pack.

    Attributes:
        bundle, first: the token of its bundle, and the number of its first job there.
        count: how many jobs it has.
        name: its name in the batch system.
        batch_id: the batch system's id; None until it is known.
        packed: one job of the batch system runs all of its jobs.
        slot: whether it may be submitted.
        full: it was refused once because the batch system accepted no more jobs.
        handovers: how often it was handed to the batch system once more, because no poll had observed it.
    """

    bundle: str
    first: int
    count: int
    name: str
    batch_id: str | None
    packed: bool
    slot: Slot
    full: bool
    handovers: int = 0


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as it is recorded. Folder, id and status belong to its last attempt.

    Attributes:
        key: its number in the ledger.
        bundle, first, element: the token of its bundle, the first element of its batch, its own number in the bundle.
        folder: the bundle's remote folder; None until it is known.
        sent: the site has answered for every batch of the bundle.
        name, batch_id: of its batch; the id is None until it is known.
        batch_system: the name of the site's batch system; empty if the ledger does not know it.
        patterns: its declared outputs.
        silent, silent_since: the number of polls in a row that found nothing of it, and the time of the first (seconds
            since 1970).
        collected: its outputs and results are downloaded, or never will be.
        results: what its payload returned or wrote, and ``error`` if it did not complete; None until it is collected.
        facts: what else is known since it was collected; None until then.
        created, updated: when it was recorded and when it changed last (seconds since 1970).
        in_array, packed: its batch is an array; its batch is one job of the batch system that runs several of our jobs.
        waiting: its batch waits locally for a slot in the site's queue.
        resources: the resources of its last attempt, as JSON; ``{}``: not known.
        retry: when it is retried automatically, as JSON; ``{}``: never.
        template: the local path of its own template, or None.
        retries: how many retries there were; the attempt number is ``retries + 1``.
        cancelling: whether its last attempt is to be cancelled.
        content: the digest of what its last attempt runs; empty: an older version recorded none.
    """

    key: int
    bundle: str
    first: int
    element: int
    folder: str | None
    sent: bool
    name: str
    batch_id: str | None
    job_id: str
    campaign: str | None
    site: str
    type: str
    working_dir: str
    patterns: Sequence[str]
    status: Status
    silent: int
    silent_since: float | None
    collected: bool
    results: Mapping[str, Any] | None
    created: float
    updated: float

    @property
    def index(self) -> int:
        """Its index in its batch, as the batch system counts: all jobs of a pack have 0."""
        return 0 if self.packed else self.element - self.first

    in_array: bool = False
    packed: bool = False
    waiting: bool = False
    resources: str = "{}"
    retry: str = "{}"
    template: str | None = None
    retries: int = 0
    batch_system: str = ""
    cancelling: Cancelling = Cancelling.NO
    facts: Facts | None = None
    content: str = ""

    @property
    def remote_dir(self) -> str | None:
        """Its remote folder, with its logs, its scripts and its own folder; None until it is known."""
        return None if self.folder is None else f"{self.folder}/{self.element}"


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An earlier attempt of a job, that is, not its last one.

    Attributes:
        job: the key of the job.
        retries: how many retries there were before; 0 for the first attempt.
        folder, element: its bundle's remote folder, and its number there.
        batch_system, batch_id, index, in_array: as in `JobRow`.
        resources: what it requested, as JSON.
        replaced: when the next attempt was recorded (seconds since 1970).
    """

    job: int
    retries: int
    folder: str | None
    element: int
    batch_system: str
    batch_id: str | None
    index: int
    in_array: bool
    status: Status
    resources: str
    replaced: float


class PolledBatch(NamedTuple):
    """A batch with unfinished jobs.

    Attributes:
        bundle, first, size, name, batch_id, packed: as in `BatchRow`; `size` is its count.
        folder: the bundle's remote folder.
        settled_digest: a digest of the last poll's lines about it, if the same lines would change nothing; else empty.
        elements, keys: the numbers of its unfinished elements, and their keys, separated by commas.
        cancelling: those of `elements` whose cancellation the batch system has not accepted yet, separated by commas.
    """

    bundle: str
    first: int
    size: int
    name: str
    batch_id: str | None
    packed: int
    folder: str
    settled_digest: str
    elements: str
    keys: str
    cancelling: str = ""

    @property
    def in_array(self) -> bool:
        """It is an array of the batch system."""
        return self.size > 1 and not self.packed


class Element(NamedTuple):
    """A job of a polled batch: the fields that a poll may change, named as in `JobRow`."""

    key: int
    element: int
    status: Status
    silent: int
    silent_since: float | None


class StateRow(NamedTuple):
    """The state of one job of a bundle. `silent`, `cancelling`: as in `JobRow`."""

    key: int
    first: int
    element: int
    state: JobState
    silent: int = 0
    cancelling: Cancelling = Cancelling.NO


class Stand(NamedTuple):
    """What `wait` needs to know of a job."""

    state: JobState
    cause: str
    exit_code: int | None
    collected: int

    @property
    def done(self) -> bool:
        """It has finished and is collected."""
        return self.state.final and bool(self.collected)
