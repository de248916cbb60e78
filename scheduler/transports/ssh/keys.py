"""The keys that may open a host: those named, the agent's, those in their usual places, each with its certificates."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import paramiko
from paramiko.agent import AgentKey, AgentSSH

from scheduler.transports.certificates import certificates_of, trouble_of
from scheduler.transports.settings import Hop
from scheduler.transports.ssh.credentials import Credentials
from scheduler.transports.ssh.known_hosts import HostKey

LOCKED = "encrypted, and no agent has it"
"""The end of a note on a key that a person could unlock."""

_KEY_CLASSES: tuple[type[paramiko.PKey], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
_UNREADABLE = (paramiko.SSHException, ValueError, IndexError, struct.error)
_PASSPHRASES = 3

Note = Callable[[str], None]
Candidate = tuple[str, paramiko.PKey]
Keys = Credentials[paramiko.PKey]


def candidates(hop: Hop, agent_keys: Sequence[AgentKey], credentials: Keys, note: Note) -> Iterator[Candidate]:
    """The keys to try, in order: those that were named, the agent's, those that merely lie in ~/.ssh.

    Those that a person must unlock come last: nobody is asked for what is not needed.
    """
    used: set[bytes] = set()
    locked: list[Path] = []
    if hop.chosen:
        yield from _named(hop, agent_keys, credentials, used, locked, note)
    if not hop.identities_only:
        for key in agent_keys:
            if key.asbytes() not in used:
                used.add(key.asbytes())
                name = f"agent's {HostKey(key.get_name(), key.asbytes())} {key.comment}".rstrip()
                yield from _certified(name, key, certificates_of(key.asbytes(), hop.certificate_files))
    if not hop.chosen:
        yield from _named(hop, agent_keys, credentials, used, locked, note)
    for path in locked:
        unlocked = _unlocked(path, credentials, note)
        if unlocked is not None:
            yield from _with_certificates(path, unlocked, hop)


def _named(
    hop: Hop, agent_keys: Sequence[AgentKey], credentials: Keys, used: set[bytes], locked: list[Path], note: Note
) -> Iterator[Candidate]:
    for path in hop.identity_files:
        public = _public_half(path)
        if public is not None and public in used:
            continue
        in_agent = next((key for key in agent_keys if key.asbytes() == public), None)
        try:
            key = in_agent or credentials.keys.get(path) or _load(path, note)
        except paramiko.PasswordRequiredException:
            locked.append(path)
            continue
        if key is not None:
            used.add(key.asbytes())
            yield from _with_certificates(path, key, hop)


def _with_certificates(path: Path, key: paramiko.PKey, hop: Hop) -> Iterator[Candidate]:
    beside = path.with_name(path.name.removesuffix(".pub") + "-cert.pub")
    return _certified(str(path), key, certificates_of(key.asbytes(), (beside, *hop.certificate_files)))


def _certified(name: str, key: paramiko.PKey, certificates: Sequence[Path]) -> Iterator[Candidate]:
    """The key with each certificate, then, as ssh does, the key alone."""
    for certificate in certificates:
        try:
            key.load_certificate(str(certificate))
        except (ValueError, OSError, paramiko.SSHException):
            continue  # a certificate of another type of key
        yield f"{name} with its certificate{trouble_of(certificate)}", key
    key.public_blob = None
    yield name, key


def _load(path: Path, note: Note, passphrase: str | None = None) -> paramiko.PKey | None:
    """The private key in a file.

    Raises:
        paramiko.PasswordRequiredException: it is encrypted.
    """
    if path.suffix == ".pub":
        note(f"{path}: a public key, and no agent has its other half")
        return None
    for kind in _KEY_CLASSES:
        try:
            return kind.from_private_key_file(str(path), passphrase)
        except paramiko.PasswordRequiredException:
            raise
        except OSError as error:
            note(f"{path}: {(error.strerror or str(error)).lower()}")
            return None
        except _UNREADABLE:
            continue
    if passphrase is None:
        note(f"{path}: not a private key that can be read here")
    return None


def _unlocked(path: Path, credentials: Keys, note: Note) -> paramiko.PKey | None:
    """The key, once the person has said its passphrase; they are not asked again as long as the transport is open."""
    if credentials.unasked():
        note(f"{path}: {LOCKED}")
        return None
    for _ in range(_PASSPHRASES):
        passphrase = credentials.prompter.ask(f"Passphrase of {path}:", shown=False)
        if not passphrase:
            break
        key = _load(path, note, passphrase)
        if key is not None:
            credentials.keys[path] = key
            return key
    note(f"{path}: encrypted, and its passphrase was not given")
    return None


def _public_half(path: Path) -> bytes | None:
    public = path if path.suffix == ".pub" else path.with_name(path.name + ".pub")
    try:
        return paramiko.pkey.PublicBlob.from_file(str(public)).key_blob
    except (OSError, ValueError, paramiko.SSHException):
        return None


@contextlib.contextmanager
def keys_of_agent(hop: Hop, note: Note) -> Iterator[Sequence[AgentKey]]:
    """The keys of the agent, which stays connected meanwhile: it is the agent that signs."""
    path = os.environ.get("SSH_AUTH_SOCK", "") if hop.agent is None else hop.agent
    if not path:
        yield ()
        return
    agent = AgentSSH()
    # Not paramiko.Agent: that knows $SSH_AUTH_SOCK only, waits for ever, and leaks a socket nobody answers.
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(hop.connect_seconds)
        try:
            line.connect(path)
            agent._connect(line)  # type: ignore[attr-defined]
        except (OSError, paramiko.SSHException) as error:
            note(f"agent at {path}: {error}")
        yield agent.get_keys()
