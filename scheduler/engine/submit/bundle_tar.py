"""The tar of a bundle as it is written to the spool: rendered files, files of the user, empty files for large ones.

The content of large files is uploaded separately; ``.large/`` in the tar has their names. submit.sh replaces the empty
files.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from scheduler.engine.submit.upload import LARGE_BYTES
from scheduler.errors import JobError
from scheduler.render import tar_writer
from scheduler.render.array_files import Elements
from scheduler.schema.regular_file import open_regular

_CHUNK_BYTES = 1 << 20
_SAMPLE_BYTES = 1 << 16
_INCOMPRESSIBLE = 0.9
_LEAST_SAMPLED_BYTES = 1 << 20
_HEADER_BYTES = 1024


def compression_level(files: Mapping[str, bytes | Path]) -> int:
    """The gzip level for a bundle: 0 if its files are mostly incompressible, which a sample of them shows; else 1.

    Scripts and tar headers compress well, so a sample is taken only if files of the user make up most of the bundle.
    """
    paths = [path for path in files.values() if isinstance(path, Path) and path.is_file()]
    small = sorted((size, path) for path in paths if (size := path.stat().st_size) < LARGE_BYTES)
    rendered = sum(len(content) for content in files.values() if isinstance(content, bytes))
    if sum(size for size, _ in small) < max(_LEAST_SAMPLED_BYTES, rendered + _HEADER_BYTES * len(files)):
        return 1
    sample = b""
    for _, path in small[-3:]:
        with path.open("rb") as file:
            sample += file.read(_SAMPLE_BYTES)
    return 0 if len(zlib.compress(sample, 1)) > _INCOMPRESSIBLE * len(sample) else 1


@dataclass
class BundleTar:
    """Writes a bundle.

    Attributes:
        compressed: where the tar is written to.
        folder: where large files are stored, by number, with a ``list`` of them.
    """

    compressed: gzip.GzipFile
    folder: Path
    _large: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    _open_folders: list[tuple[int, int]] = field(default_factory=list)

    def write(self, files: Mapping[str, bytes | Path], elements: Iterable[Elements]) -> None:
        """Write all of it.

        Args:
            files: path in the bundle → content, or the local path of a file or folder of the user.
            elements: elements whose files are stored as one file.

        Raises:
            OSError: it cannot be written.
            JobError: a file of the user cannot be read.
        """
        for name, content in files.items():
            if isinstance(content, bytes):
                self._add_bytes(name, content)
            else:
                self._add_path(name, content)
        for some in elements:
            self._add_elements(some)
        if self._large:
            self._list_large()
        self.compressed.write(tar_writer.END)

    def _add_bytes(self, name: str, content: bytes, *, mode: int = 0o600) -> None:
        self.compressed.write(tar_writer.member(name, content, mode=mode))

    def _add_elements(self, elements: Elements) -> None:
        folder = f"batches/{elements.first}"
        self._add_bytes(f"{folder}/index", elements.index())
        self.compressed.write(tar_writer.header(f"{folder}/elements", elements.size))
        for tar in elements.tars():
            self.compressed.write(tar)

    def _add_stream(self, name: str, size: int, content: IO[bytes], *, mode: int) -> None:
        self.compressed.write(tar_writer.header(name, size, mode=mode))
        left = size
        while left:
            chunk = content.read(min(left, _CHUNK_BYTES))
            if not chunk:
                raise OSError(f"it became shorter by {left} bytes while it was read")
            self.compressed.write(chunk)
            left -= len(chunk)
        self.compressed.write(tar_writer.padding(size))

    def _add_path(self, name: str, path: Path) -> None:
        """A file of the user, with links followed, or a folder with everything in it."""
        try:
            if path.is_dir():
                self._add_folder(name, path)
                return
            with open_regular(path) as content:
                self._add_file(name, path, content)
        except OSError as error:
            raise JobError(f"the file {str(path)!r} cannot be sent: {error.strerror or error}") from error

    def _add_folder(self, name: str, path: Path) -> None:
        itself = path.stat()
        if (itself.st_dev, itself.st_ino) in self._open_folders:
            raise OSError(0, "a link leads back to a folder that contains it")
        self._open_folders.append((itself.st_dev, itself.st_ino))
        self.compressed.write(tar_writer.header(name, 0, mode=0o700, kind=tarfile.DIRTYPE))
        for inside in sorted(path.iterdir()):
            self._add_path(f"{name}/{inside.name}", inside)
        self._open_folders.pop()

    def _add_file(self, name: str, path: Path, content: IO[bytes]) -> None:
        status = os.fstat(content.fileno())
        beginning = content.read(_CHUNK_BYTES) or b""
        mode = tar_writer.mode_of(status.st_mode, beginning)
        if len(beginning) == status.st_size < _CHUNK_BYTES:
            self._add_bytes(name, beginning, mode=mode)
            return
        content.seek(0)
        if status.st_size >= LARGE_BYTES:
            self._add_stream(name, 0, content, mode=mode)
            self._put_aside(name, path)
        else:
            self._add_stream(name, status.st_size, content, mode=mode)

    def _put_aside(self, name: str, path: Path) -> None:
        number = str(len(self._large))
        self.folder.mkdir(mode=0o700, exist_ok=True)
        aside = self.folder / number
        try:
            os.link(path.resolve(), aside)
        except OSError:  # another file system, or one that does not support hard links
            shutil.copyfile(path, aside)
            with aside.open("rb") as file:
                os.fsync(file.fileno())
        status = aside.stat()
        self._large[number] = (status.st_size, status.st_mtime_ns, str(path))
        self._add_bytes(f".large/{number}", os.fsencode(name))

    def _list_large(self) -> None:
        lines = "".join(f"{number} {size}\n" for number, (size, _, _) in self._large.items()).encode()
        self._add_bytes(".large/list", lines)
        with (self.folder / "list").open("w") as file:
            json.dump(self._large, file)
            file.flush()
            os.fsync(file.fileno())
