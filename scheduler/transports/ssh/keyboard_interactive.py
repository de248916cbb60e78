"""A host's own questions (keyboard-interactive: PAM, one-time codes, Duo), put to a person once. No keys here."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence

import paramiko

from scheduler.errors import LoginError, TimedOut
from scheduler.transports.prompt import ANSWER_SECONDS, Prompter
from scheduler.transports.settings import Hop
from scheduler.transports.ssh.errors import FOREIGN

_LONGEST_LOGIN_SECONDS = 600.0
PATIENCE_SECONDS = _LONGEST_LOGIN_SECONDS
"""A login with questions may take so long altogether."""

_Asked = tuple[str, str, Sequence[tuple[str, bool]]]


class _Dialogue:
    """Paramiko asks from a thread of its own, where no Ctrl-C would be heard; the prompter is asked from ours."""

    def __init__(self, transport: paramiko.Transport, hop: Hop) -> None:
        self._transport, self._hop = transport, hop
        self._asked: queue.Queue[_Asked | None] = queue.Queue()
        self._answers: queue.Queue[list[str] | None] = queue.Queue()
        self.still_wanted: list[str] = []
        self.error: Exception | None = None

    def start(self) -> None:
        threading.Thread(target=self._talk, name="scheduler-ssh-questions", daemon=True).start()

    def next(self) -> _Asked | None:
        """What the host asks next; None: it asks no more."""
        return self._asked.get(timeout=ANSWER_SECONDS)

    def reply(self, answers: list[str] | None) -> None:
        """None: there is no answer, and there will be none."""
        self._answers.put(answers)

    def _talk(self) -> None:
        try:
            self.still_wanted = self._transport.auth_interactive(self._hop.user, self._handle) or []
        except FOREIGN as error:
            self.error = error
        self._asked.put(None)

    def _handle(self, title: str, instructions: str, prompts: Sequence[tuple[str, bool]]) -> list[str]:
        self._asked.put((title, instructions, prompts))
        answers = self._answers.get()
        if answers is None:
            raise paramiko.SSHException("the login was given up")
        return answers


def answer(transport: paramiko.Transport, hop: Hop, prompter: Prompter) -> Sequence[str]:
    """Let the host ask the person all that it wants to know.

    Returns:
        The further proofs that the host wants; none if it lets us in.

    Raises:
        LoginError: nobody answered in time.
        TimedOut: the host has nothing more to ask and says nothing.
        paramiko.AuthenticationException: the answers were wrong.
    """
    dialogue = _Dialogue(transport, hop)
    patience, transport.auth_timeout = transport.auth_timeout, _LONGEST_LOGIN_SECONDS
    dialogue.start()
    try:
        while (asked := dialogue.next()) is not None:
            dialogue.reply(_answers(*asked, hop=hop, prompter=prompter))
    except queue.Empty:
        raise TimedOut(f"{hop.where}: no answer to the login in {ANSWER_SECONDS:g} seconds. Try again later") from None
    finally:
        dialogue.reply(None)  # if it still waits for one: no thread is left behind
        transport.auth_timeout = patience
    if dialogue.error is not None:
        raise dialogue.error
    return dialogue.still_wanted


def _answers(
    title: str, instructions: str, prompts: Sequence[tuple[str, bool]], *, hop: Hop, prompter: Prompter
) -> list[str]:
    said = "\n".join(text.strip() for text in (title, instructions) if text.strip())
    if said:
        prompter.tell(f"{hop.where}: {said}")
    return [_one(prompt, shown, hop=hop, prompter=prompter) for prompt, shown in prompts]


def _one(prompt: str, shown: bool, *, hop: Hop, prompter: Prompter) -> str:
    given = prompter.ask(f"{hop.where}: {prompt.strip()}", shown=shown)
    if given is None:
        raise LoginError(f"{hop.where}: nobody answered its question {prompt.strip()!r} in {ANSWER_SECONDS:g} seconds")
    return given
