"""known_hosts files are read as OpenSSH reads them."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from scheduler.errors import HostKeyError
from scheduler.transports.ssh.known_hosts import HostIdentity, HostKey, identify
from tests.transports import sshd

NAMES = ("[cluster.site.gov]:2222", "cluster.site.gov")


def key(word: str = "one", kind: str = "ssh-ed25519") -> HostKey:
    return HostKey(kind, word.encode())


def line(hosts: str, host_key: HostKey, marker: str = "") -> str:
    return f"{marker} {hosts} {host_key.kind} {base64.b64encode(host_key.blob).decode()} a comment\n".lstrip()


@pytest.fixture
def known_hosts(tmp_path: Path) -> Path:
    return tmp_path / "known hosts"


def identity(path: Path, *names: str) -> HostIdentity:
    return identify("cluster", names or NAMES[1:], [path])


@pytest.mark.parametrize(
    "hosts",
    [
        "cluster.site.gov",
        "other,cluster.site.gov,10.0.0.1",
        "*.site.gov",
        "cl?ster.*",
        "CLUSTER.site.gov",
        "*,!other",
    ],
)
def test_a_line_that_matches_the_host_verifies_its_key(known_hosts: Path, hosts: str) -> None:
    known_hosts.write_text("# a comment\n\n" + line(hosts, key()))
    assert identity(known_hosts).knows(key())


@pytest.mark.parametrize(
    "hosts",
    ["cluster", "cluster.site.gov.evil.org", "clusterXsite.gov", "*,!cluster.site.gov", "[cluster.site.gov]:22"],
)
def test_a_line_for_another_host_does_not_verify_the_key(known_hosts: Path, hosts: str) -> None:
    known_hosts.write_text(line(hosts, key()))
    assert not identity(known_hosts).knows(key())


@pytest.mark.skipif(bool(sshd.why_not()), reason=sshd.why_not())
def test_host_names_hashed_by_ssh_keygen_match(known_hosts: Path, tmp_path: Path) -> None:
    public = sshd.make_key(tmp_path / "key").with_suffix(".pub").read_text().split()
    host_key = HostKey(public[0], base64.b64decode(public[1]))
    known_hosts.write_text(line("cluster.site.gov", host_key) + line(NAMES[0], host_key))
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known_hosts)], check=True, capture_output=True)
    assert "site.gov" not in known_hosts.read_text()
    assert identity(known_hosts).knows(host_key)
    assert identity(known_hosts, NAMES[0]).knows(host_key)
    assert not identity(known_hosts, "else.site.gov").knows(host_key)


@pytest.mark.skipif(bool(sshd.why_not()), reason=sshd.why_not())
def test_fingerprints_are_those_that_openssh_prints(tmp_path: Path) -> None:
    for kind, name in (("ed25519", "ED25519"), ("ecdsa", "ECDSA"), ("rsa", "RSA")):
        path = sshd.make_key(tmp_path / kind, kind).with_suffix(".pub")
        words = path.read_text().split()
        printed = subprocess.run(["ssh-keygen", "-lf", str(path)], capture_output=True, text=True).stdout.split()
        assert str(HostKey(words[0], base64.b64decode(words[1]))) == f"{name} key {printed[1]}"


def test_each_of_several_keys_of_one_type_is_accepted(known_hosts: Path) -> None:
    """Login nodes that share one name have a key each."""
    known_hosts.write_text("".join(line("cluster.site.gov", key(word)) for word in ("one", "two", "three")))
    assert all(identity(known_hosts).knows(key(word)) for word in ("one", "two", "three"))
    with pytest.raises(HostKeyError):
        identity(known_hosts).knows(key("four"))


def test_the_message_for_a_changed_key_has_both_fingerprints_and_the_ssh_keygen_command(known_hosts: Path) -> None:
    known_hosts.write_text(line(NAMES[0], key("old")))
    with pytest.raises(HostKeyError) as caught:
        identity(known_hosts, *NAMES).knows(key("new"))
    message = str(caught.value)
    assert "HAS CHANGED" in message
    assert key("new").fingerprint in message
    assert key("old").fingerprint in message
    assert f"`ssh-keygen -f '{known_hosts}' -R '[cluster.site.gov]:2222'`" in message


def test_a_key_of_another_type_counts_as_changed(known_hosts: Path) -> None:
    known_hosts.write_text(line("cluster.site.gov", key(kind="ssh-ed25519")))
    with pytest.raises(HostKeyError, match="HAS CHANGED"):
        identity(known_hosts).knows(key("one", "ssh-rsa"))


def test_a_revoked_key_is_refused_even_if_another_line_has_it(known_hosts: Path) -> None:
    known_hosts.write_text(line("cluster.site.gov", key()) + line("*", key(), "@revoked"))
    with pytest.raises(HostKeyError, match="revoked"):
        identity(known_hosts).knows(key())


def test_a_cert_authority_line_does_not_verify_a_plain_key(known_hosts: Path) -> None:
    known_hosts.write_text(line("*.site.gov", key(), "@cert-authority"))
    host = identity(known_hosts)
    assert not host.knows(key())
    assert "certificate authority" in host.unknown_host(key(), ssh_command="`ssh cluster`")


def test_a_key_for_port_22_verifies_another_port_but_a_different_key_there_is_not_a_changed_one(
    known_hosts: Path,
) -> None:
    known_hosts.write_text(line("cluster.site.gov", key("port 22")))
    host = identity(known_hosts, *NAMES)
    assert host.knows(key("port 22"))
    assert not host.knows(key("port 2222"))


def test_the_key_types_of_a_known_host_are_listed_once_each(known_hosts: Path) -> None:
    keys = [key("a", "ssh-rsa"), key("b", "ssh-ed25519"), key("c", "ssh-rsa")]
    known_hosts.write_text("".join(line("cluster.site.gov", each) for each in keys))
    assert identity(known_hosts).kinds == ("ssh-rsa", "ssh-ed25519")


def test_the_message_for_an_unknown_host_has_its_fingerprint_and_what_to_do(known_hosts: Path) -> None:
    message = identity(known_hosts).unknown_host(key(), ssh_command="`ssh cluster`")
    for part in ("cluster:", "ED25519", key().fingerprint, "`ssh cluster`", "accept_new_host_key: true"):
        assert part in message


def test_a_new_known_hosts_file_has_mode_600(tmp_path: Path) -> None:
    path = tmp_path / "new" / "known_hosts"
    identity(path, *NAMES).remember(key(), path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.read_text() == f"{NAMES[0]} ssh-ed25519 {base64.b64encode(b'one').decode()}\n"
    assert identity(path, *NAMES).knows(key())


def test_a_new_key_is_added_correctly_after_a_last_line_without_newline(known_hosts: Path) -> None:
    known_hosts.write_text(line("else", key("else")).rstrip("\n"))
    identity(known_hosts).remember(key(), known_hosts)
    assert identity(known_hosts).knows(key())
    assert identity(known_hosts, "else").knows(key("else"))


def test_a_changed_key_is_never_added(known_hosts: Path) -> None:
    known_hosts.write_text(line("cluster.site.gov", key("old")))
    with pytest.raises(HostKeyError, match="HAS CHANGED"):
        identity(known_hosts).remember(key("new"), known_hosts)
    assert "bmV3" not in known_hosts.read_text()


@pytest.mark.parametrize(
    "broken", ["cluster.site.gov ssh-rsa", "cluster.site.gov ssh-rsa !!!!", "|1|x|y ssh-rsa b25l", "@revoked"]
)
def test_a_malformed_line_is_ignored(known_hosts: Path, broken: str) -> None:
    known_hosts.write_text(broken + "\n" + line("cluster.site.gov", key()))
    assert identity(known_hosts).knows(key())


def test_an_unreadable_file_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(HostKeyError, match="cannot be read"):
        identity(tmp_path)
