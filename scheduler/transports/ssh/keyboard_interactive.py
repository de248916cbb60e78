"""Authentication method keyboard-interactive: the host's own prompts (PAM, one-time codes, Duo) go to the user."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence

import paramiko

from scheduler.errors import LoginError, TimedOut
from scheduler.transports.prompt import ANSWER_SECONDS, Prompter
from scheduler.transports.settings import Hop
from scheduler.transports.ssh.errors import PARAMIKO_ERRORS

INTERACTIVE_LOGIN_SECONDS = 600.0
"""Limit for a whole login in which the user answers prompts."""

_Request = tuple[str, str, Sequence[tuple[str, bool]]]
"""Title, instructions, and the prompts, each with whether the answer may be echoed (RFC 4256, 3.2)."""


class _Dialogue:
    """Runs Paramiko's login in a thread and hands its prompts to the calling thread, which can receive Ctrl-C."""

    def __init__(self, transport: paramiko.Transport, hop: Hop) -> None:
        self._transport, self._hop = transport, hop
        self._requests: queue.Queue[_Request | None] = queue.Queue()
        self._answers: queue.Queue[list[str] | None] = queue.Queue()
        self.remaining_methods: list[str] = []
        self.error: Exception | None = None

    def start(self) -> None:
        threading.Thread(target=self._log_in, name="scheduler-ssh-keyboard-interactive", daemon=True).start()

    def next_request(self) -> _Request | None:
        """The host's next prompts; None at the end of the login.

        Raises:
            queue.Empty: the host sent nothing for `ANSWER_SECONDS`.
        """
        return self._requests.get(timeout=ANSWER_SECONDS)

    def reply(self, answers: list[str] | None) -> None:
        """Send answers; None aborts the login."""
        self._answers.put(answers)

    def _log_in(self) -> None:
        try:
            self.remaining_methods = self._transport.auth_interactive(self._hop.user, self._handle) or []
        except PARAMIKO_ERRORS as error:
            self.error = error
        self._requests.put(None)

    def _handle(self, title: str, instructions: str, prompts: Sequence[tuple[str, bool]]) -> list[str]:
        self._requests.put((title, instructions, prompts))
        answers = self._answers.get()
        if answers is None:
            raise paramiko.SSHException("the login was aborted")
        return answers


def auth_interactive(transport: paramiko.Transport, hop: Hop, prompter: Prompter) -> Sequence[str]:
    """Log in with keyboard-interactive: show each of the host's prompts to the user and send the answers.

    Returns:
        The authentication methods that the host requires in addition; none if the login is complete.

    Raises:
        LoginError: the user did not answer in time.
        TimedOut: the host neither sent a prompt nor ended the login.
        paramiko.AuthenticationException: the host rejected the answers.
    """
    dialogue = _Dialogue(transport, hop)
    auth_timeout, transport.auth_timeout = transport.auth_timeout, INTERACTIVE_LOGIN_SECONDS
    dialogue.start()
    try:
        while (request := dialogue.next_request()) is not None:
            dialogue.reply(_answers(*request, hop=hop, prompter=prompter))
    except queue.Empty:
        raise TimedOut(
            f"{hop.where}: authentication timed out: no answer in {ANSWER_SECONDS:g} seconds. Try again later"
        ) from None
    finally:
        dialogue.reply(None)  # ends the thread if it still waits for answers
        transport.auth_timeout = auth_timeout
    if dialogue.error is not None:
        raise dialogue.error
    return dialogue.remaining_methods


def _answers(
    title: str, instructions: str, prompts: Sequence[tuple[str, bool]], *, hop: Hop, prompter: Prompter
) -> list[str]:
    text = "\n".join(part.strip() for part in (title, instructions) if part.strip())
    if text:
        prompter.show(f"{hop.where}: {text}")
    return [_answer(prompt, shown, hop=hop, prompter=prompter) for prompt, shown in prompts]


def _answer(prompt: str, shown: bool, *, hop: Hop, prompter: Prompter) -> str:
    answer = prompter.ask(f"{hop.where}: {prompt.strip()}", shown=shown)
    if answer is None:
        raise LoginError(f"{hop.where}: no answer to its prompt {prompt.strip()!r} within {ANSWER_SECONDS:g} seconds")
    return answer
