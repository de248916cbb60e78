"""The site file decides which transport reaches the site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scheduler.engine.connect import no_prompter, transport_to
from scheduler.site.site import Site
from scheduler.transports.base import Program
from scheduler.transports.local.transport import LocalTransport
from scheduler.transports.openssh.transport import OpensshTransport
from scheduler.transports.ssh.transport import SshTransport

RECORD = """\
#!/bin/sh
printf '%s\\n' "$@" >>"$RECORD"
while [ "$1" != -F ]; do shift; done
[ -e "$RECORD.config" ] || cp "$2" "$RECORD.config"
exit 255
"""


def site(transport: str, **keys: Any) -> Site:
    values = {"transport": transport, "scheduler": "shell", "work_dir": "/w", "host": "farm"}
    return Site.from_mapping(values | keys, name="test")


@pytest.mark.parametrize(
    ("name", "kind"), [("local", LocalTransport), ("ssh", SshTransport), ("openssh", OpensshTransport)]
)
def test_the_transport_is_the_one_named_in_the_site_file(name: str, kind: type) -> None:
    assert type(transport_to(site(name))) is kind


@pytest.mark.parametrize("name", ["ssh", "openssh"])
def test_ssh_transports_need_a_host(name: str) -> None:
    with pytest.raises(Exception, match=f"host: is missing; with transport: {name}"):
        site(name, host=None)


def test_the_ssh_settings_of_a_site_are_passed_to_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ssh").write_text(RECORD)
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    ssh = {
        "user": "anna",
        "port": 2222,
        "identity_file": "/k/id",
        "proxy_jump": "gate,b@second:7",
        "known_hosts": "/k/n",
    }
    with (
        transport_to(site("openssh", ssh=ssh), prompter=no_prompter()) as transport,
        pytest.raises(Exception, match=r"not reached\. ssh failed without output"),
    ):
        transport.run(Program("secret", "echo secret"), ["a secret"])
    arguments = (tmp_path / "record").read_text()
    assert "-l\nanna\n-p\n2222\n-i\n/k/id\n-J\ngate,b@second:7\n--\nfarm\n" in arguments
    assert "secret" not in arguments
    config = (tmp_path / "record.config").read_text()
    for line in ("BatchMode yes", "StrictHostKeyChecking yes", 'UserKnownHostsFile "/k/n"', "Include ~/.ssh/config"):
        assert f"{line}\n" in config


def test_new_host_keys_are_accepted_only_if_the_site_allows_it(tmp_path: Path) -> None:
    from scheduler.transports.openssh.options import config_text
    from scheduler.transports.settings import SshSettings

    assert "StrictHostKeyChecking yes\n" in config_text(SshSettings("farm"), batch=False)
    accepting = SshSettings("farm", accept_new_host_key=True)
    assert "StrictHostKeyChecking accept-new\n" in config_text(accepting, batch=True)
