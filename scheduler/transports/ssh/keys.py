"""The private keys to try on a host: its identity files, the agent's keys and the default keys, with certificates."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import paramiko
from paramiko.agent import AgentKey, AgentSSH

from scheduler.schema.regular_file import read_regular
from scheduler.transports.certificates import certificates_of, validity_problem
from scheduler.transports.settings import Hop
from scheduler.transports.ssh.credentials import Credentials
from scheduler.transports.ssh.known_hosts import HostKey

ENCRYPTED = "encrypted with a passphrase, and not in the ssh-agent"
"""The end of a note on an encrypted key for whose passphrase the user was not prompted."""

_KEY_CLASSES: tuple[type[paramiko.PKey], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
_UNREADABLE = (paramiko.SSHException, ValueError, IndexError, struct.error)
_MOST_KEY_BYTES = 1 << 20
_PASSPHRASE_PROMPTS = 3  # as OpenSSH's NumberOfPasswordPrompts

Note = Callable[[str], None]
"""Called with a sentence about a key that cannot be used, for the message of a failed login."""
Candidate = tuple[str, paramiko.PKey]
"""A key, and its name in messages."""
KeyCredentials = Credentials[paramiko.PKey]


def candidates(hop: Hop, in_agent: Sequence[AgentKey], credentials: KeyCredentials, note: Note) -> Iterator[Candidate]:
    """The keys to try, in order: identity files that were given, the agent's keys, then the default identity files.

    Keys whose passphrase must be entered come last, so that the user is prompted only if no other key is accepted.
    """
    used: set[bytes] = set()
    encrypted: list[Path] = []
    if hop.identity_files_given:
        yield from _from_files(hop, in_agent, credentials, used, encrypted, note)
    if not hop.identities_only:
        for key in in_agent:
            if key.asbytes() not in used:
                used.add(key.asbytes())
                name = f"agent's {HostKey(key.get_name(), key.asbytes())} {key.comment}".rstrip()
                yield from _with_each(name, key, certificates_of(key.asbytes(), hop.certificate_files))
    if not hop.identity_files_given:
        yield from _from_files(hop, in_agent, credentials, used, encrypted, note)
    for path in encrypted:
        decrypted = _decrypt(path, credentials, note)
        if decrypted is not None:
            yield from _with_certificates(path, decrypted, hop)


def _from_files(
    hop: Hop,
    in_agent: Sequence[AgentKey],
    credentials: KeyCredentials,
    used: set[bytes],
    encrypted: list[Path],
    note: Note,
) -> Iterator[Candidate]:
    """The keys of the identity files; encrypted ones are added to `encrypted` instead."""
    for path in hop.identity_files:
        public = _public_key(path)
        if public is not None and public in used:
            continue
        agent_key = next((key for key in in_agent if key.asbytes() == public), None)
        try:
            key = agent_key or credentials.keys.get(path) or _load(path, note)
        except paramiko.PasswordRequiredException:
            encrypted.append(path)
            continue
        if key is not None:
            used.add(key.asbytes())
            yield from _with_certificates(path, key, hop)


def _with_certificates(path: Path, key: paramiko.PKey, hop: Hop) -> Iterator[Candidate]:
    beside = path.with_name(path.name.removesuffix(".pub") + "-cert.pub")
    return _with_each(str(path), key, certificates_of(key.asbytes(), (beside, *hop.certificate_files)))


def _with_each(name: str, key: paramiko.PKey, certificates: Sequence[Path]) -> Iterator[Candidate]:
    """The key with each of its certificates, then the key alone, in the order of OpenSSH."""
    for certificate in certificates:
        try:
            key.load_certificate(str(certificate))
        except (ValueError, OSError, paramiko.SSHException):
            continue  # a certificate for another type of key
        yield f"{name} with its certificate{validity_problem(certificate)}", key
    key.public_blob = None
    yield name, key


def _load(path: Path, note: Note, passphrase: str | None = None) -> paramiko.PKey | None:
    """The private key in a file; None, with a note, if it cannot be read.

    Raises:
        paramiko.PasswordRequiredException: it is encrypted, and there is no passphrase.
    """
    if path.suffix == ".pub":
        note(f"{path}: a public key whose private key is not in the ssh-agent")
        return None
    for key_class in _KEY_CLASSES:
        try:
            if read_regular(path, most=_MOST_KEY_BYTES) is None:
                break
            return key_class.from_private_key_file(str(path), passphrase)
        except paramiko.PasswordRequiredException:
            raise
        except OSError as error:
            note(f"{path}: {(error.strerror or str(error)).lower()}")
            return None
        except _UNREADABLE:
            continue
    if passphrase is None:
        note(f"{path}: not a private key of a supported type (Ed25519, ECDSA, RSA)")
    return None


def _decrypt(path: Path, credentials: KeyCredentials, note: Note) -> paramiko.PKey | None:
    """The key, after the user has entered its passphrase; it is kept while the transport is open."""
    if credentials.no_prompt_reason():
        note(f"{path}: {ENCRYPTED}")
        return None
    for _ in range(_PASSPHRASE_PROMPTS):
        passphrase = credentials.prompter.ask(f"Enter passphrase for key '{path}':", shown=False)
        if not passphrase:
            break
        key = _load(path, note, passphrase)
        if key is not None:
            credentials.keys[path] = key
            return key
    note(f"{path}: encrypted, and its passphrase was not entered")
    return None


def _public_key(path: Path) -> bytes | None:
    public = path if path.suffix == ".pub" else path.with_name(path.name + ".pub")
    try:
        text = read_regular(public, most=_MOST_KEY_BYTES) or b""
        return paramiko.pkey.PublicBlob.from_string(text.decode()).key_blob
    except (OSError, ValueError, paramiko.SSHException):
        return None


@contextlib.contextmanager
def agent_keys(hop: Hop, note: Note) -> Iterator[Sequence[AgentKey]]:
    """The keys of the ssh-agent. The agent signs with them, so it stays connected inside the context."""
    path = os.environ.get("SSH_AUTH_SOCK", "") if hop.agent is None else hop.agent
    if not path:
        yield ()
        return
    agent = AgentSSH()
    # Not paramiko.Agent: it knows only $SSH_AUTH_SOCK, has no timeout, and leaks its socket if the agent is gone.
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(hop.connect_seconds)
        try:
            connection.connect(path)
            agent._connect(connection)  # type: ignore[attr-defined]
        except (OSError, paramiko.SSHException) as error:
            note(f"ssh-agent at {path}: {error}")
        yield agent.get_keys()
