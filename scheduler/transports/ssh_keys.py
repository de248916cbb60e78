"""The keys that may open a host: those named, the agent's, those in their usual places, each with its certificates."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import SSHCertificate, load_ssh_public_identity
from paramiko.agent import AgentKey, AgentSSH

from scheduler.transports.hostkeys import HostKey
from scheduler.transports.ssh_settings import Hop
from scheduler.transports.wallet import Wallet

LOCKED = "encrypted, and no agent has it"
"""The end of a note on a key that a person could unlock."""
EXPIRED = "which expired on"

_KEY_CLASSES: tuple[type[paramiko.PKey], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
_UNREADABLE = (paramiko.SSHException, ValueError, IndexError, struct.error)
_PASSPHRASES = 3

Note = Callable[[str], None]
Candidate = tuple[str, paramiko.PKey]
Keys = Wallet[paramiko.PKey]


def candidates(hop: Hop, agent_keys: Sequence[AgentKey], wallet: Keys, note: Note) -> Iterator[Candidate]:
    """The keys to try, in order: those that were named, the agent's, those that merely lie in ~/.ssh.

    Those that a person must unlock come last: nobody is asked for what is not needed.
    """
    used: set[bytes] = set()
    locked: list[Path] = []
    if hop.chosen:
        yield from _named(hop, agent_keys, wallet, used, locked, note)
    if not hop.identities_only:
        for key in agent_keys:
            if key.asbytes() not in used:
                used.add(key.asbytes())
                name = f"agent's {HostKey(key.get_name(), key.asbytes())} {key.comment}".rstrip()
                yield from _certified(name, key, _certificates(key, hop.certificate_files))
    if not hop.chosen:
        yield from _named(hop, agent_keys, wallet, used, locked, note)
    for path in locked:
        unlocked = _unlocked(path, wallet, note)
        if unlocked is not None:
            yield from _with_certificates(path, unlocked, hop)


def _named(
    hop: Hop, agent_keys: Sequence[AgentKey], wallet: Keys, used: set[bytes], locked: list[Path], note: Note
) -> Iterator[Candidate]:
    for path in hop.identity_files:
        public = _public_half(path)
        if public is not None and public in used:
            continue
        in_agent = next((key for key in agent_keys if key.asbytes() == public), None)
        try:
            key = in_agent or wallet.keys.get(path) or _load(path, note)
        except paramiko.PasswordRequiredException:
            locked.append(path)
            continue
        if key is not None:
            used.add(key.asbytes())
            yield from _with_certificates(path, key, hop)


def _with_certificates(path: Path, key: paramiko.PKey, hop: Hop) -> Iterator[Candidate]:
    beside = path.with_name(path.name.removesuffix(".pub") + "-cert.pub")
    return _certified(str(path), key, _certificates(key, (beside, *hop.certificate_files)))


def _certified(name: str, key: paramiko.PKey, certificates: Sequence[Path]) -> Iterator[Candidate]:
    """The key with each certificate, then, as ssh does, the key alone."""
    for certificate in certificates:
        try:
            key.load_certificate(str(certificate))
        except (ValueError, OSError, paramiko.SSHException):
            continue  # a certificate of another type of key
        yield f"{name} with its certificate{_trouble(certificate)}", key
    key.public_blob = None
    yield name, key


def _certificates(key: paramiko.PKey, paths: Sequence[Path]) -> list[Path]:
    """Those of these files that hold a certificate of this key, as far as it can be read."""
    found = []
    for path in dict.fromkeys(paths):
        with contextlib.suppress(OSError):
            certificate = _read(path)
            if certificate is None or _blob(certificate) == key.asbytes():
                found.append(path)
    return found


def _read(path: Path) -> SSHCertificate | None:
    try:
        identity = load_ssh_public_identity(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm):
        return None
    return identity if isinstance(identity, SSHCertificate) else None


def _blob(certificate: SSHCertificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = certificate.public_key()
    line: bytes = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    blob: bytes = paramiko.pkey.PublicBlob.from_string(line.decode()).key_blob
    return blob


def _trouble(path: Path) -> str:
    """What is wrong with a certificate, as far as can be seen from here."""
    certificate, now = _read(path), time.time()
    if certificate is None:
        return ""
    if certificate.valid_before < now:
        return f", {EXPIRED} {_date(certificate.valid_before)}"
    if certificate.valid_after > now:
        return f", which is not valid before {_date(certificate.valid_after)} (is this machine's clock right?)"
    return ""


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M} UTC"


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


def _unlocked(path: Path, wallet: Keys, note: Note) -> paramiko.PKey | None:
    """The key, once the person has said its passphrase; they are not asked again as long as the transport is open."""
    if wallet.unasked():
        note(f"{path}: {LOCKED}")
        return None
    for _ in range(_PASSPHRASES):
        passphrase = wallet.person.ask(f"Passphrase of {path}:", shown=False)
        if not passphrase:
            break
        key = _load(path, note, passphrase)
        if key is not None:
            wallet.keys[path] = key
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
