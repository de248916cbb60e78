"""What the SSH transport does when a line fails, and with servers that are not like others."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.errors import HostKeyError, TimedOut, TransportError
from scheduler.transports.base import Program
from scheduler.transports.ssh.config import route
from scheduler.transports.ssh.proxy import dial
from scheduler.transports.ssh.transport import SshTransport
from tests.transports.hello import HELLO, refused, says_hello
from tests.transports.relay import Relay
from tests.transports.sshd import Sshd
from tests.unpacked import until

WAIT = Program("wait", "echo begun; sleep 600")


@pytest.fixture
def relay(server: Sshd) -> Iterator[Relay]:
    with Relay(server.port) as line:
        yield line


@pytest.fixture
def relayed(server: Sshd, relay: Relay, tmp_path: Path) -> Iterator[SshTransport]:
    """A transport whose line can be cut or frozen."""
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{relay.port} {server.public_key('ed25519')}\n")
    settings = replace(server.settings, port=relay.port, known_hosts=str(known), connect_timeout=5.0)
    with SshTransport(settings) as transport:
        yield transport


def test_one_connection_serves_all_programs(relayed: SshTransport, relay: Relay) -> None:
    for _ in range(5):
        relayed.run(HELLO)
    assert relay.accepted == 1


def test_what_was_prepared_is_the_one_connection(relayed: SshTransport, relay: Relay) -> None:
    relayed.prepare()
    relayed.prepare()
    until(lambda: relay.accepted)
    for _ in range(2):
        assert relayed.run(HELLO).out == "hello\n"
        relayed.prepare()
    assert relay.accepted == 1


def test_what_was_prepared_and_cut_is_made_anew(relayed: SshTransport, relay: Relay) -> None:
    relayed.prepare()
    until(lambda: relayed._ahead is not None and relayed._ahead.is_alive and relayed._ahead._transports)
    time.sleep(0.3)
    relay.cut()
    time.sleep(0.3)
    assert relayed.run(HELLO).out == "hello\n"
    assert relay.accepted == 2


def test_what_was_prepared_in_vain_leaves_nothing(relayed: SshTransport, relay: Relay) -> None:
    before = set(threading.enumerate())
    relayed.prepare()
    relayed.close()
    until(lambda: set(threading.enumerate()) <= before | set(relay._threads))
    assert relayed.run(HELLO).out == "hello\n"


def test_trouble_while_preparing_is_told_by_the_next_run_and_once(server: Sshd, relay: Relay, tmp_path: Path) -> None:
    (tmp_path / "none").touch()
    settings = replace(server.settings, port=relay.port, known_hosts=str(tmp_path / "none"))
    with SshTransport(settings) as transport:
        transport.prepare()
        until(lambda: relay.accepted)
        with pytest.raises(HostKeyError):
            transport.run(HELLO)
        assert relay.accepted == 1
    with SshTransport(replace(settings, port=1)) as transport:
        transport.prepare()
        with pytest.raises(TransportError, match="refused"):
            transport.run(HELLO)


def test_a_line_cut_between_two_programs_is_made_anew(relayed: SshTransport, relay: Relay) -> None:
    relayed.run(HELLO)
    relay.cut()
    assert relayed.run(HELLO).out == "hello\n"
    assert relay.accepted == 2


def test_a_line_frozen_between_two_programs_is_made_anew(relayed: SshTransport, relay: Relay) -> None:
    relayed.run(HELLO)
    relay.freeze()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(relayed.run, HELLO)
        until(lambda: relay.accepted == 2)  # the old connection has been given up
        relay.thaw()
        assert running.result().out == "hello\n"
    assert relay.accepted == 2


def test_a_line_cut_in_the_middle_is_an_error_and_never_a_second_try(
    relayed: SshTransport, relay: Relay, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    program = Program("count", 'echo ran >>"$1"; echo begun; sleep 600')
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
    assert time.monotonic() - started < 200
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
    assert time.monotonic() - started < 200
    relay.thaw()
    assert relayed.run(HELLO).out == "hello\n"


def test_a_closed_transport_ends_what_other_threads_run(relayed: SshTransport) -> None:
    begun = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(relayed.run, WAIT, stdout=lambda _: begun.set())
        assert begun.wait(300)
        relayed.close()
        with pytest.raises(TransportError):
            running.result(timeout=300)


def test_programs_that_outlive_their_timeouts_do_not_use_up_the_server(relayed: SshTransport, relay: Relay) -> None:
    """OpenSSH counts the session of a program that still runs, and allows ten."""
    for _ in range(10):
        with pytest.raises(TimedOut):
            relayed.run(Program("stuck", "trap '' HUP PIPE; sleep 300"), timeout=0.4)
    assert relayed.run(HELLO).out == "hello\n"
    assert relay.accepted >= 2


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
            transport.run(Program("orphan", "sleep 300 & kill -9 $$"), timeout=3)
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
    with SshTransport(replace(server.settings, connect_timeout=5.0)) as transport:
        transport.run(HELLO)
        server.signal_children(signal.SIGSTOP)
        assert transport.run(HELLO).out == "hello\n"  # over a new connection
        server.cut_lines()
