"""Is this the host that it was? Known-hosts files as OpenSSH keeps them. No connection and no Paramiko here.

Paramiko has a reader of its own. It skips patterns (``*.site.gov``) and ``@revoked`` lines, and of several
keys of one type, as login nodes behind one name have, it sees the first only.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scheduler.errors import HostKeyError

_KIND_NAMES = {"ssh-ed25519": "ED25519", "ssh-rsa": "RSA"}


@dataclass(frozen=True)
class HostKey:
    """A public key, by its type in SSH's words (``ssh-ed25519``) and its bytes."""

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """As ``ssh`` and ``ssh-keygen -l`` print it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    def __str__(self) -> str:
        name = "ECDSA" if self.kind.startswith("ecdsa-") else _KIND_NAMES.get(self.kind, self.kind)
        return f"{name} key {self.fingerprint}"


@dataclass(frozen=True)
class KnownKey:
    """A line of a known-hosts file that speaks of a host.

    Attributes:
        marker: ``@revoked``, ``@cert-authority`` or empty.
        own: it speaks of the host by its first name.
    """

    key: HostKey
    path: Path
    marker: str
    own: bool


@dataclass(frozen=True)
class HostIdentity:
    """A host as the known-hosts files know it.

    Attributes:
        where: the host, as messages name it.
        names: its names in the files; only the first can convict it of having changed its key.
        paths: the files.
    """

    where: str
    names: tuple[str, ...]
    paths: tuple[Path, ...]
    known: tuple[KnownKey, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The types of key that it is known by: ask for these first, as OpenSSH does."""
        return tuple(dict.fromkeys(entry.key.kind for entry in self.known if not entry.marker))

    def knows(self, key: HostKey) -> bool:
        """True: `key` is this host's. False: the host is not known.

        Raises:
            HostKeyError: the key is revoked, or the host is known by other keys.
        """
        if any(entry.marker == "@revoked" and entry.key == key for entry in self.known):
            raise HostKeyError(f"{self.where}: its {key} is marked @revoked in {self._files()}. Do not go there")
        if any(not entry.marker and entry.key == key for entry in self.known):
            return True
        if self.is_known:
            raise HostKeyError(self._changed(key))
        return False

    @property
    def is_known(self) -> bool:
        """The files hold a key of this very name."""
        return any(entry.own and not entry.marker for entry in self.known)

    def remember(self, key: HostKey, path: Path) -> None:
        """Append the key of a host that is not known yet to a file; a new file is its owner's only.

        Raises:
            HostKeyError: the host is known, by another key; or the file cannot be written.
        """
        if self.is_known:
            raise HostKeyError(self._changed(key))
        line = f"{self.names[0]} {key.kind} {base64.b64encode(key.blob).decode()}\n"
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _append(path, line.encode())
        except OSError as error:
            raise HostKeyError(f"{self.where}: cannot write its {key} to {path}: {error.strerror}") from error

    def _changed(self, key: HostKey) -> str:
        old = [entry for entry in self.known if entry.own and not entry.marker]
        files = sorted({str(entry.path) for entry in old})
        forget = " and ".join(f"`{shlex.join(['ssh-keygen', '-f', path, '-R', self.names[0]])}`" for path in files)
        return (
            f"{self.where}: THE HOST KEY HAS CHANGED. It shows an {key}; {', '.join(files)} knows it by "
            f"{', '.join(str(entry.key) for entry in old)}. Somebody may be listening in, or the machine has "
            "been set up anew: ask the site. Only if they confirm it, forget the old key with "
            f"{forget} and try again"
        )

    def stranger(self, key: HostKey, *, how_to_know: str) -> str:
        """What to say of a host that is not known: its key, and the command that notes it down."""
        authority = any(entry.marker == "@cert-authority" for entry in self.known)
        why = (
            f"{self._files()} trusts a certificate authority for it, which this transport cannot check "
            "(`transport: openssh` can)"
            if authority
            else f"it is not in {self._files()}"
        )
        return (
            f"{self.where}: the host is not known: {why}. It shows an {key}. Compare that with what the site "
            f"publishes; then run {how_to_know} once, or set accept_new_host_key: true"
        )

    def _files(self) -> str:
        return " or ".join(str(path) for path in self.paths)


def identify(where: str, names: Sequence[str], paths: Sequence[Path]) -> HostIdentity:
    """What the known-hosts files say of a host. A file that is missing says nothing.

    Raises:
        HostKeyError: a file is there and cannot be read.
    """
    known = tuple(entry for path in paths for entry in _known_keys(path, names, where))
    return HostIdentity(where, tuple(names), tuple(paths), known)


def _known_keys(path: Path, names: Sequence[str], where: str) -> Iterator[KnownKey]:
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise HostKeyError(f"{where}: {path} cannot be read: {error.strerror}") from error
    for line in lines:
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#"):
            continue
        matched = [name for name in names if _matches(words[0], name)]
        key = _key(words[1], words[2]) if matched else None
        if key:
            yield KnownKey(key, path, marker, own=matched[0] == names[0])


def _key(kind: str, text: str) -> HostKey | None:
    try:
        return HostKey(kind, base64.b64decode(text, validate=True))
    except binascii.Error:
        return None  # ssh skips a broken line too; the host is then not known by it


def _matches(patterns: str, name: str) -> bool:
    """The first field of a line: the salted hash of one name, or names and patterns; ``!`` ones forbid."""
    if patterns.startswith("|"):
        return _hash_matches(patterns, name)
    found = False
    for pattern in patterns.lower().split(","):
        if _glob(pattern.removeprefix("!")).fullmatch(name):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _hash_matches(field: str, name: str) -> bool:
    try:
        _, version, salt, digest = field.split("|")
        expected = hmac.new(base64.b64decode(salt), name.encode(), "sha1").digest()
        return version == "1" and hmac.compare_digest(expected, base64.b64decode(digest))
    except ValueError:
        return False


def _glob(pattern: str) -> re.Pattern[str]:
    # Not fnmatch: in "[host]:2222" the brackets are themselves.
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."))


def _append(path: Path, line: bytes) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        whole = size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"
        os.write(descriptor, line if whole else b"\n" + line)
    finally:
        os.close(descriptor)
