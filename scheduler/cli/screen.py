"""What goes to the screen: results on stdout, talk on stderr. Nothing of a job or a cluster gets there raw.

What is not for a terminal has no colour and is not cut to a width.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from scheduler.transports.asking import Person

_NO_TERMINAL = 100_000
"""So wide is what is no terminal: lines are not folded there."""


@cache
def results() -> Console:
    """Standard output."""
    return _console(on_stderr=False)


@cache
def talk() -> Console:
    """Standard error."""
    return _console(on_stderr=True)


def _console(*, on_stderr: bool) -> Console:
    stream = sys.stderr if on_stderr else sys.stdout
    width = None if stream.isatty() else _NO_TERMINAL
    return Console(stderr=on_stderr, width=width, highlight=False, markup=False, emoji=False)


_moving: list[tuple[Callable[[], None], Callable[[], None]]] = []
"""How to stop, and to go on with, what moves on the terminal just now: a bar, a spinner."""


@contextmanager
def moving(start: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    """Something moves on the terminal meanwhile; it stands aside when a person is asked something."""
    start()
    _moving.append((start, stop))
    try:
        yield
    finally:
        _moving.pop()
        stop()


@contextmanager
def _standing_aside() -> Iterator[None]:
    for _, stop in reversed(_moving):
        stop()
    try:
        yield
    finally:
        for start, _ in _moving:
            start()


def person() -> Person:
    """Who sits at the terminal, to be asked for passwords and codes."""
    from scheduler.transports.asking import AtTerminal

    return AtTerminal(_standing_aside)


def visible(text: str, *, keep: str = "") -> str:
    """`text` with everything that a terminal might act on as an escape; `keep`: characters left as they are."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def cell(text: str, style: str = "") -> Text:
    """Text of a job or a cluster as a cell of a table: no markup, no escapes."""
    return Text(visible(text), style=style)


def print_line(text: str, style: str = "") -> None:
    """One line of results."""
    results().print(Text(visible(text, keep="\t"), style=style), soft_wrap=True)


def say(text: str, style: str = "") -> None:
    """Talk, of one line or more."""
    talk().print(Text(visible(text, keep="\n\t"), style=style), soft_wrap=True)


def complain(text: str) -> None:
    """An error, of one line or more."""
    line = Text.assemble(("scheduler: ", "bold red"), visible(text, keep="\n\t"))
    talk().print(line, soft_wrap=True)


def print_json(value: Any) -> None:
    """A value for a program, on stdout. Everything but ASCII is escaped; a number that JSON has not is text."""
    sys.stdout.write(json.dumps(_json(value), indent=2, allow_nan=False) + "\n")


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def listed(words: Iterable[str]) -> str:
    """``a, b and c``."""
    *first, last = list(words) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def number_of(count: int, noun: str) -> str:
    """``1 job``, ``2 jobs``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
