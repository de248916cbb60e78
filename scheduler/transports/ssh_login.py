"""How we prove to a host who we are: keys, their certificates, the agent. Nobody is ever asked anything."""

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

from scheduler.errors import LoginError, TimedOut
from scheduler.transports.hostkeys import HostKey
from scheduler.transports.ssh_settings import Hop

_KEY_CLASSES: tuple[type[paramiko.PKey], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
_UNREADABLE = (paramiko.SSHException, ValueError, IndexError, struct.error)
_BY_HAND = "Log in by hand with ssh and a ControlMaster, and set `transport: openssh`"
_LOCKED = "encrypted, and no agent has it"

_Note = Callable[[str], None]
_Candidate = tuple[str, paramiko.PKey]


def log_in(transport: paramiko.Transport, hop: Hop) -> None:
    """Log in to `hop` with the keys that it names, those of the agent, and those in their usual places.

    Raises:
        LoginError: none of them was let in, or the host wants more than a key.
        TimedOut: it did not answer.
    """
    allowed = _allowed(transport, hop)
    tried: list[str] = []
    if "publickey" in allowed:
        with _agent_keys(hop, tried.append) as agent_keys:
            for name, key in _candidates(hop, agent_keys, tried.append):
                if _let_in(transport, hop, name, key, tried.append):
                    return
                if not transport.is_active():
                    break
    if not transport.is_authenticated():
        raise LoginError(_nobody_let_in(hop, tried, allowed, hung_up=not transport.is_active()))


def _allowed(transport: paramiko.Transport, hop: Hop) -> Sequence[str]:
    """The ways in that the host offers; none if it is open to all."""
    try:
        with _in_time(transport, hop):
            transport.auth_none(hop.user)
    except paramiko.BadAuthenticationType as error:
        return error.allowed_types
    return ()


def _let_in(transport: paramiko.Transport, hop: Hop, name: str, key: paramiko.PKey, note: _Note) -> bool:
    try:
        with _in_time(transport, hop):
            still_wanted = transport.auth_publickey(hop.user, key)
    except paramiko.AuthenticationException:
        note(f"{name}: refused")
        return False
    except paramiko.SSHException as error:
        note(f"{name}: {error}")
        return False
    if still_wanted and "publickey" not in still_wanted:
        raise LoginError(
            f"{hop.where}: {name} was accepted, but the host wants a second proof too "
            f"({', '.join(still_wanted)}). {_BY_HAND}"
        )
    note(f"{name}: accepted, and another key wanted")
    return not still_wanted


@contextlib.contextmanager
def _in_time(transport: paramiko.Transport, hop: Hop) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    except paramiko.AuthenticationException as error:
        # Paramiko tells a timeout from a refusal by its words only.
        if transport.is_active() and time.monotonic() - started >= transport.auth_timeout:
            raise TimedOut(
                f"{hop.where}: no answer to the login in {transport.auth_timeout:g} seconds. Try again later"
            ) from error
        raise


def _candidates(hop: Hop, agent_keys: Sequence[AgentKey], note: _Note) -> Iterator[_Candidate]:
    """The keys to try, in order: those that were named, the agent's, those that merely lie in ~/.ssh."""
    used: set[bytes] = set()
    if hop.chosen:
        yield from _named(hop.identity_files, agent_keys, used, note)
    if not hop.identities_only:
        for key in agent_keys:
            if key.asbytes() not in used:
                used.add(key.asbytes())
                yield f"agent's {HostKey(key.get_name(), key.asbytes())} {key.comment}".rstrip(), key
    if not hop.chosen:
        yield from _named(hop.identity_files, agent_keys, used, note)


def _named(
    paths: Sequence[Path], agent_keys: Sequence[AgentKey], used: set[bytes], note: _Note
) -> Iterator[_Candidate]:
    for path in paths:
        public = _public_half(path)
        if public is not None and public in used:
            continue
        in_agent = next((key for key in agent_keys if key.asbytes() == public), None)
        key = in_agent or _load(path, note)
        if key is not None:
            used.add(key.asbytes())
            yield from _with_certificate(path, key)


def _with_certificate(path: Path, key: paramiko.PKey) -> Iterator[_Candidate]:
    """The key with the certificate beside it, then, as ssh does, the key alone."""
    certificate = path.with_name(path.name.removesuffix(".pub") + "-cert.pub")
    if certificate.is_file():
        try:
            key.load_certificate(str(certificate))
            yield f"{path} with its certificate{_expiry(certificate)}", key
        except ValueError:
            pass  # a certificate of another key
        key.public_blob = None
    yield str(path), key


def _expiry(certificate: Path) -> str:
    try:
        identity = load_ssh_public_identity(certificate.read_bytes())
    except (ValueError, UnsupportedAlgorithm, OSError):
        return ""
    if isinstance(identity, SSHCertificate) and identity.valid_before < time.time():
        end = datetime.fromtimestamp(identity.valid_before, timezone.utc)
        return f", which expired on {end:%Y-%m-%d %H:%M} UTC"
    return ""


def _load(path: Path, note: _Note) -> paramiko.PKey | None:
    if path.suffix == ".pub":
        note(f"{path}: a public key, and no agent has its other half")
        return None
    for kind in _KEY_CLASSES:
        try:
            return kind.from_private_key_file(str(path))
        except paramiko.PasswordRequiredException:
            note(f"{path}: {_LOCKED}")
            return None
        except OSError as error:
            note(f"{path}: {(error.strerror or str(error)).lower()}")
            return None
        except _UNREADABLE:
            continue
    note(f"{path}: not a private key that can be read here")
    return None


def _public_half(path: Path) -> bytes | None:
    public = path if path.suffix == ".pub" else path.with_name(path.name + ".pub")
    try:
        return paramiko.pkey.PublicBlob.from_file(str(public)).key_blob
    except (OSError, ValueError, paramiko.SSHException):
        return None


@contextlib.contextmanager
def _agent_keys(hop: Hop, note: _Note) -> Iterator[Sequence[AgentKey]]:
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


def _nobody_let_in(hop: Hop, tried: Sequence[str], allowed: Sequence[str], *, hung_up: bool) -> str:
    attempts = "; ".join(tried) or "nothing, as there is no key in ~/.ssh and no agent"
    ways = ", ".join(allowed) or "nothing"
    ending = "; it hung up: name the one right key, with `IdentitiesOnly yes`" if hung_up else ""
    return (
        f"{hop.where}: the login was refused. Tried: {attempts}. The host allows: {ways}{ending}. "
        f"{_advice(hop, tried, allowed)}"
    )


def _advice(hop: Hop, tried: Sequence[str], allowed: Sequence[str]) -> str:
    locked = [line.partition(":")[0] for line in tried if line.endswith(_LOCKED)]
    if "publickey" not in allowed:
        return _BY_HAND
    if locked:
        return f"Unlock the key with `ssh-add {locked[0]}`"
    if any("which expired on" in line for line in tried):
        return "Get a new certificate"
    return f"See what `ssh -v -p {hop.port} {hop.user}@{hop.hostname}` says"
