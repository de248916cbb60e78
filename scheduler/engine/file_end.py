"""The last lines of a text file, from its last kilobytes, whatever the size of the file and the length of its lines."""

from __future__ import annotations

from pathlib import Path

_LEAST_BYTES, _BYTES_OF_LINE, _MOST_BYTES = 64 << 10, 256, 4 << 20


def window(lines: int) -> int:
    """How many bytes of the end of a file are read for this many last lines."""
    return min(_MOST_BYTES, _LEAST_BYTES + _BYTES_OF_LINE * lines)


def end_of_file(path: Path, most: int) -> bytes:
    """The last bytes of a file, at most `most`.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - most))
        return file.read(most)


def last_lines(end: bytes, count: int) -> list[str]:
    """The last lines in the end of a text file. Bytes that are not UTF-8 are shown as escapes.

    Of a line with carriage returns (a progress bar), only the text after the last one: what a terminal shows.

    Args:
        end: the end of the file.
        count: how many lines at most.
    """
    lines = end.removesuffix(b"\n").rsplit(b"\n", count)[-count:] if end else []
    shown = (line.rstrip(b"\r").rpartition(b"\r")[2] for line in lines)
    return [line.decode("utf-8", "backslashreplace") for line in shown]
