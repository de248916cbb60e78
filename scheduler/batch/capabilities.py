"""What a batch system reports about itself when a site is checked: version, queues, limits, accounts. Pure.

``batch_check QUEUE ACCOUNT SCRIPT`` of every batch system prints the same lines. It submits nothing. Fields are
separated by tabs; every line may be missing::

    version  name and version
    missing  command that does not exist
    live     exit code  output                      the queue was queried
    history  exit code  output                      the accounting was queried
    trial    exit code  output                      the directives of SCRIPT were tried without submitting it
    variable name  value                            of the login node, which the submit command applies to every job
    array    the most tasks of one array
    options  the long options of the submit command, separated by blanks, as its help lists them
    account  name  queue                            an account of this user, and the queue it is for, or ""
    queue    name  state  walltime  default         state: "up", or what it is instead; walltime: the longest, as
                                                    D-HH:MM:SS; default: "default" or ""

In ``NAME.sh``, ``fact live CODE OUTPUT`` prints one of the lines with an exit code.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice

from scheduler.job.numerals import read_number
from scheduler.job.remote_text import MESSAGE_CHARACTERS, cut
from scheduler.job.units import parse_walltime

MOST_LINES = 5000
"""The most lines that are read: a site has fewer queues, and a user fewer accounts."""


@dataclass(frozen=True)
class Answer:
    """The exit code and the output of a remote command, of a long one the beginning and the end."""

    code: int
    words: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", cut(self.words, MESSAGE_CHARACTERS))

    @property
    def well(self) -> bool:
        """Whether it succeeded."""
        return self.code == 0


@dataclass(frozen=True)
class Queue:
    """A partition of Slurm, a queue of PBS.

    Attributes:
        name: as jobs request it.
        state: ``up``, or the batch system's own word for its state.
        walltime: the longest walltime of a job; None if there is no limit or it is not known.
        default: whether it is the queue of jobs that request none.
    """

    name: str
    state: str
    walltime: timedelta | None
    default: bool


@dataclass
class Capabilities:
    """Everything that ``batch_check`` printed. What it did not print is None or empty.

    Attributes:
        version: name and version, for users.
        missing: commands that do not exist on the login node.
        live, history: the answers of the queue and of the accounting.
        trial: the answer to the site's own directives, which were tried without submitting anything.
        queues: all queues.
        array_size: the most tasks of one array.
        options: the long options of the submit command, without dashes.
        variables: variables of the login node that change jobs which leave something open: name and value.
        accounts: the user's accounts, each with the queue it is for, or an empty string.
    """

    version: str = ""
    missing: list[str] = field(default_factory=list)
    live: Answer | None = None
    history: Answer | None = None
    trial: Answer | None = None
    queues: list[Queue] = field(default_factory=list)
    array_size: int | None = None
    options: frozenset[str] = frozenset()
    variables: list[tuple[str, str]] = field(default_factory=list)
    accounts: list[tuple[str, str]] = field(default_factory=list)

    def queue(self, name: str | None) -> Queue | None:
        """The queue of this name, or the default queue if `name` is None. None if there is no such queue."""
        return next((one for one in self.queues if (one.default if name is None else one.name == name)), None)


def read_capabilities(lines: Iterable[str]) -> Capabilities:
    """Read the lines of ``batch_check``. A line that cannot be read is skipped."""
    found = Capabilities()
    for line in islice(lines, MOST_LINES):
        tag, *fields = line.rstrip("\r").split("\t", 5)
        fields = [cut(field, MESSAGE_CHARACTERS) for field in fields] + [""] * 4
        if tag == "version":
            found.version = fields[0].strip()
        elif tag == "missing":
            found.missing.append(fields[0])
        elif tag in ("live", "history", "trial"):
            setattr(found, tag, Answer(number(fields[0], 1), fields[1].strip()))
        elif tag == "queue":
            found.queues.append(Queue(fields[0], fields[1], _walltime(fields[2]), fields[3] == "default"))
        elif tag == "variable" and fields[0]:
            found.variables.append((fields[0], fields[1]))
        elif tag == "array":
            found.array_size = number(fields[0], 0) or None
        elif tag == "options":
            found.options = frozenset(word.removeprefix("--") for word in fields[0].split())
        elif tag == "account" and fields[0]:
            found.accounts.append((fields[0], fields[1]))
    return found


def number(text: str, otherwise: int) -> int:
    """The number in `text`, or `otherwise` if it is not a number of reasonable length."""
    found = read_number(text)
    return otherwise if found is None else found


def _walltime(text: str) -> timedelta | None:
    """``2-00:00:00``, ``72:00:00``. ``infinite``, ``UNLIMITED`` and what cannot be read mean no limit."""
    try:
        return parse_walltime(text)
    except ValueError:
        return None
