"""The SSH transport: host key verification, jump hosts, ProxyCommand, and hosts that are not reached."""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.errors import ConfigError, HostKeyError, TimedOut
from scheduler.transports.base import Program
from scheduler.transports.ssh.transport import SshSettings, SshTransport
from tests.transports.hello import HELLO, refused, says_hello
from tests.transports.sshd import Sshd, make_key


def known_by(server: Sshd, folder: Path, *kinds: str) -> SshSettings:
    """Settings whose known_hosts file has only the server's keys of these types."""
    path = folder / "known_hosts"
    path.write_text("".join(f"[127.0.0.1]:{server.port} {server.public_key(kind)}\n" for kind in kinds))
    return replace(server.settings, known_hosts=str(path))


# Host keys


def test_the_error_for_an_unknown_host_has_its_fingerprint_and_what_to_do(server: Sshd, tmp_path: Path) -> None:
    settings = known_by(server, tmp_path)
    with SshTransport(settings) as transport, pytest.raises(HostKeyError) as caught:
        transport.run(HELLO)
    message = str(caught.value)
    assert f"ED25519 key {server.fingerprint('ed25519')}" in message
    assert f"127.0.0.1:{server.port}" in message
    assert f"`ssh -o UserKnownHostsFile={tmp_path}/known_hosts -p {server.port} 127.0.0.1`" in message
    assert "accept_new_host_key: true" in message
    assert (tmp_path / "known_hosts").read_text() == ""


def test_a_changed_host_key_is_refused_and_never_replaced(server: Sshd, tmp_path: Path) -> None:
    settings = known_by(server, tmp_path)
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text()
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{server.port} {other}")
    for accept in (False, True):
        with (
            SshTransport(replace(settings, accept_new_host_key=accept)) as transport,
            pytest.raises(HostKeyError, match="HAS CHANGED") as caught,
        ):
            transport.run(HELLO)
        assert server.fingerprint("ed25519") in str(caught.value)
        assert f"ssh-keygen -f {known} -R '[127.0.0.1]:{server.port}'" in str(caught.value)
    assert known.read_text() == f"[127.0.0.1]:{server.port} {other}"


def test_a_new_host_key_is_added_with_accept_new_host_key(server: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "fresh" / "known_hosts"
    settings = replace(server.settings, known_hosts=str(known))
    says_hello(replace(settings, accept_new_host_key=True))
    assert known.read_text() == f"[127.0.0.1]:{server.port} {server.public_key('ed25519')}\n"
    assert known.stat().st_mode & 0o777 == 0o600
    says_hello(settings)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_the_key_exchange_prefers_the_type_of_the_known_key(server: Sshd, tmp_path: Path, kind: str) -> None:
    says_hello(known_by(server, tmp_path, kind))


def test_host_key_alias_is_the_name_in_known_hosts(server: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"the-cluster {server.public_key('ecdsa')}\n")
    config = (
        f"Host farm\n HostName 127.0.0.1\n Port {server.port}\n HostKeyAlias the-cluster\n"
        f" IdentityFile {server.identity}\n UserKnownHostsFile {known}\n"
    )
    says_hello(replace(server.through(config, host="farm"), known_hosts=None))
    known.write_text(f"[127.0.0.1]:{server.port} {server.public_key('ecdsa')}\n")
    message = refused(replace(server.through(config, host="farm"), known_hosts=None))
    assert (
        f"farm ({server.settings.user}@127.0.0.1:{server.port}): host key verification failed: the host is unknown"
        in message
    )


# Jump hosts and ProxyCommand


def chain_config(server: Sshd, *names: str) -> str:
    return "".join(
        f"Host {name}\n HostName 127.0.0.1\n Port {port}\n IdentityFile {server.identity}\n"
        for name, port in zip(names, server.ports, strict=False)
    )


def test_a_host_behind_two_jump_hosts_is_reached(server: Sshd) -> None:
    config = chain_config(server, "outer", "middle", "inner")
    says_hello(replace(server.through(config, host="inner"), proxy_jump="outer,middle"))


def test_the_key_of_every_host_of_a_chain_is_verified(server: Sshd, tmp_path: Path) -> None:
    config = chain_config(server, "outer", "inner")
    settings = replace(server.through(config, host="inner"), proxy_jump="outer", known_hosts=str(tmp_path / "known"))
    for port, name in ((server.ports[1], "outer"), (server.ports[0], "inner")):
        (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {server.public_key('ed25519')}\n")
        assert refused(settings).startswith(f"{name} (")


def test_the_error_of_a_jump_host_that_cannot_connect_names_the_target(server: Sshd) -> None:
    config = chain_config(server, "outer") + "Host inner\n HostName 127.0.0.1\n Port 1\n ProxyJump outer\n"
    message = refused(server.through(config, host="inner"))
    assert message.startswith("inner (")
    assert "the jump host cannot connect to it" in message


def test_a_large_output_arrives_complete_through_jump_hosts(server: Sshd) -> None:
    config = chain_config(server, "outer", "middle", "inner")
    data = os.urandom(3_000_000)
    with SshTransport(replace(server.through(config, host="inner"), proxy_jump="outer,middle")) as transport:
        assert transport.run(Program("cat", "cat"), stdin=data).stdout == data


NETCAT = """\
import socket, sys, threading, os
remote = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def send():
    while data := os.read(0, 65536): remote.sendall(data)
threading.Thread(target=send, daemon=True).start()
while data := remote.recv(65536): os.write(1, data)
"""


def test_a_proxy_command_runs_in_a_shell_and_its_processes_are_ended(server: Sshd, tmp_path: Path) -> None:
    script = tmp_path / "nc.py"
    script.write_text(f"open({str(tmp_path / 'pid')!r}, 'w').write(str(__import__('os').getpid()))\n{NETCAT}")
    command = f"{shlex.quote(sys.executable)} {script} %h %p 2>&1 | cat"
    config = chain_config(server, "farm") + f" ProxyCommand sh -c '{command}'\n"
    says_hello(server.through(config, host="farm"))
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 600
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_stderr_of_a_failed_proxy_command_is_quoted(server: Sshd) -> None:
    config = chain_config(server, "farm") + " ProxyCommand echo 'no route to gate' >&2; exit 1\n"
    message = refused(server.through(config, host="farm"))
    assert "connection closed by remote host before its SSH protocol banner" in message
    assert "Its ProxyCommand printed: no route to gate" in message


# Not reached


def test_a_closed_port_is_connection_refused(server: Sshd) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    message = refused(replace(server.settings, port=port))
    assert f"127.0.0.1:{port}: connection refused" in message


def test_an_unknown_host_name_could_not_be_resolved(server: Sshd) -> None:
    message = refused(replace(server.settings, host="no-such-host.invalid"))
    assert f"no-such-host.invalid:{server.port}: could not resolve hostname" in message


@contextlib.contextmanager
def listener(banner: bytes, *, close: bool = True) -> Iterator[int]:
    """A port that sends `banner` and closes the connection, or else keeps it open and sends nothing more."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    held.append(connection)
                    connection.sendall(banner)
                    if close:
                        connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=600)
        for connection in held:
            connection.close()


def test_a_host_that_closes_the_connection_at_once_is_named(server: Sshd) -> None:
    with listener(b"") as port:
        assert "connection closed by remote host before its SSH protocol banner" in refused(
            replace(server.settings, port=port)
        )


def test_a_port_that_is_not_an_ssh_server_is_named(server: Sshd) -> None:
    with listener(b"220 mail.site.gov ESMTP\r\n") as port:
        assert "may not be an SSH server" in refused(replace(server.settings, port=port))


def test_a_host_that_sends_no_banner_is_a_timeout(server: Sshd) -> None:
    settings = replace(server.settings, connect_timeout=1.0)
    started = time.monotonic()
    with (
        listener(b"", close=False) as port,
        SshTransport(replace(settings, port=port)) as transport,
        pytest.raises(TimedOut),
    ):
        transport.run(HELLO)
    assert time.monotonic() - started < 120


def test_a_host_that_hangs_during_the_handshake_is_a_timeout(server: Sshd) -> None:
    settings = replace(server.settings, connect_timeout=1.0)
    started = time.monotonic()
    with (
        listener(b"SSH-2.0-OpenSSH_9.9\r\n", close=False) as port,
        SshTransport(replace(settings, port=port)) as transport,
        pytest.raises(TimedOut),
    ):
        transport.run(HELLO)
    assert time.monotonic() - started < 120


def test_a_failed_connection_leaves_no_thread(server: Sshd, tmp_path: Path) -> None:
    before = threading.active_count()
    for _ in range(3):
        refused(known_by(server, tmp_path))
    deadline = time.monotonic() + 600
    while threading.active_count() > before:
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.05)


def test_an_invalid_config_is_a_config_error_and_not_a_transport_error(server: Sshd) -> None:
    with SshTransport(server.through("Host x\n nonsense\n", host="x")) as transport, pytest.raises(ConfigError):
        transport.run(HELLO)
