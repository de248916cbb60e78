"""How the SSH transport logs in, and its messages when the login fails."""

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
    """A home directory without keys."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def no_key(server: Sshd) -> SshSettings:
    return replace(server.settings, identity_file=None)


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """A function that adds a key to an ssh-agent of this test."""
    if shutil.which("ssh-agent") is None:
        pytest.skip("ssh-agent not found")
    # The agent chooses its socket: a path in pytest's folder could exceed the limit of 108 bytes.
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
def test_every_type_of_key_logs_in(server: Sshd, tmp_path: Path, kind: str) -> None:
    key = make_key(tmp_path / "my key", kind)
    allow(server, key)
    says_hello(replace(server.settings, identity_file=str(key)))


def test_a_key_in_pem_format_logs_in(server: Sshd, tmp_path: Path) -> None:
    key = tmp_path / "old"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-m", "PEM", "-N", "", "-f", str(key)], check=True)
    allow(server, key)
    says_hello(replace(server.settings, identity_file=str(key)))


def test_default_identity_files_are_tried(server: Sshd, no_key: SshSettings, home: Path) -> None:
    shutil.copy(server.identity, home / ".ssh" / "id_ed25519")
    make_key(home / ".ssh" / "id_rsa", "rsa")
    says_hello(no_key)


def test_the_keys_of_the_agent_are_tried(
    server: Sshd, no_key: SshSettings, agent: Callable[[Path], None], tmp_path: Path
) -> None:
    agent(make_key(tmp_path / "wrong"))
    agent(server.identity)
    says_hello(no_key)


def test_an_encrypted_key_that_the_agent_has_is_used(
    server: Sshd, agent: Callable[[Path], None], tmp_path: Path
) -> None:
    key = make_key(tmp_path / "locked")
    allow(server, key)
    agent(key)
    encrypt(key)
    says_hello(replace(server.settings, identity_file=str(key)))


def test_a_public_key_as_identity_file_selects_the_agents_key(
    server: Sshd, agent: Callable[[Path], None], tmp_path: Path
) -> None:
    for number in range(8):  # the server closes the connection after six (MaxAuthTries)
        agent(make_key(tmp_path / f"wrong{number}"))
    agent(server.identity)
    public = server.identity.with_name(server.identity.name + ".pub")
    config = f"Host farm\n HostName 127.0.0.1\n Port {server.port}\n IdentityFile {public}\n IdentitiesOnly yes\n"
    says_hello(server.through(config, host="farm"))


def test_identity_agent_is_used(server: Sshd, agent: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch) -> None:
    agent(server.identity)
    socket = os.environ["SSH_AUTH_SOCK"]
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere")
    config = f"Host farm\n HostName 127.0.0.1\n Port {server.port}\n IdentityAgent {socket}\n"
    says_hello(server.through(config, host="farm"))


def test_a_connection_closed_after_too_many_keys_is_reported_with_what_to_do(
    no_key: SshSettings, agent: Callable[[Path], None], tmp_path: Path
) -> None:
    for number in range(8):
        agent(make_key(tmp_path / f"wrong{number}"))
    message = refused(no_key)
    assert "it closed the connection: name the right key" in message


def test_an_agent_that_cannot_be_reached_is_reported_but_is_no_error(
    server: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere/agent")
    says_hello(server.settings)
    message = refused(replace(server.settings, identity_file=None))
    assert "agent at /nowhere/agent" in message


def certify(server: Sshd, key: Path, *, valid: str) -> None:
    name = str(server.settings.user)
    command = ["ssh-keygen", "-q", "-s", str(server.folder / "authority"), "-I", "me", "-n", name, "-V", valid]
    subprocess.run([*command, f"{key}.pub"], check=True, capture_output=True)


def test_a_certificate_beside_the_key_is_used(server: Sshd, tmp_path: Path) -> None:
    for kind in ("ed25519", "rsa"):
        key = make_key(tmp_path / f"nersc-{kind}", kind)
        assert str(key) in refused(replace(server.settings, identity_file=str(key)))
        certify(server, key, valid="-1h:+1h")
        says_hello(replace(server.settings, identity_file=str(key)))


def test_a_certificate_beside_a_key_of_the_agent_is_used(
    server: Sshd, agent: Callable[[Path], None], tmp_path: Path
) -> None:
    key = make_key(tmp_path / "nersc")
    agent(key)
    certify(server, key, valid="-1h:+1h")
    encrypt(key)
    says_hello(replace(server.settings, identity_file=str(key)))


def test_an_expired_certificate_is_named_with_its_date(server: Sshd, tmp_path: Path) -> None:
    key = make_key(tmp_path / "nersc")
    certify(server, key, valid="20200101:20200102120000Z")
    message = refused(replace(server.settings, identity_file=str(key)))
    assert f"{key} with its certificate, which expired on 2020-01-02 12:00 UTC: refused" in message
    assert "Get a new certificate" in message


def test_after_an_expired_certificate_the_key_alone_is_tried(server: Sshd, tmp_path: Path) -> None:
    key = make_key(tmp_path / "nersc")
    certify(server, key, valid="20200101:20200102")
    allow(server, key)
    says_hello(replace(server.settings, identity_file=str(key)))


def test_a_refused_key_is_named_with_the_methods_that_the_host_accepts(server: Sshd, tmp_path: Path) -> None:
    key = make_key(tmp_path / "wrong")
    message = refused(replace(server.settings, identity_file=str(key)))
    assert f"127.0.0.1:{server.port}: authentication failed: permission denied" in message
    assert f"Tried: {key}: refused" in message
    assert "The host accepts: publickey" in message


def test_the_message_for_an_encrypted_key_has_the_ssh_add_command(server: Sshd, tmp_path: Path) -> None:
    for kind in ("ed25519", "ecdsa", "rsa"):
        key = make_key(tmp_path / kind, kind, "a passphrase")
        message = refused(replace(server.settings, identity_file=str(key)))
        assert f"{key}: encrypted with a passphrase, and not in the ssh-agent" in message
        assert f"`ssh-add {key}`" in message
    old = tmp_path / "old"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-m", "PEM", "-N", "a passphrase", "-f", str(old)], check=True)
    assert "encrypted" in refused(replace(server.settings, identity_file=str(old)))


def test_a_missing_key_file_is_named(server: Sshd, tmp_path: Path) -> None:
    message = refused(replace(server.settings, identity_file=str(tmp_path / "nersc")))
    assert f"{tmp_path / 'nersc'}: no such file or directory" in message


@pytest.mark.parametrize("content", [b"", b"hello\n", os.urandom(500), b"PuTTY-User-Key-File-3: ssh-rsa\n"])
def test_a_file_that_is_not_a_private_key_is_named(server: Sshd, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "not-a-key"
    path.write_bytes(content)
    assert f"{path}: not a private key" in refused(replace(server.settings, identity_file=str(path)))


def test_a_truncated_key_file_is_refused(server: Sshd, tmp_path: Path) -> None:
    lines = server.identity.read_text().splitlines()
    path = tmp_path / "short"
    for count in range(1, len(lines)):
        path.write_text("\n".join([*lines[:count], lines[-1]]) + "\n")
        if path.read_text() != server.identity.read_text():
            refused(replace(server.settings, identity_file=str(path)))


def test_the_message_reports_if_there_is_no_key_at_all(no_key: SshSettings) -> None:
    assert "Tried: nothing, because there is no key in ~/.ssh and no ssh-agent" in refused(no_key)


def test_the_message_names_the_remote_user(server: Sshd) -> None:
    message = refused(replace(server.settings, user="no-such-user"))
    assert "no-such-user@127.0.0.1" in message


def test_a_host_that_requires_a_password_is_reported_without_a_prompt(start_server: Callable[..., Sshd]) -> None:
    server = start_server(first="PubkeyAuthentication no\nPasswordAuthentication yes")
    message = refused(server.settings)
    assert "The host accepts: password" in message
    assert "transport: openssh" in message


def test_a_host_that_requires_a_second_method_is_reported_without_a_prompt(start_server: Callable[..., Sshd]) -> None:
    server = start_server(first="PasswordAuthentication yes", extra="AuthenticationMethods publickey,password")
    started = time.monotonic()
    message = refused(server.settings)
    assert (
        f"{server.identity} was accepted, but the host requires another authentication method too (password)" in message
    )
    assert "transport: openssh" in message
    assert time.monotonic() - started < 25


def test_a_host_that_requires_two_keys_gets_them(
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
