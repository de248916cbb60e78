"""Hosts that want more than a key, or give less than a shell: the test cluster's accounts, by both ways of SSH."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from scheduler.errors import HostKeyError, LoginError, TransportError
from scheduler.transports.base import Program, Transport
from scheduler.transports.openssh.transport import OpensshTransport
from scheduler.transports.prompt import NoPrompter
from scheduler.transports.ssh.transport import SshSettings, SshTransport
from tests.prompters import PASSWORD, PreparedPrompter, Terminal, code
from tests.testcluster import Cluster

from .hello import HELLO
from .relay import Relay
from .sshd import make_key

pytestmark = pytest.mark.cluster

ANSWERS: Mapping[str, str | Callable[[], str]] = {"Password:": PASSWORD, "Verification code:": code}
QUESTIONS = {"twofactor": ["Verification code:"], "password": ["Password:", "Verification code:"]}
AT_TERMINAL = """
import sys
from scheduler.transports.{module}.transport import {name}, SshSettings
from scheduler.transports.base import Program
with {name}(SshSettings(*sys.argv[1:3], known_hosts=sys.argv[3], identity_file=sys.argv[4])) as transport:
    for number in range(3):
        print("it says", transport.run(Program("hello", "echo $USER")).out)
"""

LOSING = """
import sys
from scheduler.errors import LoginError
from scheduler.transports.openssh.transport import OpensshTransport, SshSettings
from scheduler.transports.base import Program
port, known, key = sys.argv[1:]
settings = SshSettings("127.0.0.1", "twofactor", port=int(port), known_hosts=known, identity_file=key)
with OpensshTransport(settings) as transport:
    print("it says", transport.run(Program("hello", "echo hello")).out)
    sys.stdin.readline()
    try:
        transport.run(Program("hello", "echo hello"))
    except LoginError as error:
        print(error)
"""

Way = Callable[..., Transport]


@pytest.fixture(params=["ssh", "openssh"])
def way(request: pytest.FixtureRequest) -> Way:
    """Paramiko, and OpenSSH's own ssh."""
    return SshTransport if request.param == "ssh" else OpensshTransport


@pytest.fixture
def settings(cluster: Cluster) -> Callable[..., SshSettings]:
    """What lets somebody in, as far as a key does."""
    return partial(
        SshSettings,
        cluster.host,
        known_hosts=str(cluster.folder / "known_hosts"),
        identity_file=str(cluster.folder / "id_ed25519"),
    )


@pytest.fixture
def certified(cluster: Cluster, tmp_path: Path) -> Callable[[str], Path]:
    """A fresh key that the cluster's authority has signed for a while."""

    def make(valid: str) -> Path:
        key = make_key(tmp_path / "nersc")
        command = ["ssh-keygen", "-q", "-s", str(cluster.folder / "authority"), "-I", "anna", "-n", "cert", "-V", valid]
        subprocess.run([*command, f"{key}.pub"], check=True, capture_output=True)
        return key

    return make


def says_hello(transport: Transport) -> None:
    with transport:
        assert transport.run(HELLO).out == "hello\n"


def refused(transport: Transport, kind: type[TransportError]) -> str:
    with transport, pytest.raises(kind) as caught:
        transport.run(HELLO)
    return str(caught.value)


# Codes


@pytest.mark.parametrize("user", QUESTIONS)
def test_a_host_with_codes_asks_once_for_many_programs(settings: Callable[..., SshSettings], user: str) -> None:
    prompter = PreparedPrompter(ANSWERS)
    with SshTransport(settings(user=user), prompter=prompter) as transport:
        for _ in range(3):
            assert transport.run(Program("who", "id -un")).out == f"{user}\n"
    assert [question.partition(": ")[2] for question in prompter.asked] == QUESTIONS[user]
    assert all(question.startswith(f"{user}@") for question in prompter.asked)


@pytest.mark.parametrize("name", ["SshTransport", "OpensshTransport"])
def test_the_question_comes_to_the_terminal_once(settings: Callable[..., SshSettings], name: str) -> None:
    asked = settings(user="password")
    module = "ssh" if name == "SshTransport" else "openssh"
    program = AT_TERMINAL.format(module=module, name=name)
    words = [asked.host, str(asked.user), str(asked.known_hosts), str(asked.identity_file)]
    with Terminal([sys.executable, "-c", program, *words]) as terminal:
        terminal.shows("Password:")
        terminal.types(PASSWORD)
        terminal.shows("Verification code:")
        number = code()
        terminal.types(number)
        assert terminal.ends() == 0, terminal.screen
    assert terminal.screen.count("it says password") == 3
    assert terminal.screen.count("Verification code:") == 1
    assert PASSWORD not in terminal.screen
    assert number not in terminal.screen


def test_a_wrong_code_is_refused_after_one_question(settings: Callable[..., SshSettings]) -> None:
    prompter = PreparedPrompter({**ANSWERS, "Verification code:": "000000"})
    message = refused(SshTransport(settings(user="twofactor"), prompter=prompter), LoginError)
    assert "was accepted, but the host wants a second proof too" in message
    assert "your answers: refused" in message
    assert "000000" not in message
    assert len(prompter.asked) == 1


@pytest.mark.parametrize("user", QUESTIONS)
def test_where_nobody_may_be_asked_it_fails_at_once_with_what_is_needed(
    settings: Callable[..., SshSettings], way: Way, user: str
) -> None:
    started = time.monotonic()
    message = refused(way(settings(user=user), prompter=NoPrompter("nobody is here")), LoginError)
    assert time.monotonic() - started < 60
    assert "nobody is here" in message
    assert "keyboard-interactive" in message
    assert "one-time code" in message or "a code" in message


@pytest.fixture
def relayed(
    cluster: Cluster, settings: Callable[..., SshSettings], tmp_path: Path
) -> Iterator[tuple[SshSettings, Relay]]:
    """The account with a key and a code, over a line that can be cut."""
    key = (cluster.folder / "known_hosts").read_text().splitlines()[0].partition(" ")[2]
    known = tmp_path / "known_hosts"
    with Relay(22, host=cluster.host) as relay:
        known.write_text(f"[127.0.0.1]:{relay.port} {key}\n")
        asked = settings(user="twofactor", port=relay.port)
        yield replace(asked, host="127.0.0.1", known_hosts=str(known)), relay


def test_a_code_is_not_asked_for_in_place_of_a_connection_that_was_lost(relayed: tuple[SshSettings, Relay]) -> None:
    """As in the middle of a `wait`, when nobody may be there: it says so. Who starts again is asked again."""
    settings, relay = relayed
    prompter = PreparedPrompter(ANSWERS)
    with SshTransport(settings, prompter=prompter) as transport:
        assert transport.run(HELLO).out == "hello\n"
        relay.cut()
        with pytest.raises(LoginError, match="nobody is asked again after a connection was lost"):
            transport.run(HELLO)
        assert len(prompter.asked) == 1
        assert transport.run(HELLO).out == "hello\n"
    assert len(prompter.asked) == 2


def test_ssh_does_not_ask_in_place_of_a_connection_that_was_lost(relayed: tuple[SshSettings, Relay]) -> None:
    settings, relay = relayed
    words = [str(settings.port), str(settings.known_hosts), str(settings.identity_file)]
    with Terminal([sys.executable, "-c", LOSING, *words]) as terminal:
        terminal.shows("Verification code:")
        terminal.types(code())
        terminal.shows("it says hello")
        relay.cut()
        terminal.types("")
        terminal.shows("nobody is asked again after a connection was lost")
        assert terminal.ends() == 0
    assert terminal.screen.count("Verification code:") == 1


def test_a_connection_that_was_opened_by_hand_with_a_code_is_used(
    cluster: Cluster, settings: Callable[..., SshSettings], tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"Host farm\n HostName {cluster.host}\n User twofactor\n IdentityFile {cluster.folder}/id_ed25519\n"
        f" UserKnownHostsFile {cluster.folder}/known_hosts\n ControlPath {tmp_path}/open\n"
    )
    shared = SshSettings("farm", config_file=str(config))
    with Terminal(["ssh", "-F", str(config), "-M", "-N", "farm"]) as terminal:
        terminal.shows("Verification code:")
        terminal.types(code())
        deadline = time.monotonic() + 300
        while not (tmp_path / "open").exists():
            assert time.monotonic() < deadline, terminal.screen
            time.sleep(0.05)
        with OpensshTransport(shared, prompter=NoPrompter("nobody is here")) as transport:
            assert [transport.run(HELLO).out for _ in range(3)] == ["hello\n"] * 3
        assert terminal.process.poll() is None
    message = refused(OpensshTransport(shared, prompter=NoPrompter("nobody is here")), LoginError)
    assert "Permission denied (keyboard-interactive)" in message
    assert "ControlMaster" in message


# Certificates


def test_a_certificate_opens_what_no_key_opens(
    settings: Callable[..., SshSettings], way: Way, certified: Callable[[str], Path]
) -> None:
    says_hello(way(replace(settings(user="cert"), identity_file=str(certified("-1h:+1h")))))
    refused(way(settings(user="cert")), LoginError)


def test_a_certificate_may_lie_elsewhere(
    cluster: Cluster, way: Way, certified: Callable[[str], Path], tmp_path: Path
) -> None:
    key = certified("-1h:+1h")
    elsewhere = key.with_name("nersc-cert.pub").rename(tmp_path / "signed.pub")
    config = tmp_path / "config"
    config.write_text(
        f"Host farm\n HostName {cluster.host}\n User cert\n IdentityFile {key}\n CertificateFile {elsewhere}\n"
        f" UserKnownHostsFile {cluster.folder}/known_hosts\n"
    )
    says_hello(way(SshSettings("farm", config_file=str(config))))


def test_an_expired_certificate_says_so_and_how_to_renew_it(
    settings: Callable[..., SshSettings], way: Way, certified: Callable[[str], Path]
) -> None:
    key = certified("20200101Z:20200102120000Z")
    message = refused(way(replace(settings(user="cert"), identity_file=str(key))), LoginError)
    assert "which expired on 2020-01-02 12:00 UTC" in message
    assert "Get a new certificate (`sshproxy.sh` at NERSC)" in message


# Through a gate


def inner(settings: Callable[..., SshSettings], cluster: Cluster, **more: object) -> SshSettings:
    reached: SshSettings = settings(user="alice", port=2202)
    return replace(reached, host="127.0.0.1", **{"proxy_jump": f"alice@{cluster.host}:2201", **more})  # type: ignore[arg-type]


@pytest.fixture
def key_for_all(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config file that gives the cluster's key to each host of a chain, as a person's does."""
    config = tmp_path / "config"
    config.write_text(f"Host *\n IdentityFile {cluster.folder}/id_ed25519\n IdentitiesOnly yes\n")
    return config


def test_a_host_behind_a_gate_is_reached(
    cluster: Cluster, settings: Callable[..., SshSettings], way: Way, key_for_all: Path
) -> None:
    with way(inner(settings, cluster, config_file=str(key_for_all))) as transport:
        assert transport.run(Program("port", "echo ${SSH_CONNECTION##* }")).out == "2202\n"


def test_a_gate_that_wants_a_code_asks_for_it_once(
    cluster: Cluster, settings: Callable[..., SshSettings], key_for_all: Path
) -> None:
    prompter = PreparedPrompter(ANSWERS)
    reached = inner(settings, cluster, proxy_jump=f"twofactor@{cluster.host}", config_file=str(key_for_all))
    with SshTransport(reached, prompter=prompter) as transport:
        for _ in range(3):
            assert transport.run(Program("who", "id -un")).out == "alice\n"
    assert [question.partition(": ")[2] for question in prompter.asked] == ["Verification code:"]


@pytest.mark.parametrize("port", [2201, 2202])
def test_a_changed_key_of_any_host_is_refused_loudly(
    cluster: Cluster, settings: Callable[..., SshSettings], way: Way, key_for_all: Path, tmp_path: Path, port: int
) -> None:
    lines = (cluster.folder / "known_hosts").read_text().splitlines()
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text().split()[:2]
    known = tmp_path / "known_hosts"
    changed = [" ".join([line.split()[0], *other]) if f":{port} " in line else line for line in lines]
    known.write_text("\n".join(changed) + "\n")
    message = refused(way(inner(settings, cluster, config_file=str(key_for_all), known_hosts=str(known))), HostKeyError)
    assert "THE HOST KEY HAS CHANGED" in message
    assert "ssh-keygen -f" in message
    assert known.read_text() == "\n".join(changed) + "\n"


# Less than a shell


def test_an_account_with_a_list_of_commands_says_what_was_refused_and_why(
    settings: Callable[..., SshSettings], way: Way
) -> None:
    message = refused(way(settings(user="restricted")), TransportError)
    assert "Command rejected by allowed-commands: exec /bin/sh -c" in message
    assert "may run only some commands" in message
    assert "the site would have to allow" in message


def test_a_gate_that_runs_nothing_is_quoted(cluster: Cluster, settings: Callable[..., SshSettings], way: Way) -> None:
    message = refused(way(settings(user="alice", port=2201)), TransportError)
    assert "This is a gate: go on to the farm with ssh -J" in message


def test_an_account_without_sftp_is_like_any_other(settings: Callable[..., SshSettings], way: Way) -> None:
    data = os.urandom(3_000_000)
    with way(settings(user="nosftp")) as transport:
        assert transport.run(Program("cat", "cat"), stdin=data).stdout == data


def test_an_account_whose_home_is_full_runs_programs(settings: Callable[..., SshSettings], way: Way) -> None:
    says_hello(way(settings(user="full")))
