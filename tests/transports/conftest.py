"""Every way to a machine that can be tried on this one."""

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
_WAYS = (
    "local",
    *("ssh", *(f"ssh to {shell}" for shell in _LOGIN_SHELLS), "ssh through a jump host"),
    "openssh",
)


@pytest.fixture(autouse=True)
def _no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture(scope="session")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., sshd.Sshd]]:
    """Starts a server with the arguments of `sshd.start`; all are stopped in the end."""
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
    """An ordinary server that answers on three ports."""
    return start_server(ports=3)


@pytest.fixture(scope="session")
def transport_by(start_server: Callable[..., sshd.Sshd]) -> Callable[[str], Transport]:
    """Makes a transport of the kind that is named."""
    servers: dict[str, sshd.Sshd] = {}

    def make(way: str) -> Transport:
        if way == "local":
            return LocalTransport()
        if way not in servers:
            servers[way] = _server_for(way, start_server)
        if way == "ssh through a jump host":
            return SshTransport(_through_itself(servers[way]))
        return OpensshTransport(servers[way].settings) if way == "openssh" else SshTransport(servers[way].settings)

    return make


@pytest.fixture(params=_WAYS)
def transport(request: pytest.FixtureRequest, transport_by: Callable[[str], Transport]) -> Iterator[Transport]:
    """A transport of each kind in turn."""
    with transport_by(request.param) as opened:
        yield opened


@pytest.fixture(params=("local", "ssh", "openssh"))
def plain_transport(request: pytest.FixtureRequest, transport_by: Callable[[str], Transport]) -> Iterator[Transport]:
    """A transport of the three kinds that differ in more than the login shell."""
    with transport_by(request.param) as opened:
        yield opened


def _server_for(way: str, start_server: Callable[..., sshd.Sshd]) -> sshd.Sshd:
    if way == "ssh through a jump host":
        return start_server(ports=2)
    shell = way.partition(" to ")[2]
    path = shutil.which(shell) if shell else ""
    if path is None:
        pytest.skip(f"{shell} is not installed")
    return start_server(shell=path)


def _through_itself(server: sshd.Sshd) -> SshSettings:
    first, second = server.ports
    common = f"HostName 127.0.0.1\n IdentityFile {server.identity}\n"
    config = f"Host gate\n Port {first}\n {common}\nHost inside\n Port {second}\n ProxyJump gate\n {common}\n"
    return server.through(config, host="inside")
