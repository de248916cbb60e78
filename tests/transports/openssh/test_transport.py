"""OpenSSH's own ssh as a transport: connections shared, the user's left alone, its words understood."""

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

WAIT = Program("wait", "echo begun; sleep 600")


@pytest.fixture
def relay(server: Sshd) -> Iterator[Relay]:
    with Relay(server.port) as line:
        yield line


@pytest.fixture
def settings(server: Sshd, relay: Relay, tmp_path: Path) -> SshSettings:
    """A way to the server on which connections can be counted, cut and frozen."""
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
    """The commands of the processes that hold connections of ours to this port."""
    listed = subprocess.run(["ps", "-ww", "-eo", "args="], check=True, capture_output=True, text=True).stdout
    ours = rf"ssh -F \S+/sched-\S+ -M .* -p {settings.port} "
    return {line for line in listed.splitlines() if re.match(ours, line)}


# Our own connection


def test_one_connection_serves_all_programs(settings: SshSettings, relay: Relay) -> None:
    with OpensshTransport(settings) as transport, ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda _: transport.run(HELLO).out, range(12))) == ["hello\n"] * 12
    assert relay.accepted == 1


def test_nothing_of_our_connection_stays(settings: SshSettings) -> None:
    with OpensshTransport(settings) as transport:
        before = our_masters(settings)
        transport.run(HELLO)
        (ours,) = our_masters(settings) - before
        folder = Path(ours.split()[2]).parent
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()
    deadline = time.monotonic() + 120
    while left := our_masters(settings) & {ours}:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_a_line_cut_between_two_programs_is_made_anew(settings: SshSettings, relay: Relay) -> None:
    with OpensshTransport(settings) as transport:
        transport.run(HELLO)
        relay.cut()
        time.sleep(0.2)
        assert transport.run(HELLO).out == "hello\n"
    assert relay.accepted == 2


def test_a_line_cut_in_the_middle_is_said_and_the_next_program_runs(settings: SshSettings, relay: Relay) -> None:
    with OpensshTransport(settings) as transport:
        with pytest.raises(TransportError, match="in part, or not at all"):
            transport.run(WAIT, stdout=lambda _: relay.cut())
        assert transport.run(HELLO).out == "hello\n"


def test_a_line_that_is_frozen_is_given_up(settings: SshSettings, relay: Relay) -> None:
    with OpensshTransport(settings) as transport:
        transport.run(HELLO)
        relay.freeze()
        with pytest.raises(TimedOut):
            transport.run(HELLO, timeout=1.0)
        relay.thaw()
        assert transport.run(HELLO).out == "hello\n"


def test_a_closed_transport_ends_what_other_threads_run(settings: SshSettings) -> None:
    begun = threading.Event()
    transport = OpensshTransport(settings)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(transport.run, WAIT, stdout=lambda _: begun.set())
        assert begun.wait(300)
        transport.close()
        with pytest.raises(TransportError):
            running.result(timeout=300)


def test_a_server_that_gives_one_session_at_a_time_is_served(start_server: Callable[..., Sshd]) -> None:
    server = start_server(extra="MaxSessions 1")
    with OpensshTransport(server.settings) as transport, ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda _: transport.run(HELLO).out, range(6))) == ["hello\n"] * 6


# The user's connection


@pytest.fixture
def shared(server: Sshd, settings: SshSettings, relay: Relay, tmp_path: Path) -> SshSettings:
    """The user's entry for the host, with a ControlPath, and things that only a person wants."""
    path = tmp_path / "config"
    path.write_text(
        f"Host farm\n HostName 127.0.0.1\n Port {relay.port}\n IdentityFile {server.identity}\n"
        f" ControlPath {tmp_path}/open\n ControlMaster auto\n LocalForward {relay.port} localhost:1\n"
        " ForwardX11 yes\n RequestTTY force\n RemoteCommand echo not this\n UserKnownHostsFile /dev/null\n"
    )
    return replace(settings, host="farm", user=None, port=None, identity_file=None, config_file=str(path))


@pytest.fixture
def master(shared: SshSettings, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The user's own connection, opened by hand."""
    options = ["-o", f"UserKnownHostsFile={shared.known_hosts}", "-o", "ClearAllForwardings=yes"]
    command = ["ssh", "-F", str(shared.config_file), *options, "-M", "-N", "farm"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "open").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    yield process
    process.terminate()
    process.wait(timeout=120)


def test_a_connection_that_the_user_has_opened_is_used_and_left_open(
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


def test_the_users_connection_may_die_in_the_middle(
    shared: SshSettings, relay: Relay, master: subprocess.Popen[bytes]
) -> None:
    with OpensshTransport(shared) as transport:
        with pytest.raises(TransportError, match="in part, or not at all"):
            transport.run(WAIT, stdout=lambda _: master.kill())
        master.wait()
        assert transport.run(HELLO).out == "hello\n"
        assert transport.run(HELLO).out == "hello\n"
    assert relay.accepted == 2


def test_without_one_the_users_settings_lead_there_all_the_same(shared: SshSettings, relay: Relay) -> None:
    says_hello(shared)
    assert relay.accepted == 1


# Which host, and who we are


def test_an_unknown_host_is_refused_with_its_fingerprint_and_what_to_do(server: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    message = refused(replace(server.settings, known_hosts=str(known)), HostKeyError)
    assert f"It shows an ssh-ed25519 key {server.fingerprint('ed25519')}" in message
    assert f"`ssh -o UserKnownHostsFile={known} -l" in message
    assert "accept_new_host_key: true" in message
    assert "Host key verification failed." in message
    assert not known.exists()


def test_a_changed_host_key_is_refused_loudly(server: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text()
    known.write_text(f"[127.0.0.1]:{server.port} {other}")
    for accept in (False, True):
        settings = replace(server.settings, known_hosts=str(known), accept_new_host_key=accept)
        message = refused(settings, HostKeyError)
        assert "THE HOST KEY HAS CHANGED" in message
        assert server.fingerprint("ed25519") in message
        assert f"Offending ED25519 key in {known}:1" in message
    assert known.read_text() == f"[127.0.0.1]:{server.port} {other}"


def test_a_new_host_key_is_noted_down_if_that_is_wished(server: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    settings = replace(server.settings, known_hosts=str(known))
    says_hello(replace(settings, accept_new_host_key=True))
    assert f"[127.0.0.1]:{server.port} {server.public_key('ed25519')}\n" in known.read_text()
    says_hello(settings)


def test_every_host_of_a_chain_must_be_known(server: Sshd, tmp_path: Path) -> None:
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


def test_a_refused_login_is_in_sshs_own_words(server: Sshd, tmp_path: Path) -> None:
    message = refused(replace(server.settings, identity_file=str(make_key(tmp_path / "wrong"))), LoginError)
    assert f"{server.settings.user}@127.0.0.1: Permission denied (publickey)." in message
    assert "SCHEDULER_NO_PROMPT" in message
    assert "ControlMaster" in message


def test_an_expired_certificate_is_named_with_its_time(server: Sshd, tmp_path: Path) -> None:
    key = make_key(tmp_path / "nersc")
    command = ["ssh-keygen", "-q", "-s", str(server.folder / "authority"), "-I", "me", "-n", str(server.settings.user)]
    subprocess.run([*command, "-V", "20200101Z:20200102120000Z", f"{key}.pub"], check=True, capture_output=True)
    message = refused(replace(server.settings, identity_file=str(key)), LoginError)
    assert f"{key}-cert.pub, which expired on 2020-01-02 12:00 UTC" in message
    assert "`sshproxy.sh`" in message
    subprocess.run([*command, "-V", "-1h:+1h", f"{key}.pub"], check=True, capture_output=True)
    says_hello(replace(server.settings, identity_file=str(key)))


def test_hosts_that_are_not_reached_are_in_sshs_own_words(server: Sshd) -> None:
    assert "Connection refused" in refused(replace(server.settings, port=1))
    assert "Could not resolve hostname" in refused(replace(server.settings, host="no-such-host.invalid"))


def test_an_ssh_that_is_not_there_is_named(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "`ssh` cannot be run here" in refused(server.settings)


def test_a_path_that_no_config_can_hold_is_refused(server: Sshd) -> None:
    with OpensshTransport(replace(server.settings, known_hosts='/a"b')) as transport, pytest.raises(ConfigError):
        transport.run(HELLO)


# Servers that are different


def test_an_account_that_may_run_no_commands_is_quoted(start_server: Callable[..., Sshd]) -> None:
    server = start_server(extra="ForceCommand echo This service allows sftp connections only.")
    message = refused(server.settings)
    assert "hello was not started" in message
    assert "This service allows sftp connections only." in message
    assert "head -c NUMBER" in message


def test_megabytes_of_banner_come_before_the_program(start_server: Callable[..., Sshd], tmp_path: Path) -> None:
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
