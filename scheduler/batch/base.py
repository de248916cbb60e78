"""The contract of a batch system. Adding one adds three files of its name and touches no other:

``scheduler/batch/NAME.py``       pure: a module-level ``SYSTEM``, an instance of a subclass of `BatchSystem`
``templates/NAME.sh.j2``          the job's script: its directives, and where it learns its folder, id and attempt
``scheduler/remote/NAME.sh``      a word, six functions: batch_submit, _submitted, _live, _history, _cancel, _check

The word is goes_on: the pattern by which awk tells, of the lines that batch_live prints, those of jobs that simply wait
or run. Until such a job has told of its end its log is not read. In doubt a line does not match.

batch_check QUEUE ACCOUNT SCRIPT submits nothing. Its lines are the same for every dialect, fields parted by tabs, and
`offer.py` reads them; all may be left out. ``said NAME CODE WORDS`` prints one with what a command said::

    version  name and version           live, history  exit code  words        (queue and accounting were asked)
    missing  a command                  trial          exit code  words        (the script's directives were tried)
    array    most elements of an array  account        of this user  queue that it is for, or ""
    queue    name  "up" or what it is instead  longest walltime, as D-HH:MM:SS  "default" or ""

Nothing here runs anything. The sh functions say the commands over there; the methods read what they printed.
"""

from __future__ import annotations

import importlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from scheduler.job.evidence import Observation
from scheduler.job.resources import Resources

Key = tuple[str, int]
"""A batch's name over there, and the index of an element in it (0 for a single job)."""

REST = -1
"""The index of a row that speaks of those elements of an array that have none of their own."""


@dataclass(frozen=True)
class Ask:
    """What one batch asks of the batch system.

    Attributes:
        name: of the batch, unique, made of ``[A-Za-z0-9._+-]``.
        count: of its elements; an array, if more than one.
        first: number of its first element in its bundle.
        resources: complete: the site's defaults are in.
        memory_style: the site's: per_node, per_cpu or omit.
        exclude: nodes to stay away from, where the batch system can be told so; else it is passed over.
    """

    name: str
    count: int
    first: int
    resources: Resources
    memory_style: str = "per_node"
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class Accepted:
    """The batch system took it."""

    batch_id: str


@dataclass(frozen=True)
class Refused:
    """The batch system did not take it, and said so."""

    words: str
    exit_code: int


@dataclass(frozen=True)
class Full:
    """The batch system did not take it, because this user has as many jobs there as it allows. Later it may."""

    words: str
    exit_code: int


@dataclass(frozen=True)
class Unknown:
    """The batch system may have taken it. Only its queue and history can tell."""

    words: str
    exit_code: int | None


Outcome = Accepted | Refused | Full | Unknown


class BatchSystem(ABC):
    """One dialect. Without state: an instance is a table of words with a few rules."""

    name: str
    submit_command: str
    """As a person would type it, for messages."""
    arrays: bool = True
    """It has job arrays."""
    strikes_out: bool = False
    """An element that is cancelled while it waits leaves no row anywhere, though its array has rows."""
    poll_seconds: float = 30.0
    """How long to wait between two questions, where the site does not say. Sites ask for 30 to 60 s."""

    @abstractmethod
    def directives(self, ask: Ask) -> str:
        """The header's lines that tell the batch system what is asked.

        Raises:
            ConfigError: a directive of the site's or the job's own is unknown, or sets what we set.
        """

    @abstractmethod
    def read_submit(self, exit_code: int, words: str) -> Outcome:
        """What its submit command meant. In doubt it is `Unknown`: a refusal must be certain."""

    @abstractmethod
    def read_live(self, lines: Iterable[str]) -> Mapping[Key, Observation]:
        """What its queue says. A line begins with the name of its batch and ``|``: by that its batch is told, before it
        is read any further. One that cannot be read concerns that line only."""

    @abstractmethod
    def read_history(self, lines: Iterable[str], names: Mapping[str, str]) -> Mapping[Key, Observation]:
        """What its accounting says. `names`: batch id → batch name; rows of other names are not ours."""

    def no_history(self, words: str) -> bool:
        """These words of a failed question mean that the site keeps no history, now or later."""
        return False


def find(name: str) -> BatchSystem:
    """The batch system of that name; `Site` has checked that there is one."""
    system = importlib.import_module(f"scheduler.batch.{name}.system").SYSTEM
    assert isinstance(system, BatchSystem)  # noqa: S101  (the contract above)
    return system


@cache
def text_of(name: str, file: str) -> str:
    """The text of a file in the folder of the batch system of that name."""
    return (files(f"scheduler.batch.{name}") / file).read_text(encoding="utf-8")


_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9})(?::([0-9]{1,9}))?)?\Z")
MOST_INDICES = 4_000_001
"""Slurm's own bound of an index; a range that is longer is nobody's array."""


def read_indices(text: str) -> list[int]:
    """The numbers of an array expression: ``0-3,7``, ``[1-9:2%4]``; nothing for what is none."""
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return [int(text)]
    found: list[int] = []
    for part in text.strip("[]").split("%")[0].split(","):
        match = _RANGE.match(part)
        if match:
            first, last, step = match[1], match[2] or match[1], match[3] or "1"
            numbers = range(int(first), int(last) + 1, max(1, int(step)))
            if len(found) + len(numbers) > MOST_INDICES:
                return []
            found.extend(numbers)
    return found


def write_indices(numbers: Iterable[int]) -> str:
    """The shortest expression of these numbers: ``0-3,7``."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
