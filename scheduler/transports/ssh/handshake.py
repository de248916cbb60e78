"""The SSH handshake with one host: algorithms, key exchange and host key verification. No login here."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from pathlib import Path

import paramiko

from scheduler.errors import HostKeyError, TimedOut, TransportError
from scheduler.transports.settings import Hop
from scheduler.transports.ssh.errors import LOGGER, PARAMIKO_ERRORS
from scheduler.transports.ssh.known_hosts import HostIdentity, HostKey, identify, refuse_revoked

_FAST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
_RSA_ALGORITHMS = ("rsa-sha2-512", "rsa-sha2-256")
_SHA1_SIGNATURES = ("ssh-rsa", "ssh-rsa-cert-v01@openssh.com", "ssh-dss", "ssh-dss-cert-v01@openssh.com")
DISABLED_ALGORITHMS = {"keys": list(_SHA1_SIGNATURES), "pubkeys": list(_SHA1_SIGNATURES)}
"""Signatures with SHA-1, by hosts and by users, as Paramiko's Transport expects them. RSA keys sign with SHA-2."""


def handshake(transport: paramiko.Transport, hop: Hop) -> HostKey:
    """Perform the SSH handshake with `hop` over `transport`, and verify its host key.

    Returns:
        The host key, which is verified.

    Raises:
        HostKeyError: the host key is unknown, has changed or is revoked.
        TimedOut: the host did not answer in time.
        TransportError: it closed the connection before its banner.
        PARAMIKO_ERRORS: any other failure of the handshake.
    """
    identity = identify(hop.where, hop.known_as, hop.known_hosts)
    transport.set_log_channel(LOGGER)
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = hop.connect_seconds
    options = transport.get_security_options()
    # Paramiko prefers CTR ciphers; GCM has twice the throughput. Paramiko before 3.5 has no GCM.
    options.ciphers = tuple(sorted(options.ciphers, key=lambda name: name not in _FAST_CIPHERS))
    options.key_types = _preferred(identity.kinds, options.key_types)
    _exchange_keys(transport, hop)
    sent = transport.get_remote_server_key()
    key = HostKey(sent.get_name(), sent.asbytes())
    refuse_revoked(hop.where, key, hop.revoked_keys)
    _verify(identity, key, hop)
    return key


def _exchange_keys(transport: paramiko.Transport, hop: Hop) -> None:
    started = time.monotonic()
    try:
        transport.start_client(timeout=hop.connect_seconds)
    except PARAMIKO_ERRORS as error:
        if time.monotonic() - started >= hop.connect_seconds:
            raise TimedOut(_handshake_timeout(hop)) from error
        if transport.remote_version:
            raise
        raise TransportError(
            f"{hop.where}: connection closed by remote host before its SSH protocol banner. It may not be an SSH "
            "server, may have too many connections (MaxStartups), or may block this address. Try again later"
        ) from error
    if not transport.initial_kex_done:  # start_client returns without an error after its timeout
        raise TimedOut(_handshake_timeout(hop))


def _handshake_timeout(hop: Hop) -> str:
    return f"{hop.where}: connection timed out: no SSH handshake in {hop.connect_seconds:g} seconds. Try again later"


def _preferred(kinds: Sequence[str], offered: Sequence[str]) -> tuple[str, ...]:
    """The host key algorithms to offer, those of the known keys first: the host may have other, unknown keys."""
    known = [name for kind in kinds for name in (_RSA_ALGORITHMS if kind == "ssh-rsa" else (kind,))]
    return (*(name for name in known if name in offered), *(name for name in offered if name not in known))


def _verify(identity: HostIdentity, key: HostKey, hop: Hop) -> None:
    if identity.knows(key):
        return
    if hop.new_keys_go_to is None:
        raise HostKeyError(
            f"{hop.where}: host key verification failed: the host is unknown, and ssh's configuration names no file "
            f"that remembers host keys (UserKnownHostsFile /dev/null or none). The host sent its {key}. Set `ssh: "
            "{known_hosts: ~/.ssh/known_hosts}` in the site file, and compare the fingerprint with the site's own"
        )
    if not hop.accept_new_host_key:
        raise HostKeyError(identity.unknown_host(key, ssh_command=_ssh_command(hop)))
    identity.remember(key, hop.new_keys_go_to)


def _ssh_command(hop: Hop) -> str:
    words = ["ssh"]
    if hop.new_keys_go_to not in (None, Path("~/.ssh/known_hosts").expanduser()):
        words += ["-o", f"UserKnownHostsFile={hop.new_keys_go_to}"]
    if hop.alias == hop.hostname and hop.port != 22:
        words += ["-p", str(hop.port)]
    return f"`{shlex.join([*words, hop.alias])}`"
