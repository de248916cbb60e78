"""The headers and padding of a tar that is written here, for very many small files. No word of what they are."""

from __future__ import annotations

import tarfile

BLOCK_BYTES = tarfile.BLOCKSIZE
END = bytes(2 * tarfile.BLOCKSIZE)
"""What stands behind the last file."""
_NAME_BYTES = 100
_REST = b"ustar  \0".ljust(255, b"\0")
"""Of a GNU header, from behind the link's name: no owner, no device."""


def header(name: str, size: int, *, mode: int = 0o600, kind: bytes = tarfile.REGTYPE) -> bytes:
    """What stands before a file of this name, whose time is 1970 and whose owner is whoever unpacks it.

    ``tarfile`` makes the same bytes (it is asked for what is long), and takes ten times as long.
    """
    raw = (name + "/" if kind == tarfile.DIRTYPE else name).encode("utf-8", "surrogateescape")
    if len(raw) > _NAME_BYTES or size >= 8**11:
        return _by_tarfile(name, size, mode, kind)
    head = b"%b%07o\0000000000\0000000000\0%011o\00000000000000\0" % (raw.ljust(_NAME_BYTES, b"\0"), mode, size)
    checksum = sum(head) + _SUM_OF_REST + kind[0]
    return b"%b%06o\0 %b%b%b" % (head, checksum, kind, _NO_LINK, _REST)


_NO_LINK = bytes(_NAME_BYTES)
_SUM_OF_REST = sum(_REST) + 8 * ord(" ")
"""The checksum is taken as if it were itself eight spaces."""


def _by_tarfile(name: str, size: int, mode: int, kind: bytes) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.type = size, mode, kind
    return member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def member(name: str, content: bytes, *, mode: int = 0o600) -> bytes:
    """A whole file: what stands before it, its bytes, what stands behind."""
    return b"".join([header(name, len(content), mode=mode), content, padding(len(content))])


def mode_of(permissions: int, beginning: bytes) -> int:
    """Of a file of the user over there: its owner's alone, to be run if it is here, or if it says by what."""
    return 0o700 if permissions & 0o100 or beginning[:2] == b"#!" else 0o600


def padding(size: int) -> bytes:
    """What stands behind a file of this size, up to the next block."""
    return bytes(-size % tarfile.BLOCKSIZE)


def blocks(size: int) -> int:
    """How many blocks a file of this size fills."""
    return -(-size // tarfile.BLOCKSIZE)
