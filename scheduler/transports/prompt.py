"""How a prompter is asked for a password, a passphrase or a code: at their terminal, and never where nobody is. No SSH.

What is answered is kept by nobody here; it is never shown, logged or written down.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

NO_PROMPT = "SCHEDULER_NO_PROMPT"
"""A variable that forbids all questions; the command's --no-prompt sets it."""
ANSWER_SECONDS = 120.0
"""So long an answer may take: as long as OpenSSH's server waits for a login."""
_TERMINAL = "/dev/tty"


class Prompter(ABC):
    """Somebody who may be asked."""

    @abstractmethod
    def absent(self) -> str:
        """Why nobody can be asked, as the second half of a sentence; empty if somebody can."""

    @abstractmethod
    def tell(self, text: str) -> None:
        """Show what a host has to say while it lets somebody in."""

    @abstractmethod
    def ask(self, question: str, *, shown: bool) -> str | None:
        """The answer to a question; None if nobody answered in time. `shown`: what is typed may be seen."""

    def attention(self) -> AbstractContextManager[None]:
        """Meanwhile another program talks to the person at the same terminal."""
        return nullcontext()


class NoPrompter(Prompter):
    """Where questions are not wanted."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def absent(self) -> str:
        return self._reason

    def tell(self, text: str) -> None:
        """There is nobody to tell."""

    def ask(self, question: str, *, shown: bool) -> str | None:
        return None


class TerminalPrompter(Prompter):
    """Whoever sits at the terminal that this process belongs to, wherever its input and output go.

    Args:
        curtain: what is drawn on the terminal meanwhile, such as a progress bar, is put away by this.
    """

    def __init__(self, curtain: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self._curtain = curtain

    def absent(self) -> str:
        if os.environ.get(NO_PROMPT, "0") != "0":
            return f"nobody may be asked (--no-prompt, or {NO_PROMPT})"
        try:
            with _terminal() as terminal:
                # To read there from the background would stop this process until somebody says `fg`.
                in_front = os.tcgetpgrp(terminal) == os.getpgrp()
        except OSError:
            return "there is no terminal to ask at"
        return "" if in_front else "this runs in the background, where nobody can be asked"

    def attention(self) -> AbstractContextManager[None]:
        return self._curtain()

    def tell(self, text: str) -> None:
        with self._curtain(), _terminal() as terminal:
            _write(terminal, text.strip() + "\n")

    def ask(self, question: str, *, shown: bool) -> str | None:
        with self._curtain(), _terminal() as terminal, _listening(terminal, shown=shown):
            _write(terminal, question if question.endswith(" ") else f"{question} ")
            return _line(terminal, until=time.monotonic() + ANSWER_SECONDS)


@contextlib.contextmanager
def _terminal() -> Iterator[int]:
    descriptor = os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _listening(terminal: int, *, shown: bool) -> Iterator[None]:
    """Nothing that was typed before counts as an answer, and the terminal is left as it was, whatever happens."""
    import termios

    before = termios.tcgetattr(terminal)
    during = termios.tcgetattr(terminal)
    during[3] |= termios.ICANON | termios.ISIG
    during[3] = during[3] | termios.ECHO if shown else during[3] & ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSAFLUSH, during)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
        if not shown:
            os.write(terminal, b"\n")


def _line(terminal: int, *, until: float) -> str | None:
    heard = b""
    while not heard.endswith(b"\n"):
        ready, _, _ = select.select([terminal], [], [], max(0.0, until - time.monotonic()))
        piece = os.read(terminal, 4096) if ready else b""
        if not piece:
            return None
        heard += piece
    return heard[:-1].decode("utf-8", "surrogateescape")


def _write(terminal: int, text: str) -> None:
    """What a host says must not act on the terminal."""
    seen = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii") for c in text)
    os.write(terminal, seen.encode("utf-8", "backslashreplace"))
