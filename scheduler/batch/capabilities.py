"""What a batch system says of itself when a site is checked: version, queues, limits, accounts. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from scheduler.job.units import parse_walltime

_MOST_DIGITS = 9


@dataclass(frozen=True)
class Answer:
    """A command over there: its exit code, and what it said."""

    code: int
    words: str

    @property
    def well(self) -> bool:
        """It ended well."""
        return self.code == 0


@dataclass(frozen=True)
class Queue:
    """A partition of Slurm, a queue of PBS.

    Attributes:
        state: ``up``, or the batch system's own word for what it is instead.
        walltime: the longest that a job may run in it; None: no limit, or not said.
        default: it is taken by who names none.
    """

    name: str
    state: str
    walltime: timedelta | None
    default: bool


@dataclass
class Offer:
    """All that ``batch_check`` printed; what it did not say is None or empty.

    Attributes:
        version: name and version, for a person.
        missing: commands that are not there.
        live, history: did queue and accounting answer?
        trial: what was said to the site's own directives without submitting anything.
        array_size: the most elements of one array.
        accounts: those of this user, each with the queue that it is for, or an empty word.
    """

    version: str = ""
    missing: list[str] = field(default_factory=list)
    live: Answer | None = None
    history: Answer | None = None
    trial: Answer | None = None
    queues: list[Queue] = field(default_factory=list)
    array_size: int | None = None
    accounts: list[tuple[str, str]] = field(default_factory=list)

    def queue(self, name: str | None) -> Queue | None:
        """The queue of that name, or the default one for None."""
        return next((one for one in self.queues if (one.default if name is None else one.name == name)), None)


def read_offer(lines: Iterable[str]) -> Offer:
    """The lines of ``batch_check``, fields parted by tabs. One that cannot be read is passed over."""
    offer = Offer()
    for line in lines:
        tag, *fields = line.rstrip("\r").split("\t")
        fields += [""] * 4
        if tag == "version":
            offer.version = fields[0].strip()
        elif tag == "missing":
            offer.missing.append(fields[0])
        elif tag in ("live", "history", "trial"):
            setattr(offer, tag, Answer(number(fields[0], 1), fields[1].strip()))
        elif tag == "queue":
            offer.queues.append(Queue(fields[0], fields[1], _length(fields[2]), fields[3] == "default"))
        elif tag == "array":
            offer.array_size = number(fields[0], 0) or None
        elif tag == "account" and fields[0]:
            offer.accounts.append((fields[0], fields[1]))
    return offer


def number(text: str, otherwise: int) -> int:
    """A number of reasonable length, or what to take instead."""
    plain = text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
    return int(text) if plain else otherwise


def _length(text: str) -> timedelta | None:
    """``2-00:00:00``, ``72:00:00``; ``infinite``, ``UNLIMITED`` and what cannot be read are no limit."""
    try:
        return parse_walltime(text)
    except ValueError:
        return None
