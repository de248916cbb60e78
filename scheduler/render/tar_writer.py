"""Headers and padding of a tar, written fast for very many small files. It does not know what the files are for."""

from __future__ import annotations

import tarfile

BLOCK_BYTES = tarfile.BLOCKSIZE
END = bytes(2 * tarfile.BLOCKSIZE)
"""The end of a tar, after the last file."""
_NAME_BYTES = 100
_REST = b"ustar  \0".ljust(255, b"\0")
"""The rest of a GNU header, after the link name: no owner, no device."""


def header(name: str, size: int, *, mode: int = 0o600, kind: bytes = tarfile.REGTYPE) -> bytes:
    """The header of a file. Its time is 1970, and its owner is the user who unpacks it.

    ``tarfile`` makes the same bytes, but takes ten times as long. It is used only for long names and huge files.

    Args:
        name: path in the tar.
        size: of the content, in bytes.
        mode: permissions.
        kind: a type of ``tarfile``, such as ``tarfile.DIRTYPE``.
    """
    raw = (name + "/" if kind == tarfile.DIRTYPE else name).encode("utf-8", "surrogateescape")
    if len(raw) > _NAME_BYTES or size >= 8**11:
        return _by_tarfile(name, size, mode, kind)
    head = b"%b%07o\0000000000\0000000000\0%011o\00000000000000\0" % (raw.ljust(_NAME_BYTES, b"\0"), mode, size)
    checksum = sum(head) + _SUM_OF_REST + kind[0]
    return b"%b%06o\0 %b%b%b" % (head, checksum, kind, _NO_LINK, _REST)


_NO_LINK = bytes(_NAME_BYTES)
_SUM_OF_REST = sum(_REST) + 8 * ord(" ")
"""The checksum is computed as if its own field held eight spaces."""


def _by_tarfile(name: str, size: int, mode: int, kind: bytes) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.type = size, mode, kind
    return member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def member(name: str, content: bytes, *, mode: int = 0o600) -> bytes:
    """A whole file: header, content, padding."""
    return b"".join([header(name, len(content), mode=mode), content, padding(len(content))])


def mode_of(permissions: int, beginning: bytes) -> int:
    """Remote permissions of a user's file: the owner's only. Executable if it is so locally or has a ``#!`` line."""
    return 0o700 if permissions & 0o100 or beginning[:2] == b"#!" else 0o600


def padding(size: int) -> bytes:
    """The bytes after a file of this size, up to the next block."""
    return bytes(-size % tarfile.BLOCKSIZE)


def blocks(size: int) -> int:
    """The number of blocks that a file of this size fills."""
    return -(-size // tarfile.BLOCKSIZE)
