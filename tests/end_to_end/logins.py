"""The kinds of login that the test cluster has, and how a person's own ~/.ssh/config would lead to each."""

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

WAYS = ("ssh", "openssh")
LOGINS = ("behind the gate", "twofactor", "password", "cert", "tess", "nosftp", "full", "posix")


def user_of(login: str) -> str:
    return "alice" if login == "behind the gate" else login


def site_of(cluster: Cluster, way: str, login: str) -> Site:
    keys: dict[str, Any] = {"transport": way, "ssh": ssh_of(cluster, login)}
    if login == "full":
        keys["work_dir"] = f"/var/tmp/{way} of full"
    if login == "posix":
        keys |= {"scheduler": "shell", "account": None, "work_dir": f"$HOME/{way} {time.time_ns()}"}
    return cluster.site(f"{way}-{login.replace(' ', '-')}", **keys)


def ssh_of(cluster: Cluster, login: str) -> dict[str, Any]:
    ports = {"behind the gate": 2202, "posix": 2203}
    return {
        "user": user_of(login),
        "port": ports.get(login),
        "identity_file": str(cluster.folder / "id_ed25519"),
        "known_hosts": str(cluster.folder / "known_hosts"),
    }


@contextmanager
def way_to(cluster: Cluster, way: str, login: str, folder: Path) -> Iterator[Transport]:
    """As a person's ~/.ssh/config would lead there, with a connection that they have opened where a code is needed."""
    config = folder / "config"
    config.write_text(_config(cluster, login, folder))
    settings = SshSettings("farm", config_file=str(config))
    with ExitStack() as stack:
        if way == "openssh" and login in ("twofactor", "password"):
            stack.enter_context(_opened_by_hand(config, folder / "open"))
        prompter = PreparedPrompter({"Password:": PASSWORD, "Verification code:": code}) if way == "ssh" else None
        made: Callable[..., Transport] = SshTransport if way == "ssh" else OpensshTransport
        yield stack.enter_context(made(settings, prompter=prompter))


def _config(cluster: Cluster, login: str, folder: Path) -> str:
    ssh, key = ssh_of(cluster, login), cluster.folder / "id_ed25519"
    if login == "cert":
        key = certified(cluster, folder)
    host, more = cluster.host, ""
    if login == "behind the gate":
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
def _opened_by_hand(config: Path, socket: Path) -> Iterator[None]:
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
