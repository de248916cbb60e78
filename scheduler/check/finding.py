"""One line of a check: what was looked at, how it stands, what to do about it. No word of what is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Mark(Enum):
    """How something stands."""

    OK = "ok"
    NOTE = "note"
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """One line of a check.

    Attributes:
        name: what was looked at.
        words: what was found.
        do: what to do about it; empty where nothing is to be done.
    """

    name: str
    mark: Mark
    words: str
    do: str = ""


def ok(name: str, words: str) -> Finding:
    """As it should be."""
    return Finding(name, Mark.OK, words)


def note(name: str, words: str, do: str = "") -> Finding:
    """Worth knowing, and no failure."""
    return Finding(name, Mark.NOTE, words, do)


def failed(name: str, words: str, do: str) -> Finding:
    """Jobs would fail."""
    return Finding(name, Mark.FAILED, words, do)
