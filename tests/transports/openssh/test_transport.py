"""`transport: openssh`: our ControlMaster, the user's ControlMaster, and the errors of ssh."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.errors import ConfigError, HostKeyError, LoginError, TimedOut, TransportError
from scheduler.transports.base import Program
from scheduler.transports.openssh.transport import OpensshTransport, SshSettings
from tests.transports.hello import HELLO
from tests.transports.relay import Relay
from tests.transports.sshd import Sshd, make_key

WAIT = Program("wait", "echo started; sleep 600")


@pytest.fixture
def relay(server: Sshd) -> Iterator[Relay]:
    with Relay(server.port) as running:
        yield running


@pytest.fixture
def settings(server: Sshd, relay: Relay, tmp_path: Path) -> SshSettings:
    """Settings that reach the server through a relay, which can count, cut and freeze connections."""
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{relay.port} {server.public_key('ed25519')}\n")
    return replace(server.settings, port=relay.port, known_hosts=str(known), connect_timeout=20.0)


def says_hello(settings: SshSettings) -> None:
    with OpensshTransport(settings) as transport:
        assert transport.run(HELLO).out == "hello\n"


def refused(settings: SshSettings, kind: type[TransportError] = TransportError) -> str:
    with OpensshTransport(settings) as transport, pytest.raises(kind) as caught:
        transport.run(HELLO)
    return str(caught.value)


def our_masters(settings: SshSettings) -> set[str]:
    """The command lines of our master processes for this port."""
    listed = subprocess.run(["ps", "-ww", "-eo", "args="], check=True, capture_output=True, text=True).stdout
    ours = rf"ssh -F \S+/sched-\S+ -M .* -p {settings.port} "
    return {line for line in listed.splitlines() if re.match(ours, line)}


# Our ControlMaster


def test_one_connection_serves_all_programs(settings: SshSettings, relay: Relay) -> None:
    with OpensshTransport(settings) as transport, ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda _: transport.run(HELLO).out, range(12))) == ["hello\n"] * 12
    assert relay.accepted == 1


def test_closing_leaves_no_master_process_and_no_folder(settings: SshSettings) -> None:
    with OpensshTransport(settings) as transport:
        before = our_masters(settings)
        transport.run(HELLO)
        (ours,) = our_masters(settings) - before
        folder = Path(ours.split()[2]).parent
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()
    deadline = time.monotonic() + 600
    while left := our_masters(settings) & {ours}:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_a_connection_lost_between_two_programs_is_replaced(settings: SshSettings, relay: Relay) -> None:
    with OpensshTransport(settings) as transport:
        transport.run(HELLO)
        relay.cut()
        time.sleep(0.2)
        assert transport.run(HELLO).out == "hello\n"
    assert relay.accepted == 2


def test_a_connection_lost_during_a_program_is_an_error_and_the_next_program_runs(
    settings: SshSettings, relay: Relay
) -> None:
    with OpensshTransport(settings) as transport:
        with pytest.raises(TransportError, match="partly or not at all"):
            transport.run(WAIT, stdout=lambda _: relay.cut())
        assert transport.run(HELLO).out == "hello\n"


def test_a_frozen_connection_is_replaced_after_a_timeout(settings: SshSettings, relay: Relay) -> None:
    with OpensshTransport(settings) as transport:
        transport.run(HELLO)
        relay.freeze()
        with pytest.raises(TimedOut):
            transport.run(HELLO, timeout=1.0)
        relay.thaw()
        assert transport.run(HELLO).out == "hello\n"


def test_closing_the_transport_ends_the_runs_of_other_threads(settings: SshSettings) -> None:
    started = threading.Event()
    transport = OpensshTransport(settings)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(transport.run, WAIT, stdout=lambda _: started.set())
        assert started.wait(300)
        transport.close()
        with pytest.raises(TransportError):
            running.result(timeout=300)


def test_programs_run_on_a_server_with_one_session_per_connection(start_server: Callable[..., Sshd]) -> None:
    server = start_server(extra="MaxSessions 1")
    with OpensshTransport(server.settings) as transport, ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda _: transport.run(HELLO).out, range(6))) == ["hello\n"] * 6


# The user's ControlMaster


@pytest.fixture
def shared(server: Sshd, settings: SshSettings, relay: Relay, tmp_path: Path) -> SshSettings:
    """The user's entry for the host, with a ControlPath and options for interactive use."""
    path = tmp_path / "config"
    path.write_text(
        f"Host farm\n HostName 127.0.0.1\n Port {relay.port}\n IdentityFile {server.identity}\n"
        f" ControlPath {tmp_path}/open\n ControlMaster auto\n LocalForward {relay.port} localhost:1\n"
        " ForwardX11 yes\n RequestTTY force\n RemoteCommand echo not this\n UserKnownHostsFile /dev/null\n"
    )
    return replace(settings, host="farm", user=None, port=None, identity_file=None, config_file=str(path))


@pytest.fixture
def master(shared: SshSettings, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The user's own ControlMaster connection."""
    options = ["-o", f"UserKnownHostsFile={shared.known_hosts}", "-o", "ClearAllForwardings=yes"]
    command = ["ssh", "-F", str(shared.config_file), *options, "-M", "-N", "farm"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 600
    while not (tmp_path / "open").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    yield process
    process.terminate()
    process.wait(timeout=600)


def test_an_open_control_master_of_the_user_is_used_and_left_open(
    shared: SshSettings, relay: Relay, master: subprocess.Popen[bytes]
) -> None:
    assert relay.accepted == 1
    with OpensshTransport(shared) as transport:
        assert [transport.run(HELLO).out for _ in range(3)] == ["hello\n"] * 3
        with pytest.raises(TimedOut):
            transport.run(WAIT, timeout=0.5)
    assert relay.accepted == 1
    assert master.poll() is None
    says_hello(shared)
    assert relay.accepted == 1


def test_the_users_control_master_may_end_during_a_program(
    shared: SshSettings, relay: Relay, master: subprocess.Popen[bytes]
) -> None:
    with OpensshTransport(shared) as transport:
        with pytest.raises(TransportError, match="partly or not at all"):
            transport.run(WAIT, stdout=lambda _: master.kill())
        master.wait()
        assert transport.run(HELLO).out == "hello\n"
        assert transport.run(HELLO).out == "hello\n"
    assert relay.accepted == 2


def test_without_an_open_control_master_the_users_options_apply(shared: SshSettings, relay: Relay) -> None:
    says_hello(shared)
    assert relay.accepted == 1


# Host keys and logins


def test_the_error_for_an_unknown_host_has_its_fingerprint_and_what_to_do(server: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    message = refused(replace(server.settings, known_hosts=str(known)), HostKeyError)
    assert f"The host sent its ssh-ed25519 key {server.fingerprint('ed25519')}" in message
    assert f"`ssh -o UserKnownHostsFile={known} -l" in message
    assert "accept_new_host_key: true" in message
    assert "Host key verification failed." in message
    assert not known.exists()


def test_a_changed_host_key_is_refused_and_never_replaced(server: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text()
    known.write_text(f"[127.0.0.1]:{server.port} {other}")
    for accept in (False, True):
        settings = replace(server.settings, known_hosts=str(known), accept_new_host_key=accept)
        message = refused(settings, HostKeyError)
        assert "REMOTE HOST IDENTIFICATION HAS CHANGED. ssh printed" in message
        assert server.fingerprint("ed25519") in message
        assert f"Offending ED25519 key in {known}:1" in message
    assert known.read_text() == f"[127.0.0.1]:{server.port} {other}"


def test_a_new_host_key_is_added_with_accept_new_host_key(server: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    settings = replace(server.settings, known_hosts=str(known))
    says_hello(replace(settings, accept_new_host_key=True))
    assert f"[127.0.0.1]:{server.port} {server.public_key('ed25519')}\n" in known.read_text()
    says_hello(settings)


def test_the_key_of_every_host_of_a_chain_is_verified(server: Sshd, tmp_path: Path) -> None:
    outer, inner, _ = server.ports
    config = "".join(
        f"Host {name}\n HostName 127.0.0.1\n Port {port}\n IdentityFile {server.identity}\n"
        for name, port in (("outer", outer), ("inner", inner))
    )
    known = tmp_path / "known_hosts"
    settings = replace(server.through(config, host="inner"), proxy_jump="outer", known_hosts=str(known))
    lines = [f"[127.0.0.1]:{port} {server.public_key('ed25519')}\n" for port in (outer, inner)]
    for line in lines:
        known.write_text(line)
        message = refused(settings, HostKeyError)
        assert server.fingerprint("ed25519") in message
    known.write_text("".join(lines))
    says_hello(settings)


def test_a_refused_login_quotes_the_message_of_ssh(server: Sshd, tmp_path: Path) -> None:
    message = refused(replace(server.settings, identity_file=str(make_key(tmp_path / "wrong"))), LoginError)
    assert f"{server.settings.user}@127.0.0.1: Permission denied (publickey)." in message
    assert "SCHEDULER_NO_PROMPT" in message
    assert "ControlMaster" in message


def test_an_expired_certificate_is_named_with_its_date(server: Sshd, tmp_path: Path) -> None:
    key = make_key(tmp_path / "nersc")
    command = ["ssh-keygen", "-q", "-s", str(server.folder / "authority"), "-I", "me", "-n", str(server.settings.user)]
    subprocess.run([*command, "-V", "20200101Z:20200102120000Z", f"{key}.pub"], check=True, capture_output=True)
    message = refused(replace(server.settings, identity_file=str(key)), LoginError)
    assert f"{key}-cert.pub, which expired on 2020-01-02 12:00 UTC" in message
    assert "`sshproxy.sh`" in message
    subprocess.run([*command, "-V", "-1h:+1h", f"{key}.pub"], check=True, capture_output=True)
    says_hello(replace(server.settings, identity_file=str(key)))


def test_hosts_that_are_not_reached_quote_the_message_of_ssh(server: Sshd) -> None:
    assert "Connection refused" in refused(replace(server.settings, port=1))
    assert "Could not resolve hostname" in refused(replace(server.settings, host="no-such-host.invalid"))


def test_a_missing_ssh_command_is_an_error(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "cannot run `ssh` on this machine" in refused(server.settings)


def test_a_path_that_is_not_possible_in_a_config_file_is_refused(server: Sshd) -> None:
    with OpensshTransport(replace(server.settings, known_hosts='/a"b')) as transport, pytest.raises(ConfigError):
        transport.run(HELLO)


# Unusual servers


def test_the_output_of_an_account_that_may_run_no_commands_is_quoted(start_server: Callable[..., Sshd]) -> None:
    server = start_server(extra="ForceCommand echo This service allows sftp connections only.")
    message = refused(server.settings)
    assert "hello was not started" in message
    assert "This service allows sftp connections only." in message
    assert "head -c NUMBER" in message


def test_megabytes_of_login_output_are_skipped(start_server: Callable[..., Sshd], tmp_path: Path) -> None:
    login = tmp_path / "login"
    login.write_text(
        '#!/bin/sh\nhead -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2\nexec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    login.chmod(0o755)
    server = start_server(extra=f"ForceCommand {login}")
    data = os.urandom(1_000_000)
    with OpensshTransport(server.settings) as transport:
        reply = transport.run(Program("cat", "cat; echo done >&2"), stdin=data)
    assert (reply.stdout, reply.stderr) == (data, b"done\n")
