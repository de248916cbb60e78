"""What is known of a job from each source: end file, queue, history, log. `engine/poll/settle.py` decides from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from scheduler.job.remote_text import WORD_CHARACTERS, cut, read_id
from scheduler.job.state import Cause, JobState


def _cut(value: End | Observation, *names: str) -> None:
    """Cut the text in these fields. A cluster's text is recorded once for each job, so that its length must be bounded
    where it enters: for every batch system, here."""
    for name in names:
        text = getattr(value, name)
        if len(text) > WORD_CHARACTERS:
            object.__setattr__(value, name, cut(text))


@dataclass(frozen=True, slots=True)
class End:
    """The end file of a job: its script writes it when the payload has ended.

    Attributes:
        requeues: the number of the run: how often the batch system had requeued the attempt.
        exit_code: of the payload.
        signal: the name of a signal that the script received (``TERM``); empty if none.
        started, ended: when the payload started and ended (UTC).
        node: the host name that the node reports.
        cannot: why the payload could not start; empty if it did.
        killed: whether a signal killed the payload, as its shell noticed; None: not known.
        missing: a declared output that does not exist; empty if there is none.
    """

    requeues: int
    exit_code: int
    signal: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    node: str = ""
    cannot: str = ""
    missing: str = ""
    killed: bool | None = None

    def __post_init__(self) -> None:
        _cut(self, "signal", "node", "cannot", "missing")


@dataclass(frozen=True, slots=True)
class Observation:
    """What the queue or the history reports about a job.

    Attributes:
        raw: the batch system's own word for the state, unedited.
        state: our state for that word; None if the word is not known to us.
        cause, exit_code, reason, node, started, ended: as in `Status`.
        requeues: how often the batch system has requeued the attempt; None if it does not report that.
        batch_id: the batch system's id; empty if the row has none.
    """

    raw: str
    state: JobState | None
    cause: Cause = Cause.NONE
    exit_code: int | None = None
    reason: str = ""
    node: str = ""
    requeues: int | None = None
    started: datetime | None = None
    ended: datetime | None = None
    batch_id: str = ""

    def __post_init__(self) -> None:
        _cut(self, "raw", "reason", "node")
        if self.batch_id and not read_id(self.batch_id):
            object.__setattr__(self, "batch_id", "")

    @property
    def active(self) -> bool:
        """Whether the batch system still has it, or reports a state that is not known to us."""
        return self.state is None or not self.state.final


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that one poll found about one job.

    Attributes:
        end: the end file of the newest run, or None.
        live, history: what the queue and the history report; None if they do not have the job.
        log: last lines of what the batch system wrote into the job's log.
        queue_answered: the queue was queried successfully, so that absence means something.
        history_answered: the history was queried successfully; None if the site has no history.
        silent_polls, silent_seconds: for how many polls in a row, and for how long, the queue has not had the job while
            nothing proved how it ended.
        end_age_seconds: how long ago the script ended, by the clock of the cluster.
        struck_out: the batch system lists the other tasks of its array but not this one, and its script has never
            started: it was deleted from the array.
        shared: `live` and `history` are about one job of the batch system that runs several of our jobs.
        log_cause: why the batch system ended the job, if `log` shows it.
        run: the number of the newest run that has begun, as the job's script recorded it; 0: it was not requeued.
    """

    end: End | None = None
    live: Observation | None = None
    history: Observation | None = None
    log: Sequence[str] = ()
    queue_answered: bool = False
    history_answered: bool | None = None
    silent_polls: int = 0
    silent_seconds: float = 0.0
    end_age_seconds: float = math.inf
    struck_out: bool = False
    shared: bool = False
    log_cause: Cause | None = None
    run: int = 0

    @property
    def silent(self) -> bool:
        """Whether the queue was queried successfully and does not have the job any more."""
        if self.live is not None:
            return self.queue_answered and not self.live.active
        return self.queue_answered and self.history_answered is not False
