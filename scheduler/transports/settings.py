"""What is asked of an SSH connection, and one host of the chain that it passes. Values; no Paramiko."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from scheduler.errors import ConfigError

# What OpenSSH refuses too: such a name could become a command by way of ProxyCommand's %h and %r.
_HOST = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:%-]*\Z")
_USER = re.compile(r"[A-Za-z0-9_.][^\s'\"`;&<>|(){}\\$\x00-\x1f\x7f]*\Z")


@dataclass(frozen=True)
class SshSettings:
    """What a site file says of its SSH; what it leaves out comes from the user's ~/.ssh/config.

    Attributes:
        host: a Host of ~/.ssh/config, or a host name.
        user, port, identity_file, proxy_jump: as ``ssh -l -p -i -J``; they come before the Host's entry.
        known_hosts: the one file of known hosts for the whole chain, instead of those that ssh would read.
        accept_new_host_key: note down the key of a host that is not known yet; never a changed one.
        config_file: instead of ~/.ssh/config.
        connect_timeout: seconds for each host of the chain, unless its entry has a ConnectTimeout.

    Raises:
        ConfigError: a host, user, port or timeout that cannot be one.
    """

    host: str
    user: str | None = None
    port: int | None = None
    identity_file: str | None = None
    proxy_jump: str | None = None
    known_hosts: str | None = None
    accept_new_host_key: bool = False
    config_file: str | None = None
    connect_timeout: float = 30.0

    def __post_init__(self) -> None:
        check_host(self.host, "host")
        if self.user is not None:
            check_user(self.user, "user")
        if self.port is not None and not 0 < self.port < 65536:
            raise ConfigError(f"ssh port {self.port} of {self.host!r} is not between 1 and 65535")
        if self.connect_timeout <= 0:
            raise ConfigError(f"connect_timeout of {self.host!r} must be more than 0 seconds")
        for value in (self.identity_file, self.proxy_jump):
            if value is not None and not value.isprintable():
                raise ConfigError(f"ssh settings of {self.host!r} hold a control character: {value!r}")


@dataclass(frozen=True)
class Hop:
    """One host of the chain, with all that is needed to reach it and log in.

    Attributes:
        alias: what it was asked for as.
        identity_files: private keys to try, or the public half of a key that an agent has.
        certificate_files: certificates that do not lie beside their keys.
        chosen: the identity files were named by somebody; otherwise they are where keys usually lie.
        agent: the agent's socket, None for ``$SSH_AUTH_SOCK``, empty for no agent.
        known_as: its names in a known_hosts file, the best one first.
        new_keys_go_to: the file where a new host key may be noted down, if any.
    """

    alias: str
    hostname: str
    port: int
    user: str
    identity_files: tuple[Path, ...]
    certificate_files: tuple[Path, ...]
    chosen: bool
    identities_only: bool
    agent: str | None
    known_as: tuple[str, ...]
    known_hosts: tuple[Path, ...]
    new_keys_go_to: Path | None
    accept_new_host_key: bool
    proxy_command: str | None
    connect_seconds: float
    keepalive_seconds: int

    @property
    def where(self) -> str:
        """Its name as messages say it."""
        target = f"{self.user}@{self.hostname}:{self.port}"
        return target if self.alias == self.hostname else f"{self.alias} ({target})"


def check_host(name: str, what: str) -> None:
    """Refuse what cannot be a host's name or address, with a ConfigError."""
    if not _HOST.match(name):
        raise ConfigError(f"{name!r} cannot be the {what} of an ssh connection")


def check_user(name: str, what: str) -> None:
    """Refuse what cannot be a user's name, with a ConfigError."""
    if not _USER.match(name):
        raise ConfigError(f"{name!r} cannot be the {what} of an ssh connection")
