"""Array expressions such as ``0-3,7``: text to indices and back. What the indices stand for is decided elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable

_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9})(?::([0-9]{1,9}))?)?\Z")


def read_indices(text: str, *, below: int) -> list[int]:
    """Read an array expression: ``0-3,7``, ``[1-9:2%4]``.

    Args:
        text: the expression, from a cluster. ``:2`` is a step; ``%4`` (at most four tasks at once) is ignored.
        below: how many indices the array has. A range is clipped before it is expanded, so `text` cannot name more.

    Returns:
        The indices in the order of the expression, each once. Empty if `text` is not an expression.
    """
    found: dict[int, None] = {}
    left = 4 * below  # repeated ranges add nothing, and cost as much
    for part in text.strip("[]").split("%")[0].split(","):
        match = _RANGE.match(part)
        if match:
            first, last, step = int(match[1]), int(match[2] or match[1]), max(1, int(match[3] or "1"))
            numbers = range(first, min(last + 1, below), step)
            left -= len(numbers)
            if left < 0:
                break
            found.update(dict.fromkeys(numbers))
    return list(found)


def write_indices(numbers: Iterable[int]) -> str:
    """The shortest expression of these indices: ``0-3,7``."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
