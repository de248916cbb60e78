"""The files of an array's elements, or of a node's jobs, in one file: a small tar of each, one behind the other.

Thousands of small files are what a shared file system is slowest at. Each job unpacks its own where it runs, when it
begins (`remote/element.sh`).
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

SMALL_BYTES = 1 << 16
"""An input file of one job travels so if it is no larger: it would lie there twice."""
Content = bytes | Path


@dataclass
class Elements:
    """Elements `first`, `first` + 1, … of a bundle. `files`: of each, name in its folder → content."""

    first: int
    files: Sequence[Mapping[str, Content]]
    _sizes: dict[Path, int] = field(default_factory=dict)

    @cached_property
    def _blocks(self) -> list[int]:
        sizes = ((self._size(content) for content in files.values()) for files in self.files)
        return [_END_BLOCKS + sum(1 + tar_writer.blocks(size) for size in some) for some in sizes]

    @property
    def size(self) -> int:
        """Of all their tars together, in bytes."""
        return sum(self._blocks) * tar_writer.BLOCK_BYTES

    def index(self) -> bytes:
        """A line for each: where its tar begins and how long it is, in blocks of 512 bytes."""
        begins = accumulate(self._blocks, initial=0)
        return "".join(f"{at} {count}\n" for at, count in zip(begins, self._blocks, strict=False)).encode()

    def tars(self) -> Iterator[bytes]:
        """The tar of each, of the length that its index says.

        Raises:
            JobError: a file of the user cannot be read, or is no longer what it was.
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
            with path.open("rb") as file:
                found = file.read(self._size(path) + 1)
                mode = tar_writer.mode_of(os.fstat(file.fileno()).st_mode, found)
        except OSError as error:
            raise JobError(f"the file {str(path)!r} cannot be sent: {error}") from error
        if len(found) != self._size(path):
            raise JobError(f"the file {str(path)!r} cannot be sent: it changed while it was read; submit again")
        return found, mode


_END_BLOCKS = tar_writer.blocks(len(tar_writer.END))


def gathered(files: Mapping[str, Content], together: Mapping[int, int]) -> tuple[dict[str, Content], list[Elements]]:
    """The files of a bundle that go by themselves, and those of elements that go together.

    Args:
        files: path in the bundle → content.
        together: first element → how many.
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
