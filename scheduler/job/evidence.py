"""What witnesses say of a job: its script, the queue, the history, its log. How they are weighed is in `settle.py`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from scheduler.job.state import Cause, JobState


@dataclass(frozen=True, slots=True)
class End:
    """What the script wrote when its payload had ended. `signal` is one that the script was sent, or empty."""

    requeues: int
    exit_code: int
    signal: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    node: str = ""
    cannot: str = ""
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a queue or a history says of a job. `state` is None for a word that we do not know."""

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

    @property
    def active(self) -> bool:
        """The batch system still has it, or says a word that we do not know."""
        return self.state is None or not self.state.final


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that one poll brought about one job.

    Attributes:
        end: of the newest attempt, or None.
        live, history: what the queue and the accounting say, or None if they know nothing.
        log: last lines of what the batch system wrote into the job's log.
        queue_answered: the query of the queue succeeded, so that absence means something.
        history_answered: the same of the history; None where the site has none.
        silent_polls, silent_seconds: for how long the queue has not had it, while nothing proved how it ended.
        end_age_seconds: how long ago the script ended, by the clock over there.
        struck_out: the rest of its array is known, and it alone is not, and its script has never begun.
        shared: what the queue and the accounting say is said of several jobs that share a node.
        log_cause: why the batch system ended the job, if `log` shows it.
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

    @property
    def silent(self) -> bool:
        """The queue was asked and answered, and does not have the job any more."""
        if self.live is not None:
            return self.queue_answered and not self.live.active
        return self.queue_answered and self.history_answered is not False
