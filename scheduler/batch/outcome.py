"""What became of one submission to a batch system: accepted, refused, refused for now, or unknown. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.job.remote_text import MESSAGE_CHARACTERS, cut


class _Message:
    """The message of the batch system in `words`. It is recorded for each job of the batch, so it is cut here."""

    words: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", cut(self.words, MESSAGE_CHARACTERS))


@dataclass(frozen=True)
class Accepted:
    """The batch system accepted the batch and printed its id."""

    batch_id: str


@dataclass(frozen=True)
class Refused(_Message):
    """The batch system certainly did not accept the batch. `words`: its message, unedited."""

    words: str
    exit_code: int


@dataclass(frozen=True)
class GivenUp(Refused):
    """The batch was submitted several times with an unknown outcome, and no poll has observed it. It is withdrawn: it
    can never run. `words`, `exit_code`: of the last submission; -1: not known."""


@dataclass(frozen=True)
class Full(_Message):
    """The batch system refused the batch because a limit on queued jobs is reached. It may accept the batch later.

    `never_fits`: it was refused while no job of the user was in the queue, so the batch alone exceeds the limit.
    """

    words: str
    exit_code: int
    never_fits: bool = False


@dataclass(frozen=True)
class Unknown(_Message):
    """The batch system may have accepted the batch. Its queue and history must be queried by the batch's name."""

    words: str
    exit_code: int | None


NOTHING_QUEUED = "no job of this user is in the queue"
"""``submit_within_limits`` in ``engine/prelude.sh`` prints it after the message of a limit, if the batch was refused a
second time while nothing was in the queue."""

Outcome = Accepted | Refused | Full | Unknown
