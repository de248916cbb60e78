"""Array expressions such as ``0-3,7``: text to indices and back. What the indices stand for is decided elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable

from scheduler.job.numerals import is_number

MOST_INDICES = 4_000_001
"""The most indices of one expression: Slurm's upper bound of an array index (``MaxArraySize``), plus one."""
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9})(?::([0-9]{1,9}))?)?\Z")


def read_indices(text: str) -> list[int]:
    """Read an array expression: ``0-3,7``, ``[1-9:2%4]``.

    Args:
        text: the expression. ``:2`` is a step; ``%4`` (at most four tasks at once) is ignored.

    Returns:
        The indices in the order of the expression. Empty if `text` is not an expression or has too many indices.
    """
    if is_number(text):
        return [int(text)]
    found: list[int] = []
    for part in text.strip("[]").split("%")[0].split(","):
        match = _RANGE.match(part)
        if match:
            first, last, step = match[1], match[2] or match[1], match[3] or "1"
            numbers = range(int(first), int(last) + 1, max(1, int(step)))
            if len(found) + len(numbers) > MOST_INDICES:
                return []
            found.extend(numbers)
    return found


def write_indices(numbers: Iterable[int]) -> str:
    """The shortest expression of these indices: ``0-3,7``."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
