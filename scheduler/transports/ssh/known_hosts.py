"""Host key verification with OpenSSH's known_hosts files (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT). No connection here.

Paramiko's own reader is not used: it ignores patterns (``*.site.gov``) and ``@revoked`` lines, and reads only the first
of several keys of one type, which the login nodes behind one name often have.
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
from itertools import pairwise
from pathlib import Path

from scheduler.errors import HostKeyError
from scheduler.schema.regular_file import read_settings

_REVOKED_ADVICE = "ask the site's support for its present key, by another way than this host"
_CHANGED_ADVICE = "ask the site whether its host key has changed, and compare the new fingerprint with theirs"
_KRL = b"SSHKRL\n\0"
_KIND_NAMES = {"ssh-ed25519": "ED25519", "ssh-rsa": "RSA"}


@dataclass(frozen=True)
class HostKey:
    """A public key.

    Attributes:
        kind: its type, such as ``ssh-ed25519``.
        blob: its bytes in SSH's wire format.
    """

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """The SHA-256 fingerprint, as ``ssh`` and ``ssh-keygen -l`` print it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    def __str__(self) -> str:
        name = "ECDSA" if self.kind.startswith("ecdsa-") else _KIND_NAMES.get(self.kind, self.kind)
        return f"{name} key {self.fingerprint}"


@dataclass(frozen=True)
class KnownKey:
    """A line of a known_hosts file that matches a host.

    Attributes:
        key: the key in the line.
        path: the file.
        marker: ``@revoked``, ``@cert-authority`` or empty.
        own: the line matches the most specific name of the host.
    """

    key: HostKey
    path: Path
    marker: str
    own: bool


@dataclass(frozen=True)
class HostIdentity:
    """What the known_hosts files have on a host.

    Attributes:
        where: the host's name in messages.
        names: its names in the files, the most specific first; only that one can prove a changed key.
        paths: the files.
        known: the lines that match one of the names.
    """

    where: str
    names: tuple[str, ...]
    paths: tuple[Path, ...]
    known: tuple[KnownKey, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The types of its known keys; the key exchange must prefer them, as OpenSSH does."""
        return tuple(dict.fromkeys(entry.key.kind for entry in self.known if not entry.marker))

    def knows(self, key: HostKey) -> bool:
        """Verify the host's key.

        Returns:
            True if the files have this key for the host, False if the host is unknown.

        Raises:
            HostKeyError: the key is revoked, or the files have other keys for the host.
        """
        if any(entry.marker == "@revoked" and entry.key == key for entry in self.known):
            files = " and ".join(sorted({str(one.path) for one in self.known if one.marker and one.key == key}))
            raise _revoked(self.where, key, f"is marked @revoked in {files}")
        if any(not entry.marker and entry.key == key for entry in self.known):
            return True
        if self.is_known:
            raise HostKeyError(self._changed(key), advice=_CHANGED_ADVICE)
        return False

    @property
    def is_known(self) -> bool:
        """The files have a key for the host's most specific name."""
        return any(entry.own and not entry.marker for entry in self.known)

    def remember(self, key: HostKey, path: Path) -> None:
        """Append the key of an unknown host to a known_hosts file; a new file gets mode 600.

        Raises:
            HostKeyError: the files have another key for the host, or the file cannot be written.
        """
        if self.is_known:
            raise HostKeyError(self._changed(key), advice=_CHANGED_ADVICE)
        line = f"{self.names[0]} {key.kind} {base64.b64encode(key.blob).decode()}\n"
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _append(path, line.encode())
        except OSError as error:
            raise HostKeyError(f"{self.where}: cannot write its {key} to {path}: {error.strerror}") from error

    def _changed(self, key: HostKey) -> str:
        old = [entry for entry in self.known if entry.own and not entry.marker]
        files = sorted({str(entry.path) for entry in old})
        remove = " and ".join(f"`{shlex.join(['ssh-keygen', '-f', path, '-R', self.names[0]])}`" for path in files)
        return (
            f"{self.where}: host key verification failed: REMOTE HOST IDENTIFICATION HAS CHANGED. The host sent its "
            f"{key}, but {', '.join(files)} has for it: {', '.join(str(entry.key) for entry in old)}. This may be a "
            "man-in-the-middle attack, or the host was reinstalled: ask the site. Only if the site confirms the new "
            f"key, remove the old one with {remove} and retry"
        )

    def unknown_host(self, key: HostKey, *, ssh_command: str) -> str:
        """The message for an unknown host: its key, and the ssh command that adds the key to known_hosts."""
        authority = any(entry.marker == "@cert-authority" for entry in self.known)
        why = (
            f"{self._files()} trusts a certificate authority for it, and `transport: ssh` does not support host "
            "certificates (`transport: openssh` does)"
            if authority
            else f"it is not in {self._files()}"
        )
        return (
            f"{self.where}: host key verification failed: the host is unknown: {why}. The host sent its {key}. Compare "
            f"the fingerprint with the one that the site publishes; then run {ssh_command} once, or set "
            "accept_new_host_key: true"
        )

    def _files(self) -> str:
        return " or ".join(str(path) for path in self.paths)


def refuse_revoked(where: str, key: HostKey, paths: Sequence[Path]) -> None:
    """Check the key of a host against the files of ssh_config's RevokedHostKeys: one public key on each line.

    Raises:
        HostKeyError: the key is in one of them; or a file cannot be read, or is a key revocation list (KRL): then no
            key is accepted, as by ssh for a file that it cannot read.
    """
    for path in paths:
        try:
            content = read_settings(path)
        except OSError as error:
            raise _unusable(where, path, f"cannot be read: {error.strerror}") from error
        if content.startswith(_KRL):
            raise _unusable(where, path, "is a key revocation list (KRL), which `transport: ssh` does not support")
        for line in content.decode("utf-8", "replace").splitlines():
            words = line.split()
            if any(_key(kind, text) == key for kind, text in pairwise(words) if not line.lstrip().startswith("#")):
                raise _revoked(where, key, f"is listed in {path} (RevokedHostKeys)")


def _revoked(where: str, key: HostKey, why: str) -> HostKeyError:
    return HostKeyError(
        f"{where}: host key verification failed: its {key} {why}: whoever has this key may pretend to be the host. "
        f"Do not connect to this host. {_REVOKED_ADVICE[:1].upper()}{_REVOKED_ADVICE[1:]}",
        advice=_REVOKED_ADVICE,
    )


def _unusable(where: str, path: Path, why: str) -> HostKeyError:
    do = "correct RevokedHostKeys in your ssh_config, or set `transport: openssh`"
    return HostKeyError(
        f"{where}: host key verification failed: {path}, which RevokedHostKeys names, {why}; so no host key is "
        f"accepted. {do[:1].upper()}{do[1:]}",
        advice=do,
    )


def identify(where: str, names: Sequence[str], paths: Sequence[Path]) -> HostIdentity:
    """Look a host up in known_hosts files.

    Args:
        where: the host's name in messages.
        names: its names in the files, in lower case, the most specific first.
        paths: the files; a missing one counts as empty.

    Raises:
        HostKeyError: a file exists and cannot be read.
    """
    known = tuple(entry for path in paths for entry in _known_keys(path, names, where))
    return HostIdentity(where, tuple(names), tuple(paths), known)


def _known_keys(path: Path, names: Sequence[str], where: str) -> Iterator[KnownKey]:
    try:
        lines = read_settings(path).decode("utf-8", "replace").splitlines()
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
        return None  # ssh ignores a malformed line, too


def _matches(patterns: str, name: str) -> bool:
    """Whether the first field of a line matches: a hashed name, or a list of patterns, negated ones with ``!``."""
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
    # Not fnmatch: the brackets of "[host]:2222" are literal.
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."))


def _append(path: Path, line: bytes) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        whole = size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"
        os.write(descriptor, line if whole else b"\n" + line)
    finally:
        os.close(descriptor)
