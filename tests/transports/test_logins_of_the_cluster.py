"""Accounts of the test cluster that require more than a key or have no shell, over both SSH transports."""

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
PROMPTS = {"twofactor": ["Verification code:"], "password": ["Password:", "Verification code:"]}
AT_TERMINAL = """
import sys
from scheduler.transports.{module}.transport import {name}, SshSettings
from scheduler.transports.base import Program
with {name}(SshSettings(*sys.argv[1:3], known_hosts=sys.argv[3], identity_file=sys.argv[4])) as transport:
    for number in range(3):
        print("printed", transport.run(Program("hello", "echo $USER")).out)
"""

LOST_CONNECTION = """
import sys
from scheduler.errors import LoginError
from scheduler.transports.openssh.transport import OpensshTransport, SshSettings
from scheduler.transports.base import Program
port, known, key = sys.argv[1:]
settings = SshSettings("127.0.0.1", "twofactor", port=int(port), known_hosts=known, identity_file=key)
with OpensshTransport(settings) as transport:
    print("printed", transport.run(Program("hello", "echo hello")).out)
    sys.stdin.readline()
    try:
        transport.run(Program("hello", "echo hello"))
    except LoginError as error:
        print(error)
"""

Kind = Callable[..., Transport]


@pytest.fixture(params=["ssh", "openssh"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """The class of each SSH transport."""
    return SshTransport if request.param == "ssh" else OpensshTransport


@pytest.fixture
def settings(cluster: Cluster) -> Callable[..., SshSettings]:
    """A function: a user → settings with the cluster's key."""
    return partial(
        SshSettings,
        cluster.host,
        known_hosts=str(cluster.folder / "known_hosts"),
        identity_file=str(cluster.folder / "id_ed25519"),
    )


@pytest.fixture
def certified(cluster: Cluster, tmp_path: Path) -> Callable[[str], Path]:
    """A function that makes a key with a certificate of the cluster's authority."""

    def make(valid: str) -> Path:
        key = make_key(tmp_path / "nersc")
        command = ["ssh-keygen", "-q", "-s", str(cluster.folder / "authority"), "-I", "anna", "-n", "cert", "-V", valid]
        subprocess.run([*command, f"{key}.pub"], check=True, capture_output=True)
        return key

    return make


def says_hello(transport: Transport) -> None:
    with transport:
        assert transport.run(HELLO).out == "hello\n"


def refused(transport: Transport, error: type[TransportError]) -> str:
    with transport, pytest.raises(error) as caught:
        transport.run(HELLO)
    return str(caught.value)


# One-time codes


@pytest.mark.parametrize("user", PROMPTS)
def test_many_programs_need_one_prompt_for_a_one_time_code(settings: Callable[..., SshSettings], user: str) -> None:
    prompter = PreparedPrompter(ANSWERS)
    with SshTransport(settings(user=user), prompter=prompter) as transport:
        for _ in range(3):
            assert transport.run(Program("who", "id -un")).out == f"{user}\n"
    assert [prompt.partition(": ")[2] for prompt in prompter.asked] == PROMPTS[user]
    assert all(prompt.startswith(f"{user}@") for prompt in prompter.asked)


@pytest.mark.parametrize("name", ["SshTransport", "OpensshTransport"])
def test_the_prompt_is_at_the_terminal_once(settings: Callable[..., SshSettings], name: str) -> None:
    account = settings(user="password")
    module = "ssh" if name == "SshTransport" else "openssh"
    program = AT_TERMINAL.format(module=module, name=name)
    arguments = [account.host, str(account.user), str(account.known_hosts), str(account.identity_file)]
    with Terminal([sys.executable, "-c", program, *arguments]) as terminal:
        terminal.shows("Password:")
        terminal.types(PASSWORD)
        terminal.shows("Verification code:")
        one_time_code = code()
        terminal.types(one_time_code)
        assert terminal.ends() == 0, terminal.screen
    assert terminal.screen.count("printed password") == 3
    assert terminal.screen.count("Verification code:") == 1
    assert PASSWORD not in terminal.screen
    assert one_time_code not in terminal.screen


def test_a_wrong_code_is_refused_after_one_prompt(settings: Callable[..., SshSettings]) -> None:
    prompter = PreparedPrompter({**ANSWERS, "Verification code:": "000000"})
    message = refused(SshTransport(settings(user="twofactor"), prompter=prompter), LoginError)
    assert "was accepted, but the host requires another authentication method too" in message
    assert "your answers: refused" in message
    assert "000000" not in message
    assert len(prompter.asked) == 1


@pytest.mark.parametrize("user", PROMPTS)
def test_without_a_prompt_the_login_fails_at_once_with_what_is_needed(
    settings: Callable[..., SshSettings], kind: Kind, user: str
) -> None:
    started = time.monotonic()
    message = refused(kind(settings(user=user), prompter=NoPrompter("prompts are off")), LoginError)
    assert time.monotonic() - started < 60
    assert "prompts are off" in message
    assert "keyboard-interactive" in message
    assert "one-time code" in message


@pytest.fixture
def relayed(
    cluster: Cluster, settings: Callable[..., SshSettings], tmp_path: Path
) -> Iterator[tuple[SshSettings, Relay]]:
    """The account with a key and a code, over a connection that can be cut."""
    key = (cluster.folder / "known_hosts").read_text().splitlines()[0].partition(" ")[2]
    known = tmp_path / "known_hosts"
    with Relay(22, host=cluster.host) as relay:
        known.write_text(f"[127.0.0.1]:{relay.port} {key}\n")
        account = settings(user="twofactor", port=relay.port)
        yield replace(account, host="127.0.0.1", known_hosts=str(known)), relay


def test_a_lost_connection_is_not_replaced_with_a_prompt(relayed: tuple[SshSettings, Relay]) -> None:
    """The user may have left, as during a `wait`. The next run after the error prompts again."""
    settings, relay = relayed
    prompter = PreparedPrompter(ANSWERS)
    with SshTransport(settings, prompter=prompter) as transport:
        assert transport.run(HELLO).out == "hello\n"
        relay.cut()
        with pytest.raises(LoginError, match="there is no prompt after a lost connection"):
            transport.run(HELLO)
        assert len(prompter.asked) == 1
        assert transport.run(HELLO).out == "hello\n"
    assert len(prompter.asked) == 2


def test_ssh_does_not_prompt_to_replace_a_lost_connection(relayed: tuple[SshSettings, Relay]) -> None:
    settings, relay = relayed
    arguments = [str(settings.port), str(settings.known_hosts), str(settings.identity_file)]
    with Terminal([sys.executable, "-c", LOST_CONNECTION, *arguments]) as terminal:
        terminal.shows("Verification code:")
        terminal.types(code())
        terminal.shows("printed hello")
        relay.cut()
        terminal.types("")
        terminal.shows("there is no prompt after a lost connection")
        assert terminal.ends() == 0
    assert terminal.screen.count("Verification code:") == 1


def test_a_control_master_that_the_user_opened_with_a_code_is_used(
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
        with OpensshTransport(shared, prompter=NoPrompter("prompts are off")) as transport:
            assert [transport.run(HELLO).out for _ in range(3)] == ["hello\n"] * 3
        assert terminal.process.poll() is None
    message = refused(OpensshTransport(shared, prompter=NoPrompter("prompts are off")), LoginError)
    assert "Permission denied (keyboard-interactive)" in message
    assert "ControlMaster" in message


# Certificates


def test_a_certificate_logs_in_where_a_key_does_not(
    settings: Callable[..., SshSettings], kind: Kind, certified: Callable[[str], Path]
) -> None:
    says_hello(kind(replace(settings(user="cert"), identity_file=str(certified("-1h:+1h")))))
    refused(kind(settings(user="cert")), LoginError)


def test_certificate_file_is_used(
    cluster: Cluster, kind: Kind, certified: Callable[[str], Path], tmp_path: Path
) -> None:
    key = certified("-1h:+1h")
    elsewhere = key.with_name("nersc-cert.pub").rename(tmp_path / "signed.pub")
    config = tmp_path / "config"
    config.write_text(
        f"Host farm\n HostName {cluster.host}\n User cert\n IdentityFile {key}\n CertificateFile {elsewhere}\n"
        f" UserKnownHostsFile {cluster.folder}/known_hosts\n"
    )
    says_hello(kind(SshSettings("farm", config_file=str(config))))


def test_the_message_for_an_expired_certificate_explains_how_to_renew_it(
    settings: Callable[..., SshSettings], kind: Kind, certified: Callable[[str], Path]
) -> None:
    key = certified("20200101Z:20200102120000Z")
    message = refused(kind(replace(settings(user="cert"), identity_file=str(key))), LoginError)
    assert "which expired on 2020-01-02 12:00 UTC" in message
    assert "Get a new certificate (`sshproxy.sh` at NERSC)" in message


# Jump hosts


def inner(settings: Callable[..., SshSettings], cluster: Cluster, **more: object) -> SshSettings:
    reached: SshSettings = settings(user="alice", port=2202)
    return replace(reached, host="127.0.0.1", **{"proxy_jump": f"alice@{cluster.host}:2201", **more})  # type: ignore[arg-type]


@pytest.fixture
def key_for_all(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config file with the cluster's key for every host of a chain."""
    config = tmp_path / "config"
    config.write_text(f"Host *\n IdentityFile {cluster.folder}/id_ed25519\n IdentitiesOnly yes\n")
    return config


def test_a_host_behind_a_jump_host_is_reached(
    cluster: Cluster, settings: Callable[..., SshSettings], kind: Kind, key_for_all: Path
) -> None:
    with kind(inner(settings, cluster, config_file=str(key_for_all))) as transport:
        assert transport.run(Program("port", "echo ${SSH_CONNECTION##* }")).out == "2202\n"


def test_there_is_one_prompt_for_the_code_of_a_jump_host(
    cluster: Cluster, settings: Callable[..., SshSettings], key_for_all: Path
) -> None:
    prompter = PreparedPrompter(ANSWERS)
    reached = inner(settings, cluster, proxy_jump=f"twofactor@{cluster.host}", config_file=str(key_for_all))
    with SshTransport(reached, prompter=prompter) as transport:
        for _ in range(3):
            assert transport.run(Program("who", "id -un")).out == "alice\n"
    assert [prompt.partition(": ")[2] for prompt in prompter.asked] == ["Verification code:"]


@pytest.mark.parametrize("port", [2201, 2202])
def test_a_changed_key_of_any_host_of_a_chain_is_refused(
    cluster: Cluster, settings: Callable[..., SshSettings], kind: Kind, key_for_all: Path, tmp_path: Path, port: int
) -> None:
    lines = (cluster.folder / "known_hosts").read_text().splitlines()
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text().split()[:2]
    known = tmp_path / "known_hosts"
    changed = [" ".join([line.split()[0], *other]) if f":{port} " in line else line for line in lines]
    known.write_text("\n".join(changed) + "\n")
    message = refused(
        kind(inner(settings, cluster, config_file=str(key_for_all), known_hosts=str(known))), HostKeyError
    )
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in message
    assert "ssh-keygen -f" in message
    assert known.read_text() == "\n".join(changed) + "\n"


# Accounts without a shell, SFTP or disk space


def test_the_refusal_of_an_account_with_a_list_of_commands_is_quoted(
    settings: Callable[..., SshSettings], kind: Kind
) -> None:
    message = refused(kind(settings(user="restricted")), TransportError)
    assert "Command rejected by allowed-commands: exec /bin/sh -c" in message
    assert "may run only some commands" in message
    assert "unless the site allows" in message


def test_the_output_of_a_jump_host_without_a_shell_is_quoted(
    cluster: Cluster, settings: Callable[..., SshSettings], kind: Kind
) -> None:
    message = refused(kind(settings(user="alice", port=2201)), TransportError)
    assert "This is a gate: go on to the farm with ssh -J" in message


def test_an_account_without_sftp_runs_programs(settings: Callable[..., SshSettings], kind: Kind) -> None:
    data = os.urandom(3_000_000)
    with kind(settings(user="nosftp")) as transport:
        assert transport.run(Program("cat", "cat"), stdin=data).stdout == data


def test_an_account_with_a_full_home_directory_runs_programs(settings: Callable[..., SshSettings], kind: Kind) -> None:
    says_hello(kind(settings(user="full")))
