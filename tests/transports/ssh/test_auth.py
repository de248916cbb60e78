"""How the SSH transport logs in, and what it says when it is not let in."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from scheduler.errors import LoginError
from scheduler.transports.ssh.transport import SshSettings
from tests.transports import hello
from tests.transports.hello import says_hello
from tests.transports.sshd import Sshd, make_key

refused = partial(hello.refused, kind=LoginError)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without keys."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def no_key(server: Sshd) -> SshSettings:
    return replace(server.settings, identity_file=None)


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Adds a key to an agent of this test's own."""
    if shutil.which("ssh-agent") is None:
        pytest.skip("ssh-agent not found")
    # A socket's path has room for 108 bytes: not below pytest's own folder.
    process = subprocess.Popen(["ssh-agent", "-D"], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    socket = process.stdout.readline().partition("=")[2].partition(";")[0]
    monkeypatch.setenv("SSH_AUTH_SOCK", socket)

    def add(key: Path) -> None:
        subprocess.run(["ssh-add", "-q", str(key)], check=True, stdin=subprocess.DEVNULL, capture_output=True)

    yield add
    process.terminate()
    process.stdout.close()
    process.wait(timeout=600)


def allow(server: Sshd, key: Path) -> None:
    with (server.folder / "authorized_keys").open("a") as file:
        file.write(key.with_name(key.name + ".pub").read_text())


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_every_type_of_key_is_let_in(server: Sshd, tmp_path: Path, kind: str) -> None:
    key = make_key(tmp_path / "my key", kind)
    allow(server, key)
    says_hello(replace(server.settings, identity_file=str(key)))


def test_a_key_of_the_old_format_is_let_in(server: Sshd, tmp_path: Path) -> None:
    key = tmp_path / "old"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-m", "PEM", "-N", "", "-f", str(key)], check=True)
    allow(server, key)
    says_hello(replace(server.settings, identity_file=str(key)))


def test_a_key_in_its_usual_place_is_tried(server: Sshd, no_key: SshSettings, home: Path) -> None:
    shutil.copy(server.identity, home / ".ssh" / "id_ed25519")
    make_key(home / ".ssh" / "id_rsa", "rsa")
    says_hello(no_key)


def test_a_key_of_the_agent_is_tried(
    server: Sshd, no_key: SshSettings, agent: Callable[[Path], None], tmp_path: Path
) -> None:
    agent(make_key(tmp_path / "wrong"))
    agent(server.identity)
    says_hello(no_key)


def test_an_encrypted_key_is_used_through_the_agent(
    server: Sshd, agent: Callable[[Path], None], tmp_path: Path
) -> None:
    key = make_key(tmp_path / "locked")
    allow(server, key)
    agent(key)
    encrypt(key)
    says_hello(replace(server.settings, identity_file=str(key)))


def test_a_public_key_names_the_agents_key(server: Sshd, agent: Callable[[Path], None], tmp_path: Path) -> None:
    for number in range(8):  # the server hangs up after six wrong ones
        agent(make_key(tmp_path / f"wrong{number}"))
    agent(server.identity)
    public = server.identity.with_name(server.identity.name + ".pub")
    config = f"Host farm\n HostName 127.0.0.1\n Port {server.port}\n IdentityFile {public}\n IdentitiesOnly yes\n"
    says_hello(server.through(config, host="farm"))


def test_an_agent_of_its_own_is_asked(
    server: Sshd, agent: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent(server.identity)
    socket = os.environ["SSH_AUTH_SOCK"]
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere")
    config = f"Host farm\n HostName 127.0.0.1\n Port {server.port}\n IdentityAgent {socket}\n"
    says_hello(server.through(config, host="farm"))


def test_too_many_keys_are_named_as_the_reason(
    no_key: SshSettings, agent: Callable[[Path], None], tmp_path: Path
) -> None:
    for number in range(8):
        agent(make_key(tmp_path / f"wrong{number}"))
    message = refused(no_key)
    assert "it hung up: name the one right key" in message


def test_an_agent_that_is_gone_is_no_reason_to_fail(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere/agent")
    says_hello(server.settings)
    message = refused(replace(server.settings, identity_file=None))
    assert "agent at /nowhere/agent" in message


def certify(server: Sshd, key: Path, *, valid: str) -> None:
    name = str(server.settings.user)
    command = ["ssh-keygen", "-q", "-s", str(server.folder / "authority"), "-I", "me", "-n", name, "-V", valid]
    subprocess.run([*command, f"{key}.pub"], check=True, capture_output=True)


def test_a_certificate_beside_the_key_is_shown(server: Sshd, tmp_path: Path) -> None:
    for kind in ("ed25519", "rsa"):
        key = make_key(tmp_path / f"nersc-{kind}", kind)
        assert str(key) in refused(replace(server.settings, identity_file=str(key)))
        certify(server, key, valid="-1h:+1h")
        says_hello(replace(server.settings, identity_file=str(key)))


def test_a_certificate_beside_a_key_of_the_agent_is_shown(
    server: Sshd, agent: Callable[[Path], None], tmp_path: Path
) -> None:
    key = make_key(tmp_path / "nersc")
    agent(key)
    certify(server, key, valid="-1h:+1h")
    encrypt(key)
    says_hello(replace(server.settings, identity_file=str(key)))


def test_an_expired_certificate_is_named_with_its_time(server: Sshd, tmp_path: Path) -> None:
    key = make_key(tmp_path / "nersc")
    certify(server, key, valid="20200101:20200102120000Z")
    message = refused(replace(server.settings, identity_file=str(key)))
    assert f"{key} with its certificate, which expired on 2020-01-02 12:00 UTC: refused" in message
    assert "Get a new certificate" in message


def test_an_expired_certificate_does_not_keep_the_key_itself_out(server: Sshd, tmp_path: Path) -> None:
    key = make_key(tmp_path / "nersc")
    certify(server, key, valid="20200101:20200102")
    allow(server, key)
    says_hello(replace(server.settings, identity_file=str(key)))


def test_a_wrong_key_is_named_with_what_the_host_allows(server: Sshd, tmp_path: Path) -> None:
    key = make_key(tmp_path / "wrong")
    message = refused(replace(server.settings, identity_file=str(key)))
    assert f"127.0.0.1:{server.port}: the login was refused" in message
    assert f"Tried: {key}: refused" in message
    assert "The host allows: publickey" in message


def test_an_encrypted_key_says_what_to_do(server: Sshd, tmp_path: Path) -> None:
    for kind in ("ed25519", "ecdsa", "rsa"):
        key = make_key(tmp_path / kind, kind, "a passphrase")
        message = refused(replace(server.settings, identity_file=str(key)))
        assert f"{key}: encrypted, and no agent has it" in message
        assert f"`ssh-add {key}`" in message
    old = tmp_path / "old"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-m", "PEM", "-N", "a passphrase", "-f", str(old)], check=True)
    assert "encrypted" in refused(replace(server.settings, identity_file=str(old)))


def test_a_key_that_is_not_there_is_named(server: Sshd, tmp_path: Path) -> None:
    message = refused(replace(server.settings, identity_file=str(tmp_path / "nersc")))
    assert f"{tmp_path / 'nersc'}: no such file or directory" in message


@pytest.mark.parametrize("content", [b"", b"hello\n", os.urandom(500), b"PuTTY-User-Key-File-3: ssh-rsa\n"])
def test_a_file_that_is_no_key_is_named(server: Sshd, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "not-a-key"
    path.write_bytes(content)
    assert f"{path}: not a private key" in refused(replace(server.settings, identity_file=str(path)))


def test_a_key_cut_short_is_named(server: Sshd, tmp_path: Path) -> None:
    lines = server.identity.read_text().splitlines()
    path = tmp_path / "short"
    for count in range(1, len(lines)):
        path.write_text("\n".join([*lines[:count], lines[-1]]) + "\n")
        if path.read_text() != server.identity.read_text():
            refused(replace(server.settings, identity_file=str(path)))


def test_a_host_to_which_nobody_has_a_key_is_told_apart(no_key: SshSettings) -> None:
    assert "Tried: nothing, as there is no key in ~/.ssh and no agent" in refused(no_key)


def test_another_user_is_named(server: Sshd) -> None:
    message = refused(replace(server.settings, user="no-such-user"))
    assert "no-such-user@127.0.0.1" in message


def test_a_host_that_wants_a_password_says_so_and_nobody_is_asked(start_server: Callable[..., Sshd]) -> None:
    server = start_server(first="PubkeyAuthentication no\nPasswordAuthentication yes")
    message = refused(server.settings)
    assert "The host allows: password" in message
    assert "transport: openssh" in message


def test_a_host_that_wants_a_second_proof_says_so_and_nobody_is_asked(start_server: Callable[..., Sshd]) -> None:
    server = start_server(first="PasswordAuthentication yes", extra="AuthenticationMethods publickey,password")
    started = time.monotonic()
    message = refused(server.settings)
    assert f"{server.identity} was accepted, but the host wants a second proof too (password)" in message
    assert "transport: openssh" in message
    assert time.monotonic() - started < 25


def test_a_host_that_wants_two_keys_gets_them(
    start_server: Callable[..., Sshd], agent: Callable[[Path], None], tmp_path: Path
) -> None:
    server = start_server(extra="AuthenticationMethods publickey,publickey")
    second = make_key(tmp_path / "second")
    allow(server, second)
    agent(second)
    says_hello(server.settings)


def encrypt(key: Path) -> None:
    command = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "a passphrase", "-f", str(key)]
    subprocess.run(command, check=True, capture_output=True)
