"""A private OpenSSH server on free loopback ports, with its own keys, for the user who runs the tests."""

from __future__ import annotations

import contextlib
import functools
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from scheduler.transports.settings import SshSettings

SSHD = "/usr/sbin/sshd"
_START_SECONDS = 120.0
_CONFIG = """\
{first}
ListenAddress 127.0.0.1
{ports}
HostKey {folder}/host_ed25519
HostKey {folder}/host_ecdsa
HostKey {folder}/host_rsa
PidFile none
AuthorizedKeysFile {folder}/authorized_keys
TrustedUserCAKeys {folder}/authority.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
PrintMotd no
MaxStartups 100
SetEnv HOME={folder}/home
{extra}
"""


def why_not() -> str:
    """Why no server can be started on this machine; empty if one can."""
    missing = [name for name in (SSHD, "ssh-keygen") if shutil.which(name) is None]
    return f"{' and '.join(missing)} not found: install openssh-server" if missing else ""


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Make a new key pair at `path`."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True)
    return path


@functools.cache
def _rsa_pair() -> dict[str, str]:
    """The files of an RSA key. It takes a second of a processor to make, so the servers of a process share one."""
    with tempfile.TemporaryDirectory() as folder:
        make_key(Path(folder, "host_rsa"), "rsa")
        return {path.name: path.read_text() for path in Path(folder).iterdir()}


@dataclass(frozen=True)
class Sshd:
    """A running server.

    Attributes:
        folder: its files.
        ports: its ports, all equal; `port` is the first.
        process: the listening process.
        identity: a private key that it accepts.
        known_hosts: a file with its Ed25519 key, for every port.
        config: an empty config file, instead of the user's ~/.ssh/config.
    """

    folder: Path
    ports: tuple[int, ...]
    process: subprocess.Popen[bytes]

    @property
    def port(self) -> int:
        return self.ports[0]

    @property
    def identity(self) -> Path:
        return self.folder / "id_test"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def settings(self) -> SshSettings:
        """Settings that log in to the server."""
        return SshSettings(
            host="127.0.0.1",
            user=getpass.getuser(),
            port=self.port,
            identity_file=str(self.identity),
            known_hosts=str(self.known_hosts),
            config_file=str(self.config),
        )

    def through(self, config: str, *, host: str) -> SshSettings:
        """Settings that log in to `host` of a config file with this text."""
        path = self.folder / f"config-{time.monotonic_ns()}"
        path.write_text(config)
        return replace(self.settings, host=host, user=None, port=None, identity_file=None, config_file=str(path))

    def public_key(self, kind: str) -> str:
        """The type of a host key, and the key in base64."""
        return " ".join((self.folder / f"host_{kind}.pub").read_text().split()[:2])

    def fingerprint(self, kind: str) -> str:
        """The fingerprint of a host key, as ssh-keygen prints it."""
        command = ["ssh-keygen", "-l", "-f", str(self.folder / f"host_{kind}.pub")]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[1]

    def kill_connections(self) -> None:
        """Kill the processes that serve the connections; the server keeps running."""
        self.signal_children(signal.SIGKILL)

    def signal_children(self, what: signal.Signals) -> None:
        for pid in self.children():
            with contextlib.suppress(ProcessLookupError):  # it has exited with its parent
                os.kill(pid, what)

    def children(self) -> list[int]:
        """The processes that serve the connections, one or two for each, without the programs that they run."""
        listed = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], check=True, capture_output=True, text=True).stdout
        servers = [line.split()[:2] for line in listed.splitlines() if "sshd" in line]
        family = [self.process.pid]
        for parent in family:
            family += [int(pid) for pid, its_parent in servers if int(its_parent) == parent]
        return family[1:]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=600)


def start(folder: Path, *, shell: str = "", ports: int = 1, first: str = "", extra: str = "") -> Sshd:
    """Start a server.

    Args:
        folder: where its files go.
        shell: commands run in this login shell, after a login file has printed a text.
        ports: number of ports.
        first: lines before our sshd_config; the first value of an option applies.
        extra: lines after our sshd_config.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for kind in ("ed25519", "ecdsa"):
        make_key(folder / f"host_{kind}", kind)
    for name, content in _rsa_pair().items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(content)
    (folder / "home").mkdir()  # so that the login files of the user who runs the tests have no effect
    make_key(folder / "authority")
    make_key(folder / "id_test")
    shutil.copy(folder / "id_test.pub", folder / "authorized_keys")
    (folder / "config").write_text("")
    numbers = tuple(_free_port() for _ in range(ports))
    if shell:
        extra += f"\nForceCommand {_login_shell(folder, shell)}\n"
    lines = "\n".join(f"Port {number}" for number in numbers)
    (folder / "sshd_config").write_text(_CONFIG.format(ports=lines, folder=folder, first=first, extra=extra))
    return _started(folder, numbers)


def _started(folder: Path, ports: tuple[int, ...]) -> Sshd:
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(
            mode=0o755, exist_ok=True
        )  # the privilege separation directory of a server that runs as root
    command = [SSHD, "-D", "-f", str(folder / "sshd_config"), "-E", str(folder / "log")]
    server = Sshd(folder, ports, subprocess.Popen(command))
    known = [f"[127.0.0.1]:{port} {server.public_key('ed25519')}\n" for port in ports]
    server.known_hosts.write_text("".join(known))
    deadline = time.monotonic() + _START_SECONDS
    while not all(_answers(port) for port in ports):
        if server.process.poll() is not None or time.monotonic() > deadline:
            server.stop()
            raise RuntimeError(f"sshd did not start: {(folder / 'log').read_text()}")
        time.sleep(0.02)
    return server


def _login_shell(folder: Path, shell: str) -> Path:
    path = folder / "login-shell"
    path.write_text(
        "#!/bin/sh\n"
        "echo 'Welcome! ==begin== of the login file'; echo 'quota: 93 % used' >&2\n"
        f'exec {shell} -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    path.chmod(0o755)
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
