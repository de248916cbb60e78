"""Every kind of transport that can be tested on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest

from scheduler.transports.base import Transport
from scheduler.transports.local.transport import LocalTransport
from scheduler.transports.openssh.transport import OpensshTransport
from scheduler.transports.ssh.transport import SshSettings, SshTransport

from . import sshd

_LOGIN_SHELLS = ("bash", "dash", "tcsh", "fish")
_KINDS = (
    "local",
    *("ssh", *(f"ssh to {shell}" for shell in _LOGIN_SHELLS), "ssh through a jump host"),
    "openssh",
)


@pytest.fixture(autouse=True)
def _no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture(scope="session")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., sshd.Sshd]]:
    """A function with the arguments of `sshd.start`; the servers are stopped at the end."""
    if reason := sshd.why_not():
        pytest.skip(reason)
    servers: list[sshd.Sshd] = []

    def start(*, shell: str = "", ports: int = 1, first: str = "", extra: str = "") -> sshd.Sshd:
        folder = tmp_path_factory.mktemp("sshd")
        servers.append(sshd.start(folder, shell=shell, ports=ports, first=first, extra=extra))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def server(start_server: Callable[..., sshd.Sshd]) -> sshd.Sshd:
    """A server with the default settings, on three ports."""
    return start_server(ports=3)


@pytest.fixture(scope="session")
def transport_by(start_server: Callable[..., sshd.Sshd]) -> Callable[[str], Transport]:
    """A function: the name of a kind → a transport of it."""
    servers: dict[str, sshd.Sshd] = {}

    def make(kind: str) -> Transport:
        if kind == "local":
            return LocalTransport()
        if kind not in servers:
            servers[kind] = _server_for(kind, start_server)
        if kind == "ssh through a jump host":
            return SshTransport(_through_itself(servers[kind]))
        return OpensshTransport(servers[kind].settings) if kind == "openssh" else SshTransport(servers[kind].settings)

    return make


@pytest.fixture(params=_KINDS)
def transport(request: pytest.FixtureRequest, transport_by: Callable[[str], Transport]) -> Iterator[Transport]:
    """A transport of each kind in turn."""
    with transport_by(request.param) as opened:
        yield opened


@pytest.fixture(params=("local", "ssh", "openssh"))
def plain_transport(request: pytest.FixtureRequest, transport_by: Callable[[str], Transport]) -> Iterator[Transport]:
    """A transport of each of the three kinds that differ in more than the login shell."""
    with transport_by(request.param) as opened:
        yield opened


def _server_for(kind: str, start_server: Callable[..., sshd.Sshd]) -> sshd.Sshd:
    if kind == "ssh through a jump host":
        return start_server(ports=2)
    shell = kind.partition(" to ")[2]
    path = shutil.which(shell) if shell else ""
    if path is None:
        pytest.skip(f"{shell} is not installed")
    return start_server(shell=path)


def _through_itself(server: sshd.Sshd) -> SshSettings:
    first, second = server.ports
    common = f"HostName 127.0.0.1\n IdentityFile {server.identity}\n"
    config = f"Host gate\n Port {first}\n {common}\nHost inside\n Port {second}\n ProxyJump gate\n {common}\n"
    return server.through(config, host="inside")
