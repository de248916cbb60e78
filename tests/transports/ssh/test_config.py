"""Hosts are reached as the user's ~/.ssh/config specifies."""

from __future__ import annotations

import getpass
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scheduler.errors import ConfigError
from scheduler.transports.settings import Hop, SshSettings
from scheduler.transports.ssh.config import route

Routes = Callable[..., tuple[Hop, ...]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    return tmp_path


@pytest.fixture
def routes(home: Path) -> Routes:
    """A function: the text of a config file, a host and settings → the chain of hosts."""

    def to(text: str, host: str = "ifarm", **settings: object) -> tuple[Hop, ...]:
        (home / ".ssh" / "config").write_text(text)
        return route(SshSettings(host, **settings))  # type: ignore[arg-type]

    return to


def test_a_host_without_an_entry_gets_the_defaults(home: Path) -> None:
    (hop,) = route(SshSettings("login.site.gov"))
    assert (hop.alias, hop.hostname, hop.port, hop.user) == ("login.site.gov", "login.site.gov", 22, getpass.getuser())
    assert hop.where == f"{getpass.getuser()}@login.site.gov:22"
    assert hop.known_as == ("login.site.gov",)
    assert hop.known_hosts[0] == home / ".ssh" / "known_hosts"
    assert (hop.identity_files, hop.identities_only, hop.agent) == ((), False, None)
    assert (hop.connect_seconds, hop.keepalive_seconds, hop.proxy_command) == (30.0, 30, None)


def test_the_options_of_an_entry_apply(routes: Routes, home: Path) -> None:
    (hop,) = routes(
        "Host ifarm\n HostName ifarm1801.jlab.org\n User eic\n Port 2222\n IdentityFile ~/.ssh/one\n"
        " IdentityFile ~/.ssh/two\n IdentitiesOnly yes\n HostKeyAlias ifarm\n ConnectTimeout 7\n"
        " ServerAliveInterval 11\n UserKnownHostsFile ~/a /b\n GlobalKnownHostsFile none\n IdentityAgent none\n"
    )
    assert hop.where == "ifarm (eic@ifarm1801.jlab.org:2222)"
    assert hop.identity_files == (home / ".ssh/one", home / ".ssh/two")
    assert (hop.identities_only, hop.identity_files_given, hop.agent) == (True, True, "")
    assert hop.known_as == ("ifarm",)
    assert hop.known_hosts == (home / "a", Path("/b"))
    assert (hop.connect_seconds, hop.keepalive_seconds) == (7.0, 11)


def test_a_match_block_applies_where_it_matches(routes: Routes) -> None:
    text = (
        "Match originalhost ifarm user root,eic\n Port 7\nMatch host *.jlab.org\n Port 8\n"
        "Match !host ifarm\n Port 9\nMatch all\n Port 10\n"
    )
    (hop,) = routes(text, user="eic")
    assert (hop.port, hop.user) == (7, "eic")
    (hop,) = routes(text, user="other")
    assert hop.port == 10
    (hop,) = routes(text, "x.jlab.org", user="other")
    assert hop.port == 8
    (hop,) = routes(text, "elsewhere", user="other")
    assert hop.port == 9


def test_match_exec_runs_its_command(home: Path) -> None:
    """In a process of its own, because the package invoke leaves its pipes open."""
    (home / ".ssh" / "config").write_text('Match exec "test %h = ifarm"\n User eic\nMatch exec "false"\n Port 7\n')
    program = (
        "from scheduler.transports.ssh.config import route, SshSettings; print(route(SshSettings('ifarm'))[0].where)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "eic@ifarm:22\n"


@pytest.mark.parametrize("criterion", ["localnetwork 10.0.0.0/8", "tagged farm", "host ifarm version OpenSSH_9*"])
def test_an_unsupported_match_criterion_is_an_error_and_does_not_count_as_matched(
    routes: Routes, criterion: str
) -> None:
    with pytest.raises(ConfigError, match=r"Paramiko does not support '.*`transport: openssh` supports every"):
        routes(f"Match {criterion}\n User somebody\n")


def test_tokens_in_certificate_file_and_user_known_hosts_file_are_expanded(routes: Routes, home: Path) -> None:
    (hop,) = routes(
        "Host ifarm\n HostName ifarm.jlab.org\n User eic\n CertificateFile ~/.ssh/%r@%h%%-cert.pub\n"
        " UserKnownHostsFile ~/.ssh/known_hosts.d/%k %d/more\n"
    )
    assert hop.certificate_files == (home / ".ssh/eic@ifarm.jlab.org%-cert.pub",)
    assert hop.known_hosts[:2] == (home / ".ssh/known_hosts.d/ifarm", home / "more")


def test_variables_and_tokens_in_identity_files_and_agents_are_expanded(
    routes: Routes, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYS", "/keys of me")
    (hop,) = routes(
        "Host ifarm\n HostName ifarm.jlab.org\n User eic\n IdentityFile ${KEYS}/%r@%h\n IdentityFile %d/.ssh/%n-%p\n"
        " IdentityAgent ${KEYS}/%u.sock\n UserKnownHostsFile ~/${KEYS}/known\n"
    )
    assert hop.identity_files == (Path("/keys of me/eic@ifarm.jlab.org"), home / ".ssh/ifarm-22")
    assert hop.agent == f"/keys of me/{getpass.getuser()}.sock"
    with pytest.raises(ConfigError, match=r"\$\{NO_SUCH_ONE\}.*NO_SUCH_ONE is not set"):
        routes("Host ifarm\n IdentityFile ${NO_SUCH_ONE}/key\n")


@pytest.mark.parametrize("name", ["/dev/null", "none", "/dev/null none"])
def test_a_known_hosts_file_that_keeps_nothing_is_no_file(routes: Routes, name: str) -> None:
    (hop,) = routes(f"Host ifarm\n UserKnownHostsFile {name}\n GlobalKnownHostsFile /dev/null\n")
    assert (hop.known_hosts, hop.new_keys_go_to) == ((), None)


def test_new_keys_never_go_to_the_global_known_hosts_files(routes: Routes, home: Path) -> None:
    (hop,) = routes("")
    assert hop.new_keys_go_to == home / ".ssh" / "known_hosts"
    (hop,) = routes("UserKnownHostsFile none\n", accept_new_host_key=True)
    assert hop.known_hosts[0] == Path("/etc/ssh/ssh_known_hosts")
    assert hop.new_keys_go_to is None


def test_the_site_file_overrides_the_entry(routes: Routes, home: Path) -> None:
    (hop,) = routes(
        "Host *\n User other\n Port 1\n IdentityFile ~/.ssh/other\n ProxyJump gate\n",
        user="me",
        port=2,
        identity_file="~/.ssh/mine",
        proxy_jump="none",
        known_hosts="~/known",
    )
    assert (hop.user, hop.port) == ("me", 2)
    assert hop.identity_files == (home / ".ssh/mine", home / ".ssh/other")
    assert hop.known_hosts == (home / "known",)


def test_a_port_other_than_22_is_part_of_the_known_hosts_name(routes: Routes) -> None:
    (hop,) = routes("Host ifarm\n HostName IFARM.jlab.org\n", port=2222)
    assert hop.known_as == ("[ifarm.jlab.org]:2222", "ifarm.jlab.org")


def test_default_identity_files_are_found(routes: Routes, home: Path) -> None:
    (home / ".ssh" / "id_rsa").touch()
    (home / ".ssh" / "id_ed25519").touch()
    (hop,) = routes("")
    assert hop.identity_files == (home / ".ssh/id_ed25519", home / ".ssh/id_rsa")
    assert not hop.identity_files_given


def test_each_jump_host_has_its_own_entry(routes: Routes) -> None:
    gate, middle, ifarm = routes(
        "Host ifarm\n ProxyJump someone@middle:2200\n User eic\n"
        "Host middle\n HostName middle.jlab.org\n Port 1\n User nobody\n ProxyJump gate\n"
        "Host gate\n HostName scilogin.jlab.org\n User me\n"
    )
    assert gate.where == "gate (me@scilogin.jlab.org:22)"
    assert middle.where == "middle (someone@middle.jlab.org:2200)"
    assert ifarm.where == "eic@ifarm:22"


def test_several_jump_hosts_are_used_in_order(routes: Routes) -> None:
    chain = routes("Host b\n ProxyJump elsewhere\n User bee\n", proxy_jump="ssh://x@a:2201,b,[::1]:2202")
    assert [hop.where.split()[-1] for hop in chain] == [
        "x@a:2201", "bee@b:22", f"{getpass.getuser()}@::1:2202", f"{getpass.getuser()}@ifarm:22"
    ]  # fmt: skip


def test_login_settings_of_the_site_do_not_apply_to_a_jump_host(routes: Routes) -> None:
    gate, ifarm = routes("", proxy_jump="gate", user="eic", port=2222, identity_file="/key", accept_new_host_key=True)
    assert (gate.user, gate.port, gate.identity_files) == (getpass.getuser(), 22, ())
    assert (ifarm.user, ifarm.port, ifarm.identity_files) == ("eic", 2222, (Path("/key"),))
    assert gate.accept_new_host_key


def test_a_cycle_of_jump_hosts_is_refused(routes: Routes) -> None:
    with pytest.raises(ConfigError, match=r"cycle.*ProxyJump none"):
        routes("Host *\n ProxyJump gate\n")
    with pytest.raises(ConfigError, match="cycle"):
        routes("Host ifarm\n ProxyJump gate\nHost gate\n ProxyJump ifarm\n")


def test_proxy_jump_none_exempts_the_jump_host_from_host_star(routes: Routes) -> None:
    chain = routes("Host gate\n ProxyJump none\nHost *\n ProxyJump gate\n")
    assert [hop.alias for hop in chain] == ["gate", "ifarm"]


def test_the_tokens_of_a_proxy_command_are_the_effective_host_port_and_user(routes: Routes) -> None:
    (hop,) = routes("Host ifarm\n HostName real\n Port 1\n ProxyCommand nc -X 5 %h %p %r\n", port=2222, user="me")
    assert hop.proxy_command == "nc -X 5 real 2222 me"


def test_of_proxy_command_and_proxy_jump_the_first_one_applies(routes: Routes) -> None:
    (hop,) = routes("Host ifarm\n ProxyCommand nc %h %p\nHost *\n ProxyJump gate\n")
    assert hop.proxy_command == "nc ifarm 22"
    gate, hop = routes("Host ifarm\n ProxyJump gate\nHost *\n ProxyCommand nc %h %p\n")
    assert (gate.proxy_command, hop.proxy_command) == ("nc gate 22", None)
    (hop,) = routes("Host ifarm\n ProxyCommand none\nHost *\n ProxyJump gate\n")
    assert hop.proxy_command is None


def test_included_files_are_read(routes: Routes, home: Path) -> None:
    folder = home / ".ssh" / "config.d"
    folder.mkdir()
    (folder / "1 jlab").write_text("Host ifarm\n User one\n")
    (folder / "2 all").write_text("Host *\n Port 2201\n")
    (home / "more").write_text("Compression yes\n")
    (hop,) = routes(
        "Include config.d/* ~/more\nIdentitiesOnly yes\n"
        "Host other\n Include nowhere/*\n User nobody\nHost *\n User two\n"
    )
    assert (hop.user, hop.port, hop.identities_only) == ("one", 2201, True)


def test_an_include_in_a_block_applies_to_that_block_only(routes: Routes, home: Path) -> None:
    (home / ".ssh" / "more").write_text("User other\nHost unrelated\n Port 1\n")
    (hop,) = routes("Host other\n Include more\n Port 2\nHost ifarm\n Port 3\n")
    assert (hop.user, hop.port) == (getpass.getuser(), 3)


def test_files_that_include_each_other_are_refused(routes: Routes) -> None:
    with pytest.raises(ConfigError, match="too many nested Includes"):
        routes("Include config\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Host ifarm\n Port many\n", "ifarm.*many"),
        ("Host ifarm\n nonsense\n", "nonsense"),
        ("Host 'ifarm\n", "config"),
        ("Host ifarm\n HostName -oProxyCommand=x\n", "HostName"),
        ("Host ifarm\n ProxyJump a;b\n", "jump host"),
        ("Host ifarm\n ConnectTimeout soon\n", "soon"),
    ],
)
def test_an_invalid_config_is_named_in_the_error(routes: Routes, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        routes(text)


def test_an_explicit_config_file_must_exist(home: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        route(SshSettings("ifarm", config_file="~/nowhere"))


@pytest.mark.parametrize(
    "settings",
    [
        {"host": ""},
        {"host": "-oProxyCommand=id"},
        {"host": "a b"},
        {"host": "$(id)"},
        {"host": "a;b"},
        {"host": "ifarm", "user": "`id`"},
        {"host": "ifarm", "user": "a\nProxyCommand x"},
        {"host": "ifarm", "user": "-x"},
        {"host": "ifarm", "port": 0},
        {"host": "ifarm", "port": 65536},
        {"host": "ifarm", "connect_timeout": 0},
        {"host": "ifarm", "identity_file": "a\nProxyCommand x"},
        {"host": "ifarm", "proxy_jump": "a\nProxyCommand x"},
    ],
)
def test_values_that_could_become_a_command_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        SshSettings(**settings)  # type: ignore[arg-type]
