"""Revoked host keys: refused by both SSH transports, with the right advice. Signatures with SHA-1 are not accepted."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import paramiko
import pytest

from scheduler import Site
from scheduler.check.finding import Mark
from scheduler.check.look import inspect_site
from scheduler.errors import HostKeyError, TransportError
from scheduler.transports.base import Transport
from scheduler.transports.openssh.transport import OpensshTransport
from scheduler.transports.settings import SshSettings
from scheduler.transports.ssh.handshake import DISABLED_ALGORITHMS
from scheduler.transports.ssh.transport import SshTransport
from tests.transports.hello import HELLO
from tests.transports.sshd import Sshd, make_key

Kind = Callable[[SshSettings], Transport]
SITE = Site.from_mapping({"transport": "ssh", "host": "inside", "scheduler": "shell", "work_dir": "/tmp/w"}, name="far")
PARAMIKO: Any = paramiko.Transport
both = pytest.mark.parametrize("kind", [SshTransport, OpensshTransport], ids=["ssh", "openssh"])


def with_config(server: Sshd, text: str) -> SshSettings:
    config = f"Host 127.0.0.1\n Port {server.port}\n IdentityFile {server.identity}\n {text}\n"
    return replace(server.through(config, host="127.0.0.1"), user=server.settings.user)


def error_of(kind: Kind, settings: SshSettings) -> HostKeyError:
    with kind(settings) as transport, pytest.raises(HostKeyError) as caught:
        transport.run(HELLO)
    assert transport.verified_host_key() == ""
    return caught.value


@both
def test_a_key_in_a_file_of_revoked_host_keys_is_refused(kind: Kind, server: Sshd, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text()
    revoked = tmp_path / "the revoked keys"
    revoked.write_text(f"# stolen\n\n{other}{server.public_key('ed25519')} a comment\n")
    error = error_of(kind, with_config(server, f'RevokedHostKeys "{revoked}"'))
    assert "revoked" in str(error).lower() and str(revoked) in str(error)
    assert "Do not connect to this host" in str(error) and "by another way" in error.advice
    assert "compare the fingerprint" not in error.advice and "accept_new_host_key" not in str(error)


@both
def test_a_file_of_other_revoked_keys_changes_nothing(kind: Kind, server: Sshd, tmp_path: Path) -> None:
    revoked = make_key(tmp_path / "other").with_suffix(".pub")
    for value in (f"{revoked}", "none"):
        with kind(with_config(server, f"RevokedHostKeys {value}")) as transport:
            assert transport.run(HELLO).exit_code == 0
            assert transport.verified_host_key()


@both
def test_a_missing_file_of_revoked_keys_refuses_every_host(kind: Kind, server: Sshd, tmp_path: Path) -> None:
    error = error_of(kind, with_config(server, f"RevokedHostKeys {tmp_path}/missing"))
    assert f"{tmp_path}/missing" in str(error) and "correct RevokedHostKeys" in error.advice
    assert "Do not connect" not in str(error)


@both
def test_a_key_marked_revoked_in_known_hosts_is_refused(kind: Kind, server: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    name = f"[127.0.0.1]:{server.port}"
    key = server.public_key("ed25519")
    for lines in (f"@revoked * {key}\n{name} {key}\n", f"{name} {key}\n@revoked {name} {key}\n"):
        known.write_text(lines)
        error = error_of(kind, replace(server.settings, known_hosts=str(known), accept_new_host_key=True))
        assert "Do not connect to this host" in str(error) and "by another way" in error.advice


def test_each_of_several_files_counts_and_an_unknown_host_is_checked_too(server: Sshd, tmp_path: Path) -> None:
    first, second, known = make_key(tmp_path / "other").with_suffix(".pub"), tmp_path / "second", tmp_path / "known"
    second.write_text(server.public_key("ed25519"))
    known.write_text("")
    (tmp_path / "a third").write_text("")
    several = f'"{tmp_path}/a third" {first} {second}'
    for accept, value in ((False, f"{first} {second}"), (True, several), (True, f'{second} "{tmp_path}/a third"')):
        settings = with_config(server, f"RevokedHostKeys {value}")
        error = error_of(SshTransport, replace(settings, accept_new_host_key=accept, known_hosts=str(known)))
        assert f"is listed in {second} (RevokedHostKeys)" in str(error)
    assert known.read_text() == ""


def test_the_key_of_a_jump_host_may_be_revoked(server: Sshd, tmp_path: Path) -> None:
    revoked = tmp_path / "revoked"
    revoked.write_text(server.public_key("ed25519"))
    common = f"HostName 127.0.0.1\n IdentityFile {server.identity}\n User {server.settings.user}\n"
    config = f"Host gate\n Port {server.ports[0]}\n RevokedHostKeys {revoked}\n {common}"
    config += f"Host inside\n Port {server.ports[1]}\n ProxyJump gate\n {common}"
    error = error_of(SshTransport, server.through(config, host="inside"))
    assert str(error).startswith("gate (") and f"is listed in {revoked}" in str(error)


def test_a_key_revocation_list_is_refused_with_what_to_do(server: Sshd, tmp_path: Path) -> None:
    """OpenSSH honours it; we do not read it, so we accept no host key with it."""
    listed = tmp_path / "listed.krl"
    other = make_key(tmp_path / "other").with_suffix(".pub")
    subprocess.run(["ssh-keygen", "-q", "-k", "-f", str(listed), str(other)], check=True)
    error = error_of(SshTransport, with_config(server, f"RevokedHostKeys {listed}"))
    assert "key revocation list (KRL), which `transport: ssh` does not support" in str(error)
    assert "set `transport: openssh`" in error.advice


@both
def test_check_says_nothing_good_of_a_key_that_was_not_seen(kind: Kind, server: Sshd, tmp_path: Path) -> None:
    """The jump host refuses the login, so the key of the host behind it was never seen."""
    stranger = make_key(tmp_path / "stranger")
    common = f"HostName 127.0.0.1\n IdentitiesOnly yes\n User {server.settings.user}\n"
    config = f"Host gate\n Port {server.ports[0]}\n IdentityFile {stranger}\n {common}"
    config += f"Host inside\n Port {server.ports[1]}\n ProxyJump gate\n IdentityFile {server.identity}\n {common}"
    with kind(server.through(config, host="inside")) as transport:
        found = {one.name: one for one in inspect_site(SITE, transport)}
    assert found["login"].mark is Mark.FAILED if "login" in found else found["connection"].mark is Mark.FAILED
    assert "host key" not in found or found["host key"].mark is not Mark.OK


@both
def test_check_reports_a_revoked_key_with_the_right_advice(kind: Kind, server: Sshd, tmp_path: Path) -> None:
    revoked = tmp_path / "revoked"
    revoked.write_text(server.public_key("ed25519"))
    with kind(with_config(server, f"RevokedHostKeys {revoked}")) as transport:
        (found,) = inspect_site(SITE, transport)
    assert (found.name, found.mark) == ("host key", Mark.FAILED) and found.do.startswith("ask the site's support")


def test_ssh_names_the_verified_key_and_openssh_that_it_was_checked(server: Sshd) -> None:
    with SshTransport(server.settings) as transport:
        transport.run(HELLO)
        assert server.fingerprint("ed25519") in transport.verified_host_key()
    with OpensshTransport(server.settings) as transport:
        assert transport.verified_host_key() == ""
        transport.run(HELLO)
        assert transport.verified_host_key() == "checked by ssh when it logged in"


# SHA-1


def test_a_host_key_that_signs_with_sha1_is_not_accepted(start_server: Callable[..., Sshd], tmp_path: Path) -> None:
    server = start_server(first="HostKeyAlgorithms ssh-rsa")
    server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {server.public_key('rsa')}\n")
    with SshTransport(server.settings) as transport, pytest.raises(TransportError, match="no matching algorithm"):
        transport.run(HELLO)


def test_a_login_with_an_rsa_key_signs_with_sha2(start_server: Callable[..., Sshd], tmp_path: Path) -> None:
    key = make_key(tmp_path / "id_rsa", "rsa")
    for accepted, works in (("rsa-sha2-256,rsa-sha2-512", True), ("ssh-rsa", False)):
        server = start_server(first=f"PubkeyAcceptedAlgorithms {accepted}")
        (server.folder / "authorized_keys").write_text(key.with_suffix(".pub").read_text())
        with SshTransport(replace(server.settings, identity_file=str(key))) as transport:
            if works:
                assert transport.run(HELLO).exit_code == 0
            else:
                with pytest.raises(TransportError):
                    transport.run(HELLO)


def test_paramiko_offers_no_signature_with_sha1_whatever_its_version() -> None:
    import socket

    class WithSha1(paramiko.Transport):
        """As Paramiko 3 and 4."""

        _preferred_keys = (*PARAMIKO._preferred_keys, "ssh-rsa", "ssh-dss")
        _preferred_pubkeys = (*PARAMIKO._preferred_pubkeys, "ssh-rsa")

    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport = WithSha1(ours, disabled_algorithms=DISABLED_ALGORITHMS)
        offered = {*transport.preferred_keys, *transport.preferred_pubkeys}
        transport.close()
    assert "rsa-sha2-512" in offered and not offered & {"ssh-rsa", "ssh-dss"}
