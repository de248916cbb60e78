"""A minimal program, and checks that it runs or that the connection fails."""

from __future__ import annotations

import pytest

from scheduler.errors import TransportError
from scheduler.transports.base import Program
from scheduler.transports.ssh.transport import SshSettings, SshTransport

HELLO = Program("hello", "echo hello")


def says_hello(settings: SshSettings) -> None:
    """Assert that the host runs programs."""
    with SshTransport(settings) as transport:
        assert transport.run(HELLO).out == "hello\n"


def refused(settings: SshSettings, kind: type[TransportError] = TransportError) -> str:
    """Assert that connecting fails; return the message."""
    with SshTransport(settings) as transport, pytest.raises(kind) as caught:
        transport.run(HELLO)
    return str(caught.value)
