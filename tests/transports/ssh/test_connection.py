"""The SSH transport: lost and frozen connections, and unusual servers."""

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
from scheduler.transports.ssh.proxy import connect_tcp
from scheduler.transports.ssh.transport import SshTransport
from tests.transports.hello import HELLO, refused, says_hello
from tests.transports.relay import Relay
from tests.transports.sshd import Sshd
from tests.unpacked import until

WAIT = Program("wait", "echo started; sleep 600")


@pytest.fixture
def relay(server: Sshd) -> Iterator[Relay]:
    with Relay(server.port) as running:
        yield running


@pytest.fixture
def relayed(server: Sshd, relay: Relay, tmp_path: Path) -> Iterator[SshTransport]:
    """A transport whose connection can be cut or frozen."""
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{relay.port} {server.public_key('ed25519')}\n")
    settings = replace(server.settings, port=relay.port, known_hosts=str(known), connect_timeout=5.0)
    with SshTransport(settings) as transport:
        yield transport


def test_one_connection_serves_all_programs(relayed: SshTransport, relay: Relay) -> None:
    for _ in range(5):
        relayed.run(HELLO)
    assert relay.accepted == 1


def test_run_uses_the_connection_that_prepare_has_opened(relayed: SshTransport, relay: Relay) -> None:
    relayed.prepare()
    relayed.prepare()
    until(lambda: relay.accepted)
    for _ in range(2):
        assert relayed.run(HELLO).out == "hello\n"
        relayed.prepare()
    assert relay.accepted == 1


def test_a_prepared_connection_that_was_lost_is_replaced(relayed: SshTransport, relay: Relay) -> None:
    relayed.prepare()
    until(lambda: relayed._prepared is not None and relayed._prepared.is_alive and relayed._prepared._transports)
    time.sleep(0.3)
    relay.cut()
    time.sleep(0.3)
    assert relayed.run(HELLO).out == "hello\n"
    assert relay.accepted == 2


def test_closing_during_prepare_leaves_no_thread(relayed: SshTransport, relay: Relay) -> None:
    before = set(threading.enumerate())
    relayed.prepare()
    relayed.close()
    until(lambda: set(threading.enumerate()) <= before | set(relay._threads))
    assert relayed.run(HELLO).out == "hello\n"


def test_an_error_while_preparing_is_raised_by_the_next_run_without_a_second_connection(
    server: Sshd, relay: Relay, tmp_path: Path
) -> None:
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


def test_a_connection_lost_between_two_programs_is_replaced(relayed: SshTransport, relay: Relay) -> None:
    relayed.run(HELLO)
    relay.cut()
    assert relayed.run(HELLO).out == "hello\n"
    assert relay.accepted == 2


def test_a_connection_frozen_between_two_programs_is_replaced(relayed: SshTransport, relay: Relay) -> None:
    relayed.run(HELLO)
    relay.freeze()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(relayed.run, HELLO)
        until(lambda: relay.accepted == 2)  # the transport has closed the old connection
        relay.thaw()
        assert running.result().out == "hello\n"
    assert relay.accepted == 2


def test_a_connection_lost_during_a_program_is_an_error_and_the_program_is_not_run_again(
    relayed: SshTransport, relay: Relay, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    program = Program("count", 'echo ran >>"$1"; echo started; sleep 600')
    with pytest.raises(TransportError, match="partly or not at all") as caught:
        relayed.run(program, [str(count)], stdout=lambda _: relay.cut())
    assert not isinstance(caught.value, TimedOut)
    assert count.read_text() == "ran\n"
    assert relayed.run(HELLO).out == "hello\n"
    assert count.read_text() == "ran\n"


def test_a_killed_server_process_is_a_lost_connection(server: Sshd) -> None:
    with SshTransport(server.settings) as transport:
        with pytest.raises(TransportError, match="partly or not at all"):
            transport.run(WAIT, stdout=lambda _: server.kill_connections())
        assert transport.run(HELLO).out == "hello\n"


def test_a_connection_frozen_during_a_program_is_a_timeout(relayed: SshTransport, relay: Relay) -> None:
    started = time.monotonic()
    with pytest.raises(TimedOut):
        relayed.run(WAIT, stdout=lambda _: relay.freeze(), timeout=1.0)
    assert time.monotonic() - started < 200
    relay.thaw()
    assert relayed.run(HELLO).out == "hello\n"


def test_a_connection_frozen_with_full_buffers_is_closed_by_the_watchdog(relayed: SshTransport, relay: Relay) -> None:
    """The socket buffers are full, so calls of Paramiko hang; only the watchdog ends them."""

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


def test_closing_the_transport_ends_the_runs_of_other_threads(relayed: SshTransport) -> None:
    started = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(relayed.run, WAIT, stdout=lambda _: started.set())
        assert started.wait(300)
        relayed.close()
        with pytest.raises(TransportError):
            running.result(timeout=300)


def test_programs_that_outlive_their_timeouts_do_not_use_up_the_sessions(relayed: SshTransport, relay: Relay) -> None:
    """OpenSSH counts the session of a program that is still running, and allows ten."""
    for _ in range(10):
        with pytest.raises(TimedOut):
            relayed.run(Program("stuck", "trap '' HUP PIPE; sleep 300"), timeout=0.4)
    assert relayed.run(HELLO).out == "hello\n"
    assert relay.accepted >= 2


def test_threads_wait_for_a_session_if_the_server_has_fewer(
    start_server: Callable[..., Sshd],
) -> None:
    server = start_server(extra="MaxSessions 2")
    with SshTransport(server.settings) as transport, ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: transport.run(HELLO).out, range(16)))
    assert replies == ["hello\n"] * 16


# Unusual servers


def test_the_output_of_an_account_that_may_run_no_commands_is_quoted(start_server: Callable[..., Sshd]) -> None:
    server = start_server(extra="ForceCommand echo This service allows sftp connections only.")
    message = refused(server.settings)
    assert "hello was not started" in message
    assert "This service allows sftp connections only." in message


def test_megabytes_of_login_output_are_skipped(start_server: Callable[..., Sshd], tmp_path: Path) -> None:
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


def test_a_killed_shell_whose_child_holds_the_pipes_open_ends_the_run(server: Sshd, tmp_path: Path) -> None:
    """The connection works, but no data will arrive any more: the run ends after its timeout."""
    with SshTransport(server.settings) as transport:
        with pytest.raises(TransportError):
            transport.run(Program("orphan", "sleep 300 & kill -9 $$"), timeout=3)
        assert transport.run(HELLO).out == "hello\n"


def test_the_cipher_is_aes_gcm(start_server: Callable[..., Sshd]) -> None:
    server = start_server(first="LogLevel DEBUG")
    says_hello(server.settings)
    log = (server.folder / "log").read_text()
    assert "kex: client->server cipher: aes128-gcm@openssh.com" in log
    assert "kex: server->client cipher: aes128-gcm@openssh.com" in log


def test_nagles_algorithm_is_off(server: Sshd) -> None:
    with connect_tcp(route(server.settings)[-1]) as connection:
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_the_connection_of_a_stopped_server_process_is_replaced(server: Sshd) -> None:
    with SshTransport(replace(server.settings, connect_timeout=5.0)) as transport:
        transport.run(HELLO)
        server.signal_children(signal.SIGSTOP)
        assert transport.run(HELLO).out == "hello\n"  # over a new connection
        server.kill_connections()
