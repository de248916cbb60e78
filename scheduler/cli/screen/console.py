"""Prints text and JSON: results on stdout, messages on stderr. Text of jobs and clusters is escaped first.

Only a terminal gets colours and lines cut to its width.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import IO, TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # rich is imported only for a terminal
    from rich.console import Console

    from scheduler.transports.prompt import Prompter

_FORCED = ("FORCE_COLOR", "TTY_COMPATIBLE")
"""If one of these is in the environment, rich may treat a pipe or a file as a terminal."""
_UNLIMITED_WIDTH = 100_000
"""The width that rich assumes for a pipe or a file, so that it folds no lines."""


@cache
def stdout_console() -> Console:
    """The rich console of standard output."""
    return _console(on_stderr=False)


@cache
def stderr_console() -> Console:
    """The rich console of standard error."""
    return _console(on_stderr=True)


def is_plain(stream: IO[str]) -> bool:
    """The stream gets text without colours: it is not a terminal, and the environment does not force colours."""
    return not stream.isatty() and not any(os.environ.get(name) for name in _FORCED)


def _console(*, on_stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if on_stderr else sys.stdout
    width = None if stream.isatty() else _UNLIMITED_WIDTH
    return Console(stderr=on_stderr, width=width, highlight=False, markup=False, emoji=False)


_animations: list[tuple[Callable[[], None], Callable[[], None]]] = []
"""How to start and to stop each progress bar or spinner that is on the terminal now."""


@contextmanager
def on_interrupt(message: str) -> Iterator[None]:
    """On Ctrl-C in this context, print what happens to the jobs and raise KeyboardInterrupt again."""
    try:
        yield
    except KeyboardInterrupt:
        print_message(message)
        raise


@contextmanager
def animation(start: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    """Show a progress bar or a spinner in this context. It is stopped during a password prompt."""
    start()
    _animations.append((start, stop))
    try:
        yield
    finally:
        _animations.pop()
        stop()


@contextmanager
def _animations_stopped() -> Iterator[None]:
    for _, stop in reversed(_animations):
        stop()
    try:
        yield
    finally:
        for start, _ in _animations:
            start()


def prompter() -> Prompter:
    """Asks the user at the terminal for passwords, passphrases and one-time codes."""
    from scheduler.transports.prompt import TerminalPrompter

    return TerminalPrompter(_animations_stopped)


def printable(text: str, *, keep: str = "") -> str:
    """`text` with control and other non-printable characters as escapes; `keep`: characters that stay unchanged."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


class Cell(NamedTuple):
    """Text in a table, safe for a terminal."""

    plain: str
    style: str = ""


def cell(text: str, style: str = "") -> Cell:
    """Text of a job or a cluster as a cell of a table, escaped by `printable`."""
    return Cell(printable(text), style)


def print_line(text: str, style: str = "") -> None:
    """Print one line of results on stdout."""
    _print((printable(text, keep="\t"), style))


def print_message(text: str, style: str = "") -> None:
    """Print a message on stderr; it may have several lines."""
    _print((printable(text, keep="\n\t"), style), on_stderr=True)


def print_error(text: str) -> None:
    """Print an error on stderr, after ``scheduler:``; it may have several lines."""
    _print(("scheduler: ", "bold red"), (printable(text, keep="\n\t"), ""), on_stderr=True)


def _print(*parts: tuple[str, str], on_stderr: bool = False) -> None:
    stream = sys.stderr if on_stderr else sys.stdout
    if is_plain(stream):
        stream.write("".join(text for text, _ in parts) + "\n")
        stream.flush()
        return
    from rich.text import Text

    (stderr_console() if on_stderr else stdout_console()).print(Text.assemble(*parts), soft_wrap=True)


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout. Non-ASCII characters are escaped; NaN and infinities are printed as text."""
    sys.stdout.write(json.dumps(_json(value), indent=2, allow_nan=False) + "\n")


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def join_with_and(words: Iterable[str]) -> str:
    """``a, b and c``."""
    *first, last = list(words) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def number_of(count: int, noun: str) -> str:
    """``1 job``, ``2 jobs``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
