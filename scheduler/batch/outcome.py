"""What became of one submission to a batch system: accepted, refused, refused for now, or unknown. Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Accepted:
    """The batch system accepted the batch and printed its id."""

    batch_id: str


@dataclass(frozen=True)
class Refused:
    """The batch system certainly did not accept the batch. `words`: its message, unedited."""

    words: str
    exit_code: int


@dataclass(frozen=True)
class GivenUp(Refused):
    """The batch was submitted several times with an unknown outcome, and no poll has observed it. It is withdrawn: it
    can never run. `words`, `exit_code`: of the last submission; -1: not known."""


@dataclass(frozen=True)
class Full:
    """The batch system refused the batch because a limit on queued jobs is reached. It may accept the batch later."""

    words: str
    exit_code: int


@dataclass(frozen=True)
class Unknown:
    """The batch system may have accepted the batch. Its queue and history must be queried by the batch's name."""

    words: str
    exit_code: int | None


Outcome = Accepted | Refused | Full | Unknown
