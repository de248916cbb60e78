"""What goes to the screen: results on stdout, talk on stderr. Nothing of a job or a cluster gets there raw.

What is not for a terminal has no colour and is not cut to a width.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import IO, TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # what goes to a pipe or a file needs none of it
    from rich.console import Console

    from scheduler.transports.prompt import Prompter

_FORCED = ("FORCE_COLOR", "TTY_COMPATIBLE")
"""With one of these in the environment, what is no terminal may be treated as one."""
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


def is_plain(stream: IO[str]) -> bool:
    """Text goes there as it is: there is no terminal, and none is pretended."""
    return not stream.isatty() and not any(os.environ.get(name) for name in _FORCED)


def _console(*, on_stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if on_stderr else sys.stdout
    width = None if stream.isatty() else _NO_TERMINAL
    return Console(stderr=on_stderr, width=width, highlight=False, markup=False, emoji=False)


_moving: list[tuple[Callable[[], None], Callable[[], None]]] = []
"""How to stop, and to go on with, what moves on the terminal just now: a bar, a spinner."""


@contextmanager
def resumable(sentence: str) -> Iterator[None]:
    """Ctrl-C meanwhile is answered with what becomes of the jobs."""
    try:
        yield
    except KeyboardInterrupt:
        say(sentence)
        raise


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


def prompter() -> Prompter:
    """Asks the user at the terminal for passwords, passphrases and one-time codes."""
    from scheduler.transports.prompt import TerminalPrompter

    return TerminalPrompter(_standing_aside)


def visible(text: str, *, keep: str = "") -> str:
    """`text` with everything that a terminal might act on as an escape; `keep`: characters left as they are."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


class Cell(NamedTuple):
    """Text of a table that a terminal may be sent."""

    plain: str
    style: str = ""


def cell(text: str, style: str = "") -> Cell:
    """Text of a job or a cluster as a cell of a table: no markup, no escapes."""
    return Cell(visible(text), style)


def print_line(text: str, style: str = "") -> None:
    """One line of results."""
    _print((visible(text, keep="\t"), style))


def say(text: str, style: str = "") -> None:
    """Talk, of one line or more."""
    _print((visible(text, keep="\n\t"), style), on_stderr=True)


def complain(text: str) -> None:
    """An error, of one line or more."""
    _print(("scheduler: ", "bold red"), (visible(text, keep="\n\t"), ""), on_stderr=True)


def _print(*parts: tuple[str, str], on_stderr: bool = False) -> None:
    stream = sys.stderr if on_stderr else sys.stdout
    if is_plain(stream):
        stream.write("".join(text for text, _ in parts) + "\n")
        stream.flush()
        return
    from rich.text import Text

    (talk() if on_stderr else results()).print(Text.assemble(*parts), soft_wrap=True)


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
