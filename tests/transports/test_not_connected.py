"""A transport that cannot connect reads nothing of its standard input: that proves that nothing was sent."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from scheduler import TransportError
from scheduler.transports.base import Program
from scheduler.transports.openssh.transport import OpensshTransport
from scheduler.transports.ssh.transport import SshTransport

from .sshd import Sshd

CAT = Program("cat", "cat")


@pytest.mark.parametrize("kind", [SshTransport, OpensshTransport])
@pytest.mark.parametrize("why", ["login", "host key", "port"])
def test_a_transport_that_cannot_connect_reads_no_input(
    kind: type[SshTransport | OpensshTransport], why: str, server: Sshd
) -> None:
    read: list[int] = []

    def chunks() -> Iterator[bytes]:
        read.append(1)
        yield b"x"

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        wrong = {
            "login": {"user": "nosuchuser"},
            "host key": {"known_hosts": str(server.config)},
            "port": {"port": closed.getsockname()[1]},
        }[why]
        settings = replace(server.settings, **wrong)
        with kind(settings) as transport, pytest.raises(TransportError):
            transport.run(CAT, stdin=chunks())
    assert read == []
    with kind(server.settings) as transport:
        assert transport.run(CAT, stdin=chunks()).stdout == b"x"
    assert read == [1]
