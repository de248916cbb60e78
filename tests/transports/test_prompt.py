"""Prompts at the terminal, and for passphrases and passwords of the SSH transport."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.errors import LoginError, TransportError
from scheduler.transports.prompt import NoPrompter, TerminalPrompter
from scheduler.transports.ssh.credentials import Credentials
from scheduler.transports.ssh.transport import SshTransport
from tests.prompters import PreparedPrompter, Terminal

from .hello import HELLO
from .relay import Relay
from .sshd import Sshd, make_key

ASK = """
from scheduler.transports.prompt import TerminalPrompter
prompter = TerminalPrompter()
assert not prompter.unavailable(), prompter.unavailable()
prompter.show("the host says \\x1b[2J hello")
print("answered", repr(prompter.ask("host: Code:", shown={shown})))
"""


def prompting(*, shown: bool = False) -> Terminal:
    return Terminal([sys.executable, "-c", ASK.format(shown=shown)])


def test_a_secret_answer_is_not_echoed() -> None:
    with prompting() as terminal:
        terminal.shows("host: Code: ")
        terminal.types("123456")
        assert terminal.ends() == 0
        assert terminal.screen.count("123456") == 1
        assert "answered '123456'" in terminal.screen


def test_an_answer_that_may_be_shown_is_echoed() -> None:
    with prompting(shown=True) as terminal:
        terminal.shows("host: Code: ")
        terminal.types("push")
        assert terminal.ends() == 0
        assert terminal.screen.count("push") == 2


def test_control_characters_of_a_host_are_escaped() -> None:
    with prompting() as terminal:
        terminal.shows("host: Code: ")
        assert "\x1b" not in terminal.screen
        assert "the host says \\x1b[2J hello" in terminal.screen


def test_end_of_file_is_no_answer() -> None:
    with prompting() as terminal:
        terminal.shows("host: Code: ")
        terminal.types("\x04")
        terminal.shows("answered None")


def test_ctrl_c_at_a_prompt_interrupts_the_program() -> None:
    with prompting() as terminal:
        terminal.shows("host: Code: ")
        terminal.types("\x03")
        assert terminal.ends() in (130, -signal.SIGINT)


def test_without_a_terminal_there_is_no_prompt() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from scheduler.transports.prompt import *; print(TerminalPrompter().unavailable())"],
        env={}, start_new_session=True, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "there is no terminal to prompt at"


def test_scheduler_no_prompt_turns_prompts_off() -> None:
    assert "SCHEDULER_NO_PROMPT" in TerminalPrompter().unavailable()


@pytest.fixture
def locked(server: Sshd, tmp_path: Path) -> Path:
    """An encrypted key that the server accepts."""
    key = make_key(tmp_path / "locked", passphrase="open sesame")
    with (server.folder / "authorized_keys").open("a") as file:
        file.write(key.with_suffix(".pub").read_text())
    return key


def test_there_is_one_prompt_for_the_passphrase_of_a_key(server: Sshd, locked: Path, tmp_path: Path) -> None:
    """Not for the next connection either."""
    prompter = PreparedPrompter({"passphrase": "open sesame"})
    known = tmp_path / "known_hosts"
    with Relay(server.port) as relay:
        known.write_text(f"[127.0.0.1]:{relay.port} {server.public_key('ed25519')}\n")
        settings = replace(server.settings, port=relay.port, known_hosts=str(known), identity_file=str(locked))
        with SshTransport(settings, prompter=prompter) as transport:
            assert transport.run(HELLO).out == "hello\n"
            relay.cut()
            assert transport.run(HELLO).out == "hello\n"
    assert prompter.asked == [f"Enter passphrase for key '{locked}':"]


def test_there_is_no_passphrase_prompt_if_another_key_is_accepted(server: Sshd, locked: Path) -> None:
    config = (
        f"Host farm\n HostName 127.0.0.1\n Port {server.port}\n"
        f" IdentityFile {locked}\n IdentityFile {server.identity}\n"
    )
    prompter = PreparedPrompter({})
    with SshTransport(server.through(config, host="farm"), prompter=prompter) as transport:
        assert transport.run(HELLO).out == "hello\n"
    assert prompter.asked == []


def test_there_are_three_prompts_for_a_wrong_passphrase(server: Sshd, locked: Path) -> None:
    prompter = PreparedPrompter({"passphrase": "open barley"})
    with (
        SshTransport(replace(server.settings, identity_file=str(locked)), prompter=prompter) as transport,
        pytest.raises(LoginError, match="its passphrase was not entered"),
    ):
        transport.run(HELLO)
    assert len(prompter.asked) == 3


def test_no_secret_is_in_a_repr_or_a_message(server: Sshd, locked: Path) -> None:
    credentials: Credentials[str] = Credentials(
        NoPrompter("prompts are off"), keys={locked: "hunter2"}, passwords={"host": "hunter3"}
    )
    assert "hunter" not in repr(credentials) + str(credentials)
    prompter = PreparedPrompter({"passphrase": "open barley"})
    with SshTransport(replace(server.settings, identity_file=str(locked)), prompter=prompter) as transport:
        with pytest.raises(TransportError) as caught:
            transport.run(HELLO)
        assert "barley" not in repr(transport) + str(caught.value)


def test_the_password_that_was_entered_is_sent(start_server: Callable[..., Sshd]) -> None:
    """We do not know the password of the user who runs the tests: it is refused, after one prompt."""
    server = start_server(first="PubkeyAuthentication no\nPasswordAuthentication yes")
    prompter = PreparedPrompter({"password:": "not this one"})
    with SshTransport(server.settings, prompter=prompter) as transport, pytest.raises(LoginError) as caught:
        transport.run(HELLO)
    assert "your password: refused" in str(caught.value)
    assert "not this one" not in str(caught.value)
    assert len(prompter.asked) == 1
