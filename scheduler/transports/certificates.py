"""OpenSSH user certificates, such as sites sign for a day: which key each one is for, and whether it is valid now."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    load_ssh_public_identity,
)

from scheduler.schema.regular_file import read_settings

EXPIRED = "which expired on"
"""Part of the text that `validity_problem` returns for an expired certificate."""
_RENEWALS = {"nersc": "`sshproxy.sh` at NERSC", "cineca": "`step ssh login` at CINECA"}


def certificates_of(key: bytes, paths: Sequence[Path]) -> list[Path]:
    """The files among `paths` that hold a certificate of a key, or hold something that cannot be read.

    Args:
        key: the public key, in SSH's wire format (RFC 4253, 6.6).
        paths: files that may not exist.
    """
    found = []
    for path in dict.fromkeys(paths):
        with contextlib.suppress(OSError):
            certificate = _read(path)
            if certificate is None or _blob(certificate) == key:
                found.append(path)
    return found


def validity_problem(path: Path) -> str:
    """What is wrong with a certificate's dates, as the end of a sentence; empty if nothing is or it is unreadable."""
    try:
        certificate = _read(path)
    except OSError:
        return ""
    now = time.time()
    if certificate is None:
        return ""
    if certificate.valid_before < now:
        return f", {EXPIRED} {_date(certificate.valid_before)}"
    if certificate.valid_after > now:
        return f", which is not valid before {_date(certificate.valid_after)} (is this machine's clock right?)"
    return ""


def renewal(about: str) -> str:
    """What to do about an expired certificate.

    Args:
        about: a text with the names of the host and the key, from which the site is recognized.
    """
    known = [how for site, how in _RENEWALS.items() if site in about.lower()]
    how = known[0] if known else f"see the site's manual: {' or '.join(_RENEWALS.values())}"
    return f"Get a new certificate ({how})"


def _read(path: Path) -> SSHCertificate | None:
    try:
        identity = load_ssh_public_identity(read_settings(path))
    except (ValueError, UnsupportedAlgorithm):
        return None
    return identity if isinstance(identity, SSHCertificate) else None


def _blob(certificate: SSHCertificate) -> bytes:
    line = certificate.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return base64.b64decode(line.split()[1])


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M} UTC"
