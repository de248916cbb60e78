"""Settings of an SSH connection, and one host of its chain of jump hosts. Checked values; no Paramiko."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from scheduler.errors import ConfigError

# OpenSSH rejects the same names (ssh.c, valid_hostname and valid_ruser): they could become a command in a ProxyCommand.
_HOST = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:%-]*\Z")
_USER = re.compile(r"[A-Za-z0-9_.][^\s'\"`;&<>|(){}\\$\x00-\x1f\x7f]*\Z")


@dataclass(frozen=True)
class SshSettings:
    """The SSH settings of a site; a value that is None comes from the user's ~/.ssh/config.

    Attributes:
        host: a Host of ~/.ssh/config, or a host name.
        user: as ``ssh -l``; this and the next three override the Host's entry.
        port: as ``ssh -p``.
        identity_file: as ``ssh -i``.
        proxy_jump: as ``ssh -J``.
        known_hosts: the only known_hosts file for all hosts of the chain, instead of ssh's files.
        accept_new_host_key: add the key of an unknown host to known_hosts (StrictHostKeyChecking accept-new); never a
            changed one.
        config_file: instead of ~/.ssh/config.
        connect_timeout: seconds for each host of the chain, unless its entry has a ConnectTimeout.

    Raises:
        ConfigError: a host, user, port or timeout is not valid.
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
                raise ConfigError(f"ssh settings of {self.host!r} contain a control character: {value!r}")


@dataclass(frozen=True)
class Hop:
    """One host of the chain, with everything that is needed to connect to it and log in.

    Attributes:
        alias: the name by which the user or ProxyJump named it.
        hostname: the name or address to connect to (HostName).
        port: its port.
        user: the remote user.
        identity_files: files of private keys, or of public keys whose private keys are in the agent (IdentityFile).
        certificate_files: certificates that are not beside their keys (CertificateFile).
        identity_files_given: the identity files come from the site file or ~/.ssh/config, not from the defaults.
        identities_only: do not try the agent's other keys (IdentitiesOnly).
        agent: the agent's socket; None means ``$SSH_AUTH_SOCK``, empty means no agent (IdentityAgent).
        known_as: its names in a known_hosts file, the most specific first.
        known_hosts: the known_hosts files to read.
        revoked_keys: the files with revoked host keys (RevokedHostKeys).
        new_keys_go_to: the known_hosts file for new host keys, if any.
        accept_new_host_key: add an unknown host's key to that file.
        proxy_command: the ProxyCommand that connects to it, if any.
        connect_seconds: limit for each phase of connecting (ConnectTimeout).
        keepalive_seconds: interval of keepalive messages (ServerAliveInterval).
    """

    alias: str
    hostname: str
    port: int
    user: str
    identity_files: tuple[Path, ...]
    certificate_files: tuple[Path, ...]
    identity_files_given: bool
    identities_only: bool
    agent: str | None
    known_as: tuple[str, ...]
    known_hosts: tuple[Path, ...]
    revoked_keys: tuple[Path, ...]
    new_keys_go_to: Path | None
    accept_new_host_key: bool
    proxy_command: str | None
    connect_seconds: float
    keepalive_seconds: int

    @property
    def where(self) -> str:
        """Its name in messages."""
        target = f"{self.user}@{self.hostname}:{self.port}"
        return target if self.alias == self.hostname else f"{self.alias} ({target})"


def check_host(name: str, what: str) -> None:
    """Check that `name` is a valid host name or address.

    Raises:
        ConfigError: it is not; the message calls it `what`.
    """
    if not _HOST.match(name):
        raise ConfigError(f"{name!r} is not a valid {what} of an ssh connection")


def check_user(name: str, what: str) -> None:
    """Check that `name` is a valid user name.

    Raises:
        ConfigError: it is not; the message calls it `what`.
    """
    if not _USER.match(name):
        raise ConfigError(f"{name!r} is not a valid {what} of an ssh connection")
