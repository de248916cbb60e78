"""How a prompter is asked: at their terminal, unseen, and not at all where nobody is."""

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
assert not prompter.absent(), prompter.absent()
prompter.tell("the host says \\x1b[2J hello")
print("answered", repr(prompter.ask("host: Code:", shown={shown})))
"""


def asking(*, shown: bool = False) -> Terminal:
    return Terminal([sys.executable, "-c", ASK.format(shown=shown)])


def test_what_is_typed_is_not_seen() -> None:
    with asking() as terminal:
        terminal.shows("host: Code: ")
        terminal.types("123456")
        assert terminal.ends() == 0
        assert terminal.screen.count("123456") == 1
        assert "answered '123456'" in terminal.screen


def test_what_may_be_seen_is_seen() -> None:
    with asking(shown=True) as terminal:
        terminal.shows("host: Code: ")
        terminal.types("push")
        assert terminal.ends() == 0
        assert terminal.screen.count("push") == 2


def test_what_a_host_says_does_not_act_on_the_terminal() -> None:
    with asking() as terminal:
        terminal.shows("host: Code: ")
        assert "\x1b" not in terminal.screen
        assert "the host says \\x1b[2J hello" in terminal.screen


def test_the_end_of_input_is_no_answer() -> None:
    with asking() as terminal:
        terminal.shows("host: Code: ")
        terminal.types("\x04")
        terminal.shows("answered None")


def test_ctrl_c_ends_the_question() -> None:
    with asking() as terminal:
        terminal.shows("host: Code: ")
        terminal.types("\x03")
        assert terminal.ends() in (130, -signal.SIGINT)


def test_where_there_is_no_terminal_nobody_is_asked() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from scheduler.transports.prompt import *; print(TerminalPrompter().absent())"],
        env={}, start_new_session=True, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "there is no terminal to ask at"


def test_nobody_is_asked_if_that_is_forbidden() -> None:
    assert "SCHEDULER_NO_PROMPT" in TerminalPrompter().absent()


@pytest.fixture
def locked(server: Sshd, tmp_path: Path) -> Path:
    """An encrypted key that the server lets in."""
    key = make_key(tmp_path / "locked", passphrase="open sesame")
    with (server.folder / "authorized_keys").open("a") as file:
        file.write(key.with_suffix(".pub").read_text())
    return key


def test_an_encrypted_key_is_asked_for_once(server: Sshd, locked: Path, tmp_path: Path) -> None:
    """Not again for the next connection, either."""
    prompter = PreparedPrompter({"Passphrase": "open sesame"})
    known = tmp_path / "known_hosts"
    with Relay(server.port) as relay:
        known.write_text(f"[127.0.0.1]:{relay.port} {server.public_key('ed25519')}\n")
        settings = replace(server.settings, port=relay.port, known_hosts=str(known), identity_file=str(locked))
        with SshTransport(settings, prompter=prompter) as transport:
            assert transport.run(HELLO).out == "hello\n"
            relay.cut()
            assert transport.run(HELLO).out == "hello\n"
    assert prompter.asked == [f"Passphrase of {locked}:"]


def test_nobody_is_asked_for_a_key_that_is_not_needed(server: Sshd, locked: Path) -> None:
    config = (
        f"Host farm\n HostName 127.0.0.1\n Port {server.port}\n"
        f" IdentityFile {locked}\n IdentityFile {server.identity}\n"
    )
    prompter = PreparedPrompter({})
    with SshTransport(server.through(config, host="farm"), prompter=prompter) as transport:
        assert transport.run(HELLO).out == "hello\n"
    assert prompter.asked == []


def test_a_wrong_passphrase_is_asked_for_three_times(server: Sshd, locked: Path) -> None:
    prompter = PreparedPrompter({"Passphrase": "open barley"})
    with (
        SshTransport(replace(server.settings, identity_file=str(locked)), prompter=prompter) as transport,
        pytest.raises(LoginError, match="its passphrase was not given"),
    ):
        transport.run(HELLO)
    assert len(prompter.asked) == 3


def test_a_secret_is_in_no_word_that_is_shown(server: Sshd, locked: Path) -> None:
    credentials: Credentials[str] = Credentials(
        NoPrompter("nobody"), keys={locked: "hunter2"}, passwords={"host": "hunter3"}
    )
    assert "hunter" not in repr(credentials) + str(credentials)
    prompter = PreparedPrompter({"Passphrase": "open barley"})
    with SshTransport(replace(server.settings, identity_file=str(locked)), prompter=prompter) as transport:
        with pytest.raises(TransportError) as caught:
            transport.run(HELLO)
        assert "barley" not in repr(transport) + str(caught.value)


def test_a_host_that_wants_a_password_gets_what_is_answered(start_server: Callable[..., Sshd]) -> None:
    """Whoever runs the tests has no password that we know: it is refused, after one question."""
    server = start_server(first="PubkeyAuthentication no\nPasswordAuthentication yes")
    prompter = PreparedPrompter({"password:": "not this one"})
    with SshTransport(server.settings, prompter=prompter) as transport, pytest.raises(LoginError) as caught:
        transport.run(HELLO)
    assert "your password: refused" in str(caught.value)
    assert "not this one" not in str(caught.value)
    assert len(prompter.asked) == 1
