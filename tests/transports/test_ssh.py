"""What the SSH transport promises beyond the promises of every transport: which host, which line, which words."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.errors import ConfigError, HostKeyError, TimedOut, TransportError
from scheduler.transports.base import Program
from scheduler.transports.ssh import SshSettings, SshTransport
from scheduler.transports.ssh_config import route
from scheduler.transports.ssh_dial import dial

from .relay import Relay
from .sshd import Sshd, make_key

HELLO = Program("hello", "echo hello")
WAIT = Program("wait", "echo begun; sleep 60")


def says_hello(settings: SshSettings) -> None:
    with SshTransport(settings) as transport:
        assert transport.run(HELLO).out == "hello\n"


def refused(settings: SshSettings) -> str:
    with SshTransport(settings) as transport, pytest.raises(TransportError) as caught:
        transport.run(HELLO)
    return str(caught.value)


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
    deadline = time.monotonic() + 10
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
        thread.join(timeout=5)
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
    assert time.monotonic() - started < 10


def test_a_host_that_freezes_in_the_middle_of_its_greeting_is_given_up(server: Sshd) -> None:
    settings = replace(server.settings, connect_timeout=1.0)
    started = time.monotonic()
    with (
        listener(b"SSH-2.0-OpenSSH_9.9\r\n", hang_up=False) as port,
        SshTransport(replace(settings, port=port)) as transport,
        pytest.raises(TimedOut),
    ):
        transport.run(HELLO)
    assert time.monotonic() - started < 10


def test_a_failed_connection_leaves_nothing_behind(server: Sshd, tmp_path: Path) -> None:
    before = threading.active_count()
    for _ in range(3):
        refused(known_by(server, tmp_path))
    deadline = time.monotonic() + 5
    while threading.active_count() > before:
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.05)


def test_a_config_that_makes_no_sense_is_not_the_networks_fault(server: Sshd) -> None:
    with SshTransport(server.through("Host x\n nonsense\n", host="x")) as transport, pytest.raises(ConfigError):
        transport.run(HELLO)


# Lines that fail


@pytest.fixture
def relay(server: Sshd) -> Iterator[Relay]:
    with Relay(server.port) as line:
        yield line


@pytest.fixture
def relayed(server: Sshd, relay: Relay, tmp_path: Path) -> Iterator[SshTransport]:
    """A transport whose line can be cut or frozen."""
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{relay.port} {server.public_key('ed25519')}\n")
    settings = replace(server.settings, port=relay.port, known_hosts=str(known), connect_timeout=2.0)
    with SshTransport(settings) as transport:
        yield transport


def test_one_connection_serves_all_programs(relayed: SshTransport, relay: Relay) -> None:
    for _ in range(5):
        relayed.run(HELLO)
    assert relay.accepted == 1


def test_a_line_cut_between_two_programs_is_made_anew(relayed: SshTransport, relay: Relay) -> None:
    relayed.run(HELLO)
    relay.cut()
    assert relayed.run(HELLO).out == "hello\n"
    assert relay.accepted == 2


def test_a_line_frozen_between_two_programs_is_made_anew(relayed: SshTransport, relay: Relay) -> None:
    relayed.run(HELLO)
    relay.freeze()
    threading.Timer(3.0, relay.thaw).start()  # the old connection has been given up by then
    assert relayed.run(HELLO).out == "hello\n"
    assert relay.accepted == 2


def test_a_line_cut_in_the_middle_is_an_error_and_never_a_second_try(
    relayed: SshTransport, relay: Relay, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    program = Program("count", 'echo ran >>"$1"; echo begun; sleep 60')
    with pytest.raises(TransportError, match="in part, or not at all") as caught:
        relayed.run(program, [str(count)], stdout=lambda _: relay.cut())
    assert not isinstance(caught.value, TimedOut)
    assert count.read_text() == "ran\n"
    assert relayed.run(HELLO).out == "hello\n"
    assert count.read_text() == "ran\n"


def test_a_server_process_that_is_killed_is_a_line_cut(server: Sshd) -> None:
    with SshTransport(server.settings) as transport:
        with pytest.raises(TransportError, match="in part, or not at all"):
            transport.run(WAIT, stdout=lambda _: server.cut_lines())
        assert transport.run(HELLO).out == "hello\n"


def test_a_line_frozen_in_the_middle_is_given_up(relayed: SshTransport, relay: Relay) -> None:
    started = time.monotonic()
    with pytest.raises(TimedOut):
        relayed.run(WAIT, stdout=lambda _: relay.freeze(), timeout=1.0)
    assert time.monotonic() - started < 8
    relay.thaw()
    assert relayed.run(HELLO).out == "hello\n"


def test_a_line_frozen_under_a_full_load_is_given_up(relayed: SshTransport, relay: Relay) -> None:
    """More is under way than the buffers below Paramiko take: its calls hang, and only the watchdog frees them."""

    def upload(number: int) -> None:
        chunks = (bytes(1 << 20) for _ in range(60))
        with pytest.raises(TransportError):
            relayed.run(Program("sink", "cat >/dev/null"), stdin=chunks, timeout=2.0)

    relayed.run(HELLO)
    started = time.monotonic()
    threading.Timer(0.5, relay.freeze).start()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(upload, range(6)))
    assert time.monotonic() - started < 30
    relay.thaw()
    assert relayed.run(HELLO).out == "hello\n"


def test_a_closed_transport_ends_what_other_threads_run(relayed: SshTransport) -> None:
    begun = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(relayed.run, WAIT, stdout=lambda _: begun.set())
        assert begun.wait(10)
        relayed.close()
        with pytest.raises(TransportError):
            running.result(timeout=20)


def test_programs_that_outlive_their_timeouts_do_not_use_up_the_server(relayed: SshTransport, relay: Relay) -> None:
    """OpenSSH counts the session of a program that still runs, and allows ten."""
    for _ in range(10):
        with pytest.raises(TimedOut):
            relayed.run(Program("stuck", "trap '' HUP PIPE; sleep 30"), timeout=0.05)
    assert relayed.run(HELLO).out == "hello\n"
    assert relay.accepted == 2


def test_more_threads_than_the_server_has_sessions_wait_for_each_other(
    start_server: Callable[..., Sshd],
) -> None:
    server = start_server(extra="MaxSessions 2")
    with SshTransport(server.settings) as transport, ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: transport.run(HELLO).out, range(16)))
    assert replies == ["hello\n"] * 16


# Servers that are different


def test_an_account_that_may_run_no_commands_is_quoted(start_server: Callable[..., Sshd]) -> None:
    server = start_server(extra="ForceCommand echo This service allows sftp connections only.")
    message = refused(server.settings)
    assert "hello was not started" in message
    assert "This service allows sftp connections only." in message


def test_megabytes_of_banner_come_before_the_program(start_server: Callable[..., Sshd], tmp_path: Path) -> None:
    login = tmp_path / "login"
    login.write_text(
        '#!/bin/sh\nhead -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2\nexec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    login.chmod(0o755)
    server = start_server(extra=f"ForceCommand {login}")
    data = os.urandom(1_000_000)
    with SshTransport(server.settings) as transport:
        reply = transport.run(Program("cat", "cat; echo done >&2"), stdin=data)
    assert (reply.stdout, reply.stderr) == (data, b"done\n")


def test_a_shell_killed_with_its_pipes_held_open_is_noticed(server: Sshd, tmp_path: Path) -> None:
    """The line is well and nobody speaks on it any more: the deadline decides."""
    with SshTransport(server.settings) as transport:
        with pytest.raises(TransportError):
            transport.run(Program("orphan", "sleep 20 & kill -9 $$"), timeout=3)
        assert transport.run(HELLO).out == "hello\n"


def test_the_cipher_is_the_fast_one(start_server: Callable[..., Sshd]) -> None:
    server = start_server(first="LogLevel DEBUG")
    says_hello(server.settings)
    log = (server.folder / "log").read_text()
    assert "kex: client->server cipher: aes128-gcm@openssh.com" in log
    assert "kex: server->client cipher: aes128-gcm@openssh.com" in log


def test_small_packets_are_not_held_back(server: Sshd) -> None:
    with dial(route(server.settings)[-1]) as line:
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_a_stopped_server_process_is_given_up(server: Sshd) -> None:
    with SshTransport(replace(server.settings, connect_timeout=2.0)) as transport:
        transport.run(HELLO)
        server.signal_children(signal.SIGSTOP)
        assert transport.run(HELLO).out == "hello\n"  # over a new connection
        server.cut_lines()
