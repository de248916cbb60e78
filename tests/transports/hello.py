"""The smallest program, and the two ways that it can go."""

from __future__ import annotations

import pytest

from scheduler.errors import TransportError
from scheduler.transports.base import Program
from scheduler.transports.ssh.transport import SshSettings, SshTransport

HELLO = Program("hello", "echo hello")


def says_hello(settings: SshSettings) -> None:
    """The host is reached, and runs programs."""
    with SshTransport(settings) as transport:
        assert transport.run(HELLO).out == "hello\n"


def refused(settings: SshSettings, kind: type[TransportError] = TransportError) -> str:
    """The host is not reached; the words that say why."""
    with SshTransport(settings) as transport, pytest.raises(kind) as caught:
        transport.run(HELLO)
    return str(caught.value)
