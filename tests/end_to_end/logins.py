"""The kinds of login that the test cluster has, and a user's ~/.ssh/config for each."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from scheduler import Site
from scheduler.transports.base import Transport
from scheduler.transports.openssh.transport import OpensshTransport
from scheduler.transports.ssh.transport import SshSettings, SshTransport
from tests.prompters import PASSWORD, PreparedPrompter, Terminal, code
from tests.testcluster import Cluster

TRANSPORTS = ("ssh", "openssh")
LOGINS = ("behind a jump host", "twofactor", "password", "cert", "tess", "nosftp", "full", "posix")


def user_of(login: str) -> str:
    return "alice" if login == "behind a jump host" else login


def site_of(cluster: Cluster, transport: str, login: str) -> Site:
    keys: dict[str, Any] = {"transport": transport, "ssh": ssh_of(cluster, login)}
    if login == "full":
        keys["work_dir"] = f"/var/tmp/{transport} of full"
    if login == "posix":
        keys |= {"scheduler": "shell", "account": None, "work_dir": f"$HOME/{transport} {time.time_ns()}"}
    return cluster.site(f"{transport}-{login.replace(' ', '-')}", **keys)


def ssh_of(cluster: Cluster, login: str) -> dict[str, Any]:
    ports = {"behind a jump host": 2202, "posix": 2203}
    return {
        "user": user_of(login),
        "port": ports.get(login),
        "identity_file": str(cluster.folder / "id_ed25519"),
        "known_hosts": str(cluster.folder / "known_hosts"),
    }


@contextmanager
def transport_of(cluster: Cluster, name: str, login: str, folder: Path) -> Iterator[Transport]:
    """A transport with a user's ~/.ssh/config; for openssh, with an open ControlMaster where a code is needed."""
    config = folder / "config"
    config.write_text(_config(cluster, login, folder))
    settings = SshSettings("farm", config_file=str(config))
    with ExitStack() as stack:
        if name == "openssh" and login in ("twofactor", "password"):
            stack.enter_context(_control_master(config, folder / "open"))
        prompter = PreparedPrompter({"Password:": PASSWORD, "Verification code:": code}) if name == "ssh" else None
        kind: Callable[..., Transport] = SshTransport if name == "ssh" else OpensshTransport
        yield stack.enter_context(kind(settings, prompter=prompter))


def _config(cluster: Cluster, login: str, folder: Path) -> str:
    ssh, key = ssh_of(cluster, login), cluster.folder / "id_ed25519"
    if login == "cert":
        key = certified(cluster, folder)
    host, more = cluster.host, ""
    if login == "behind a jump host":
        host, more = "127.0.0.1", " ProxyJump gate\n"
    return (
        f"Host farm\n HostName {host}\n Port {ssh['port'] or 22}\n User {ssh['user']}\n"
        f'{more} ControlPath "{folder}/open"\n'
        f"Host gate\n HostName {cluster.host}\n Port 2201\n User alice\n"
        f'Host *\n IdentityFile "{key}"\n IdentitiesOnly yes\n UserKnownHostsFile {cluster.folder}/known_hosts\n'
    )


def certified(cluster: Cluster, folder: Path, *, valid: str = "-1h:+1h") -> Path:
    key = folder / "signed"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    command = ["ssh-keygen", "-q", "-s", str(cluster.folder / "authority"), "-I", "anna", "-n", "cert", "-V", valid]
    subprocess.run([*command, f"{key}.pub"], check=True, capture_output=True)
    return key


@contextmanager
def _control_master(config: Path, socket: Path) -> Iterator[None]:
    with Terminal(["ssh", "-F", str(config), "-M", "-N", "farm"]) as terminal:
        if "User password" in config.read_text():
            terminal.shows("Password:")
            terminal.types(PASSWORD)
        terminal.shows("Verification code:")
        terminal.types(code())
        deadline = time.monotonic() + 300
        while not socket.exists():
            assert time.monotonic() < deadline, terminal.screen
            time.sleep(0.05)
        yield
