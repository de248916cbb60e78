"""A bundle on this disk until the site has all of it: a gzipped tar, and beside it what is large. Nothing is sent here.

A large file is not copied where it can be linked: it is the user's own, and is checked not to have changed before it is
believed to be what was submitted.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from scheduler.engine.submit.upload import LARGE_BYTES, Large
from scheduler.errors import JobError, LedgerError
from scheduler.render import tar_writer
from scheduler.render.array_files import Elements, gathered

_SAMPLE_BYTES = 1 << 16
_PIECE_BYTES = 1 << 20
_INCOMPRESSIBLE = 0.9
_WORTH_ASKING_BYTES = 1 << 20
_HEADER_BYTES = 1024


def write(files: Mapping[str, bytes | Path], path: Path, *, together: Mapping[int, int] | None = None) -> None:
    """Put the files of a bundle on disk, whole or not at all.

    Args:
        files: path in the bundle → content, or the path here of a file or folder of the user.
        together: elements whose files go into one file: the first, and how many.

    Raises:
        LedgerError: it cannot be written here.
        JobError: a file of the user cannot be read.
    """
    part = path.with_suffix(".part")
    try:
        with open(part, "wb", opener=_for_me_alone) as raw:
            with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=_level(files), mtime=0) as packed:
                _Tar(packed, _folder_of(path)).write(*gathered(files, together or {}))
            raw.flush()
            os.fsync(raw.fileno())
        part.replace(path)
        _sync_names(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        discard(path)
        raise LedgerError(f"cannot write the bundle {path}: {error}; nothing was sent") from error
    except JobError:
        part.unlink(missing_ok=True)
        discard(path)
        raise


def _for_me_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_names(folder: Path) -> None:
    """The name, too, is on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def large(path: Path) -> list[Large]:
    """What of the bundle does not go in one stream; its tar is called ``bundle``."""
    found = [Large(number, _folder_of(path) / number, size) for number, (size, _, _) in _listed(path).items()]
    with contextlib.suppress(OSError):
        if (size := path.stat().st_size) >= LARGE_BYTES:
            found.append(Large("bundle", path, size))
    return found


def changed(path: Path) -> str:
    """The user's name for a large file that is not as it was; empty if all are."""
    for number, (size, moment, name) in _listed(path).items():
        try:
            now = (_folder_of(path) / number).stat()
        except OSError:
            return name
        if (now.st_size, now.st_mtime_ns) != (size, moment):
            return name
    return ""


def begun(path: Path) -> bool:
    """Was it begun before to send what is large? It is from now on."""
    mark = path.with_suffix(".begun")
    before = mark.exists()
    mark.touch(mode=0o600)
    return before


def discard(path: Path) -> None:
    """The site has it, or never will."""
    path.unlink(missing_ok=True)
    path.with_suffix(".begun").unlink(missing_ok=True)
    shutil.rmtree(_folder_of(path), ignore_errors=True)


@contextlib.contextmanager
def chunks(path: Path) -> Iterator[Iterator[bytes]]:
    """The tar piece by piece; one of nothing, if there is none any more."""
    if not path.exists():
        yield iter([NOTHING])
        return
    with path.open("rb") as file:
        yield iter(lambda: file.read(1 << 18), b"")


def _empty_tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz"):
        pass
    return buffer.getvalue()


NOTHING = _empty_tar()


def _folder_of(path: Path) -> Path:
    """Where what is large lies, by number; ``list`` tells size, time and name of each."""
    return path.with_suffix(".large")


def _listed(path: Path) -> dict[str, tuple[int, int, str]]:
    try:
        listed = json.loads((_folder_of(path) / "list").read_text())
    except FileNotFoundError:
        return {}
    return {number: (size, moment, name) for number, (size, moment, name) in listed.items()}


def _level(contents: Mapping[str, bytes | Path]) -> int:
    """To press what does not shrink costs more time than to send it; scripts and the tar's own headers do shrink."""
    files = [path for path in contents.values() if isinstance(path, Path) and path.is_file()]
    small = sorted((size, path) for path in files if (size := path.stat().st_size) < LARGE_BYTES)
    ours = sum(len(content) for content in contents.values() if isinstance(content, bytes))
    if sum(size for size, _ in small) < max(_WORTH_ASKING_BYTES, ours + _HEADER_BYTES * len(contents)):
        return 1
    sample = b""
    for _, path in small[-3:]:
        with path.open("rb") as file:
            sample += file.read(_SAMPLE_BYTES)
    return 0 if len(zlib.compress(sample, 1)) > _INCOMPRESSIBLE * len(sample) else 1


@dataclass
class _Tar:
    """A bundle as a tar that is written to `packed`, and what is large into `folder`."""

    packed: gzip.GzipFile
    folder: Path
    _large: dict[str, tuple[int, int, str]] = field(default_factory=dict)

    def write(self, files: Mapping[str, bytes | Path], elements: Iterable[Elements]) -> None:
        for name, content in files.items():
            if isinstance(content, bytes):
                self._add_bytes(name, content)
            else:
                self._add_path(name, content)
        for some in elements:
            self._add_elements(some)
        if self._large:
            self._tell()
        self.packed.write(tar_writer.END)

    def _add_bytes(self, name: str, content: bytes, *, mode: int = 0o600) -> None:
        self.packed.write(tar_writer.member(name, content, mode=mode))

    def _add_elements(self, elements: Elements) -> None:
        where = f"batches/{elements.first}"
        self._add_bytes(f"{where}/index", elements.index())
        self.packed.write(tar_writer.header(f"{where}/elements", elements.size))
        for tar in elements.tars():
            self.packed.write(tar)

    def _add(self, name: str, size: int, content: IO[bytes], *, mode: int) -> None:
        self.packed.write(tar_writer.header(name, size, mode=mode))
        left = size
        while left:
            piece = content.read(min(left, _PIECE_BYTES))
            if not piece:
                raise OSError(f"it became shorter by {left} bytes while it was read")
            self.packed.write(piece)
            left -= len(piece)
        self.packed.write(tar_writer.padding(size))

    def _add_path(self, name: str, path: Path) -> None:
        """A file of the user, links followed; a folder with all that is in it."""
        if path.is_dir():
            self.packed.write(tar_writer.header(name, 0, mode=0o700, kind=tarfile.DIRTYPE))
            for inside in sorted(path.iterdir()):
                self._add_path(f"{name}/{inside.name}", inside)
            return
        try:
            with path.open("rb", buffering=0) as content:
                status = os.fstat(content.fileno())
                beginning = content.read(_PIECE_BYTES) or b""
                mode = tar_writer.mode_of(status.st_mode, beginning)
                if len(beginning) == status.st_size < _PIECE_BYTES:
                    self._add_bytes(name, beginning, mode=mode)
                    return
                content.seek(0)
                if status.st_size >= LARGE_BYTES:
                    self._add(name, 0, content, mode=mode)  # its place
                    self._put_aside(name, path)
                else:
                    self._add(name, status.st_size, content, mode=mode)
        except OSError as error:
            raise JobError(f"the file {str(path)!r} cannot be sent: {error}") from error

    def _put_aside(self, name: str, path: Path) -> None:
        number = str(len(self._large))
        self.folder.mkdir(mode=0o700, exist_ok=True)
        aside = self.folder / number
        try:
            os.link(path.resolve(), aside)
        except OSError:  # another file system, or one without links
            shutil.copyfile(path, aside)
            with aside.open("rb") as file:
                os.fsync(file.fileno())
        status = aside.stat()
        self._large[number] = (status.st_size, status.st_mtime_ns, str(path))
        self._add_bytes(f".large/{number}", os.fsencode(name))

    def _tell(self) -> None:
        lines = "".join(f"{number} {size}\n" for number, (size, _, _) in self._large.items()).encode()
        self._add_bytes(".large/list", lines)
        with (self.folder / "list").open("w") as file:
            json.dump(self._large, file)
            file.flush()
            os.fsync(file.fileno())
