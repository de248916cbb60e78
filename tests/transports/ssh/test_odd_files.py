"""Pipes and devices among the files of SSH: refused at once; /dev/null stands for an empty file."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.errors import ConfigError, HostKeyError, LoginError
from scheduler.transports.ssh.transport import SshTransport
from tests.transports.hello import HELLO
from tests.transports.sshd import Sshd


@pytest.fixture(params=["pipe", "device", "directory"])
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "odd"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    return path


def test_an_odd_file_is_an_error_at_once(odd: Path, server: Sshd) -> None:
    good = server.settings
    wrong = {
        HostKeyError: replace(good, known_hosts=str(odd)), ConfigError: replace(good, config_file=str(odd)),
        LoginError: replace(good, identity_file=str(odd)),
    }  # fmt: skip
    for kind, settings in wrong.items():
        with SshTransport(settings) as transport, pytest.raises(kind, match="regular file"):
            transport.run(HELLO, timeout=600)


def test_the_null_device_is_an_empty_file(server: Sshd) -> None:
    settings = server.through(
        f"Host 127.0.0.1\n Port {server.port}\n IdentityFile {server.identity}\n"
        " GlobalKnownHostsFile /dev/null\n RevokedHostKeys /dev/null\n", host="127.0.0.1"
    )  # fmt: skip
    with SshTransport(replace(settings, user=server.settings.user)) as transport:
        assert transport.run(HELLO).exit_code == 0


def test_a_huge_key_or_a_pipe_beside_it_is_no_key(server: Sshd, tmp_path: Path) -> None:
    huge = tmp_path / "huge"
    huge.touch()
    os.truncate(huge, 5 << 30)
    os.mkfifo(tmp_path / "huge.pub")
    with (
        SshTransport(replace(server.settings, identity_file=str(huge))) as transport,
        pytest.raises(LoginError, match="not a private key"),
    ):
        transport.run(HELLO, timeout=600)
