"""The files of all jobs of a batch in one file: a small tar for each job, one after the other.

A shared file system is slowest with thousands of small files. Each job unpacks its own files when it starts
(``render/runtime/element.sh``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path

from scheduler.errors import JobError
from scheduler.render import tar_writer
from scheduler.schema.regular_file import open_regular

SMALL_BYTES = 1 << 16
"""The largest input file that travels in its job's tar. A larger one would take its space twice on the cluster."""
Content = bytes | Path


@dataclass
class Elements:
    """The files of jobs `first`, `first` + 1, … of a bundle.

    Attributes:
        first: the number of the first job.
        files: for each job, the name in its folder → content, or a local path.
    """

    first: int
    files: Sequence[Mapping[str, Content]] = field(repr=False)
    _sizes: dict[Path, int] = field(default_factory=dict)

    @cached_property
    def _blocks(self) -> list[int]:
        sizes = ((self._size(content) for content in files.values()) for files in self.files)
        return [_END_BLOCKS + sum(1 + tar_writer.blocks(size) for size in some) for some in sizes]

    @property
    def size(self) -> int:
        """The size of all tars together, in bytes."""
        return sum(self._blocks) * tar_writer.BLOCK_BYTES

    def index(self) -> bytes:
        """A line for each job: the offset and the length of its tar, in blocks of 512 bytes."""
        begins = accumulate(self._blocks, initial=0)
        return "".join(f"{at} {count}\n" for at, count in zip(begins, self._blocks, strict=False)).encode()

    def tars(self) -> Iterator[bytes]:
        """The tar of each job; `index` has its length.

        Raises:
            JobError: a file of the user cannot be read, or its size has changed.
        """
        for files in self.files:
            parts: list[bytes] = []
            for name, content in files.items():
                found, mode = (content, 0o600) if isinstance(content, bytes) else self._read(content)
                parts.append(tar_writer.member(name, found, mode=mode))
            yield b"".join([*parts, tar_writer.END])

    def _size(self, content: Content) -> int:
        if isinstance(content, bytes):
            return len(content)
        if content not in self._sizes:
            try:
                self._sizes[content] = content.stat().st_size
            except OSError as error:
                raise JobError(f"the file {str(content)!r} cannot be sent: {error}") from error
        return self._sizes[content]

    def _read(self, path: Path) -> tuple[bytes, int]:
        try:
            with open_regular(path) as file:
                found = file.read(self._size(path) + 1)
                mode = tar_writer.mode_of(os.fstat(file.fileno()).st_mode, found)
        except OSError as error:
            raise JobError(f"the file {str(path)!r} cannot be sent: {error}") from error
        if len(found) != self._size(path):
            raise JobError(f"the file {str(path)!r} cannot be sent: it changed while it was read; submit again")
        return found, mode


_END_BLOCKS = tar_writer.blocks(len(tar_writer.END))


def gathered(files: Mapping[str, Content], together: Mapping[int, int]) -> tuple[dict[str, Content], list[Elements]]:
    """Separate the files of jobs that travel together from all other files of a bundle.

    Args:
        files: path in the bundle → content, or a local path.
        together: the first job of a batch → the number of its jobs.

    Returns:
        The other files, and the files of each batch in `together`.
    """
    owners = {str(n): (first, n - first) for first, count in together.items() for n in range(first, first + count)}
    found: dict[int, list[dict[str, Content]]] = {first: [{} for _ in range(n)] for first, n in together.items()}
    alone: dict[str, Content] = {}
    for path, content in files.items():
        folder, _, name = path.partition("/")
        if name and folder in owners:
            first, number = owners[folder]
            found[first][number][name] = content
        else:
            alone[path] = content
    return alone, [Elements(first, files) for first, files in found.items()]
