"""The spool: a bundle on the local disk until the site has all of it, as a gzipped tar and large files beside it.

For the bundle ``TOKEN.tar.gz`` the folder ``TOKEN.tar.large`` holds its large files by number, and ``list``, which
has the size, modification time and name of each. A large file is linked where possible: it is then the user's own
file, and is checked not to have changed before it is sent. The file ``TOKEN.tar.unsubmitted`` proves that the batch
system has nothing of the bundle (earlier versions made none). Nothing is sent here.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from scheduler.engine.submit.bundle_tar import BundleTar, compression_level
from scheduler.engine.submit.upload import LARGE_BYTES, LargeFile
from scheduler.errors import JobError, LedgerError
from scheduler.render.array_files import gathered

_CHUNK_BYTES = 1 << 18


def write(files: Mapping[str, bytes | Path], path: Path, *, together: Mapping[int, int] | None = None) -> None:
    """Write a bundle to the spool, completely or not at all.

    Args:
        files: path in the bundle → content, or the local path of a file or folder of the user.
        path: the file of the bundle in the spool.
        together: elements whose files are stored as one file: the first element → how many elements.

    Raises:
        LedgerError: the spool cannot be written.
        JobError: a file of the user cannot be read.
    """
    part = path.with_suffix(".part")
    try:
        with open(part, "wb", opener=_open_private) as raw:
            with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=compression_level(files), mtime=0) as compressed:
                BundleTar(compressed, _large_folder(path)).write(*gathered(files, together or {}))
            raw.flush()
            os.fsync(raw.fileno())
        mark_unsubmitted(path)
        part.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        discard(path)
        raise LedgerError(f"cannot write the bundle {path}: {error}; nothing was sent") from error
    except JobError:
        part.unlink(missing_ok=True)
        discard(path)
        raise


def large(path: Path) -> list[LargeFile]:
    """The files of a bundle that are uploaded ahead of it; its tar, if it is large itself, is named ``bundle``."""
    found = [LargeFile(number, _large_folder(path) / number, size) for number, (size, _, _) in _listed(path).items()]
    with contextlib.suppress(OSError):
        if (size := path.stat().st_size) >= LARGE_BYTES:
            found.append(LargeFile("bundle", path, size))
    return found


def changed(path: Path) -> str:
    """The user's path of a large file that has changed since the bundle was written; empty if none has."""
    for number, (size, modified_ns, name) in _listed(path).items():
        try:
            now = (_large_folder(path) / number).stat()
        except OSError:
            return name
        if (now.st_size, now.st_mtime_ns) != (size, modified_ns):
            return name
    return ""


def mark_upload(path: Path) -> bool:
    """Note that the upload of the large files begins.

    Returns:
        Whether that had been noted before: ranges of the files may be on the site.
    """
    mark = _upload_mark(path)
    before = mark.exists()
    mark.touch(mode=0o600)
    return before


def is_unsubmitted(path: Path) -> bool:
    """Whether it is certain that nothing of a bundle was submitted."""
    return _unsubmitted_mark(path).exists()


def mark_unsubmitted(path: Path) -> None:
    """Note that nothing of a bundle was submitted."""
    _unsubmitted_mark(path).touch(mode=0o600)


def leave(path: Path) -> None:
    """Note, on disk, that a bundle is about to be sent: from here on it may be submitted."""
    mark = _unsubmitted_mark(path)
    if mark.exists():
        mark.unlink(missing_ok=True)
        _sync_folder(path.parent)


def discard(path: Path) -> None:
    """Delete a bundle from the spool."""
    path.unlink(missing_ok=True)
    for suffix in (".begun", ".part", ".owner", ".unsubmitted"):
        path.with_suffix(suffix).unlink(missing_ok=True)
    shutil.rmtree(_large_folder(path), ignore_errors=True)


@contextlib.contextmanager
def chunks(path: Path) -> Iterator[Iterator[bytes]]:
    """The tar of a bundle in chunks; an empty tar if the bundle is no longer in the spool."""
    if not path.exists():
        yield iter([EMPTY_TAR])
        return
    with path.open("rb") as file:
        yield iter(lambda: file.read(_CHUNK_BYTES), b"")


def _empty_tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz"):
        pass
    return buffer.getvalue()


EMPTY_TAR = _empty_tar()


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, as fsync does for the content of a file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _large_folder(path: Path) -> Path:
    return path.with_suffix(".large")


def _upload_mark(path: Path) -> Path:
    return path.with_suffix(".begun")


def _unsubmitted_mark(path: Path) -> Path:
    return path.with_suffix(".unsubmitted")


def _listed(path: Path) -> dict[str, tuple[int, int, str]]:
    """Number of a large file → its size, modification time in ns, and the user's path."""
    try:
        listed = json.loads((_large_folder(path) / "list").read_text())
    except FileNotFoundError:
        return {}
    return {number: (size, modified_ns, name) for number, (size, modified_ns, name) in listed.items()}
