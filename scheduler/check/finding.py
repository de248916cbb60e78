"""One finding of a check as a value: what was checked, the result, what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Mark(Enum):
    """The result of a check: as it should be, worth knowing, or jobs would fail."""

    OK = "ok"
    NOTE = "note"
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """One finding of a check.

    Attributes:
        name: what was checked.
        words: what was found.
        do: what to do about it; empty if there is nothing to do.
    """

    name: str
    mark: Mark
    words: str
    do: str = ""


def ok(name: str, words: str) -> Finding:
    """A finding that is as it should be."""
    return Finding(name, Mark.OK, words)


def note(name: str, words: str, do: str = "") -> Finding:
    """A finding worth knowing that is not a failure."""
    return Finding(name, Mark.NOTE, words, do)


def failed(name: str, words: str, do: str) -> Finding:
    """A finding that makes jobs fail."""
    return Finding(name, Mark.FAILED, words, do)
