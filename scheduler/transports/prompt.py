"""Prompting the user for a password, passphrase or one-time code at the terminal of this process. No SSH.

Nothing here stores an answer. An answer is never shown, logged or written to disk.
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
"""Environment variable that turns off all prompts; the command line option --no-prompt sets it."""
ANSWER_SECONDS = 120.0
"""How long a prompt waits for an answer: as long as OpenSSH's server waits for a login (LoginGraceTime)."""
NO_PROMPT_AFTER_LOSS = "there is no prompt after a lost connection: start again to be prompted"
"""Why a connection that replaces a lost one does not prompt: the user may have left."""
_TERMINAL = "/dev/tty"


class Prompter(ABC):
    """Asks the user for what a login needs."""

    @abstractmethod
    def unavailable(self) -> str:
        """Why the user cannot be prompted now, as a clause for a message; empty if they can."""

    @abstractmethod
    def show(self, text: str) -> None:
        """Show a host's text during a login, such as its instructions."""

    @abstractmethod
    def ask(self, question: str, *, shown: bool) -> str | None:
        """Prompt for one answer.

        Args:
            question: the prompt.
            shown: echo what the user types.

        Returns:
            The answer, or None if there was none in time.
        """

    def lend_terminal(self) -> AbstractContextManager[None]:
        """A context in which another program, such as ssh, prompts at the same terminal."""
        return nullcontext()


class NoPrompter(Prompter):
    """Never prompts.

    Args:
        reason: why not, as a clause for a message.
    """

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def unavailable(self) -> str:
        return self._reason

    def show(self, text: str) -> None:
        """Nothing is shown."""

    def ask(self, question: str, *, shown: bool) -> str | None:
        return None


class TerminalPrompter(Prompter):
    """Prompts at the controlling terminal of this process, even if stdin and stdout are redirected.

    Args:
        hide_display: a context in which a progress bar or other moving display is removed from the terminal.
    """

    def __init__(self, hide_display: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self._hide_display = hide_display

    def unavailable(self) -> str:
        if os.environ.get(NO_PROMPT, "0") != "0":
            return f"prompts are turned off (--no-prompt, or {NO_PROMPT})"
        try:
            with _terminal() as terminal:
                # A read from the terminal by a background process stops that process (SIGTTIN).
                in_foreground = os.tcgetpgrp(terminal) == os.getpgrp()
        except OSError:
            return "there is no terminal to prompt at"
        return "" if in_foreground else "this process is in the background of its terminal, where it cannot prompt"

    def lend_terminal(self) -> AbstractContextManager[None]:
        return self._hide_display()

    def show(self, text: str) -> None:
        with self._hide_display(), _terminal() as terminal:
            _write(terminal, text.strip() + "\n")

    def ask(self, question: str, *, shown: bool) -> str | None:
        with self._hide_display(), _terminal() as terminal, _line_input(terminal, shown=shown):
            _write(terminal, question if question.endswith(" ") else f"{question} ")
            return _read_line(terminal, until=time.monotonic() + ANSWER_SECONDS)


@contextlib.contextmanager
def _terminal() -> Iterator[int]:
    descriptor = os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _line_input(terminal: int, *, shown: bool) -> Iterator[None]:
    """Discard earlier input and read whole lines, with or without echo; afterwards restore the terminal's settings."""
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


def _read_line(terminal: int, *, until: float) -> str | None:
    typed = b""
    while not typed.endswith(b"\n"):
        ready, _, _ = select.select([terminal], [], [], max(0.0, until - time.monotonic()))
        piece = os.read(terminal, 4096) if ready else b""
        if not piece:
            return None
        typed += piece
    return typed[:-1].decode("utf-8", "surrogateescape")


def _write(terminal: int, text: str) -> None:
    """Write a host's text with control characters escaped, so that it cannot control the terminal."""
    escaped = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii") for c in text)
    os.write(terminal, escaped.encode("utf-8", "backslashreplace"))
