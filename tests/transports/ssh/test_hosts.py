"""Which host the SSH transport talks to, by which way, and what it says of one that it does not reach."""

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
    """Settings under which the server is known by these types of key only."""
    path = folder / "known_hosts"
    path.write_text("".join(f"[127.0.0.1]:{server.port} {server.public_key(kind)}\n" for kind in kinds))
    return replace(server.settings, known_hosts=str(path))


# Which host


def test_an_unknown_host_is_refused_with_its_fingerprint_and_what_to_do(server: Sshd, tmp_path: Path) -> None:
    settings = known_by(server, tmp_path)
    with SshTransport(settings) as transport, pytest.raises(HostKeyError) as caught:
        transport.run(HELLO)
    message = str(caught.value)
    assert f"ED25519 key {server.fingerprint('ed25519')}" in message
    assert f"127.0.0.1:{server.port}" in message
    assert f"`ssh -o UserKnownHostsFile={tmp_path}/known_hosts -p {server.port} 127.0.0.1`" in message
    assert "accept_new_host_key: true" in message
    assert (tmp_path / "known_hosts").read_text() == ""


def test_a_changed_host_key_is_refused_loudly(server: Sshd, tmp_path: Path) -> None:
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


def test_a_new_host_key_is_noted_down_if_that_is_wished(server: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "fresh" / "known_hosts"
    settings = replace(server.settings, known_hosts=str(known))
    says_hello(replace(settings, accept_new_host_key=True))
    assert known.read_text() == f"[127.0.0.1]:{server.port} {server.public_key('ed25519')}\n"
    assert known.stat().st_mode & 0o777 == 0o600
    says_hello(settings)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_host_is_asked_for_the_type_of_key_that_it_is_known_by(server: Sshd, tmp_path: Path, kind: str) -> None:
    says_hello(known_by(server, tmp_path, kind))


def test_a_host_is_known_by_its_alias(server: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"the-cluster {server.public_key('ecdsa')}\n")
    config = (
        f"Host farm\n HostName 127.0.0.1\n Port {server.port}\n HostKeyAlias the-cluster\n"
        f" IdentityFile {server.identity}\n UserKnownHostsFile {known}\n"
    )
    says_hello(replace(server.through(config, host="farm"), known_hosts=None))
    known.write_text(f"[127.0.0.1]:{server.port} {server.public_key('ecdsa')}\n")
    message = refused(replace(server.through(config, host="farm"), known_hosts=None))
    assert f"farm ({server.settings.user}@127.0.0.1:{server.port}): the host is not known" in message


# Through other hosts


def chain_config(server: Sshd, *names: str) -> str:
    return "".join(
        f"Host {name}\n HostName 127.0.0.1\n Port {port}\n IdentityFile {server.identity}\n"
        for name, port in zip(names, server.ports, strict=False)
    )


def test_a_chain_of_jump_hosts_is_passed(server: Sshd) -> None:
    config = chain_config(server, "outer", "middle", "inner")
    says_hello(replace(server.through(config, host="inner"), proxy_jump="outer,middle"))


def test_every_host_of_a_chain_must_be_known(server: Sshd, tmp_path: Path) -> None:
    config = chain_config(server, "outer", "inner")
    settings = replace(server.through(config, host="inner"), proxy_jump="outer", known_hosts=str(tmp_path / "known"))
    for port, name in ((server.ports[1], "outer"), (server.ports[0], "inner")):
        (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {server.public_key('ed25519')}\n")
        assert refused(settings).startswith(f"{name} (")


def test_a_jump_host_that_does_not_get_further_is_named_by_what_it_does_not_reach(server: Sshd) -> None:
    config = chain_config(server, "outer") + "Host inner\n HostName 127.0.0.1\n Port 1\n ProxyJump outer\n"
    message = refused(server.through(config, host="inner"))
    assert message.startswith("inner (")
    assert "its jump host does not get there" in message


def test_a_large_output_comes_through_jump_hosts_whole(server: Sshd) -> None:
    config = chain_config(server, "outer", "middle", "inner")
    data = os.urandom(3_000_000)
    with SshTransport(replace(server.through(config, host="inner"), proxy_jump="outer,middle")) as transport:
        assert transport.run(Program("cat", "cat"), stdin=data).stdout == data


NETCAT = """\
import socket, sys, threading, os
line = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def up():
    while data := os.read(0, 65536): line.sendall(data)
threading.Thread(target=up, daemon=True).start()
while data := line.recv(65536): os.write(1, data)
"""


def test_a_proxy_command_is_run_by_a_shell_and_ended_at_the_end(server: Sshd, tmp_path: Path) -> None:
    script = tmp_path / "nc.py"
    script.write_text(f"open({str(tmp_path / 'pid')!r}, 'w').write(str(__import__('os').getpid()))\n{NETCAT}")
    command = f"{shlex.quote(sys.executable)} {script} %h %p 2>&1 | cat"
    config = chain_config(server, "farm") + f" ProxyCommand sh -c '{command}'\n"
    says_hello(server.through(config, host="farm"))
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 120
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_proxy_command_that_fails_is_quoted(server: Sshd) -> None:
    config = chain_config(server, "farm") + " ProxyCommand echo 'no route to gate' >&2; exit 1\n"
    message = refused(server.through(config, host="farm"))
    assert "hung up without a greeting" in message
    assert "Its ProxyCommand said: no route to gate" in message


# Not reached


def test_a_closed_port_is_named(server: Sshd) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    message = refused(replace(server.settings, port=port))
    assert f"127.0.0.1:{port}: connection refused" in message


def test_a_host_name_that_is_not_known_is_named(server: Sshd) -> None:
    message = refused(replace(server.settings, host="no-such-host.invalid"))
    assert f"no-such-host.invalid:{server.port}: its name is not known here" in message


@contextlib.contextmanager
def listener(greeting: bytes, *, hang_up: bool = True) -> Iterator[int]:
    """A port that says `greeting` and hangs up, or else says nothing more."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        held: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    line, _ = door.accept()
                    held.append(line)
                    line.sendall(greeting)
                    if hang_up:
                        line.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield door.getsockname()[1]
        door.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=120)
        for line in held:
            line.close()


def test_a_host_that_hangs_up_at_once_is_named(server: Sshd) -> None:
    with listener(b"") as port:
        assert "hung up without a greeting" in refused(replace(server.settings, port=port))


def test_something_that_is_no_ssh_server_is_named(server: Sshd) -> None:
    with listener(b"220 mail.site.gov ESMTP\r\n") as port:
        assert "it is no SSH server" in refused(replace(server.settings, port=port))


def test_a_host_that_says_nothing_is_given_up(server: Sshd) -> None:
    settings = replace(server.settings, connect_timeout=1.0)
    started = time.monotonic()
    with (
        listener(b"", hang_up=False) as port,
        SshTransport(replace(settings, port=port)) as transport,
        pytest.raises(TimedOut),
    ):
        transport.run(HELLO)
    assert time.monotonic() - started < 25


def test_a_host_that_freezes_in_the_middle_of_its_greeting_is_given_up(server: Sshd) -> None:
    settings = replace(server.settings, connect_timeout=1.0)
    started = time.monotonic()
    with (
        listener(b"SSH-2.0-OpenSSH_9.9\r\n", hang_up=False) as port,
        SshTransport(replace(settings, port=port)) as transport,
        pytest.raises(TimedOut),
    ):
        transport.run(HELLO)
    assert time.monotonic() - started < 25


def test_a_failed_connection_leaves_nothing_behind(server: Sshd, tmp_path: Path) -> None:
    before = threading.active_count()
    for _ in range(3):
        refused(known_by(server, tmp_path))
    deadline = time.monotonic() + 120
    while threading.active_count() > before:
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.05)


def test_a_config_that_makes_no_sense_is_not_the_networks_fault(server: Sshd) -> None:
    with SshTransport(server.through("Host x\n nonsense\n", host="x")) as transport, pytest.raises(ConfigError):
        transport.run(HELLO)
