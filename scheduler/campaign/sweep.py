"""A sweep: the combinations of `matrix:` and `zip:`. Lists in, parameters out; no word of jobs or files."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

MAX_JOBS = 100_000

_RANGE = re.compile(r"range\(([^()]*)\)\Z")
_WHOLE = re.compile(r"[-+]?[0-9]{1,18}\Z")


def combinations(
    matrix: Mapping[str, Sequence[Any]], side_by_side: Mapping[str, Sequence[Any]]
) -> list[dict[str, Any]]:
    """Every combination, as parameters: the product of `matrix` with the rows of `side_by_side`.

    The first name varies slowest, as in nested loops; the rows are the innermost loop. Without either there
    is one combination, of nothing.

    Raises:
        ValueError: there are more than `MAX_JOBS`.
    """
    rows = [dict(zip(side_by_side, row, strict=True)) for row in zip(*side_by_side.values(), strict=True)]
    axes = [[{name: value} for value in values] for name, values in matrix.items()]
    if side_by_side:
        axes.append(rows)
    if math.prod(len(axis) for axis in axes) > MAX_JOBS:
        raise ValueError(f"the sweep has more than {MAX_JOBS} combinations")
    return [{name: value for part in parts for name, value in part.items()} for parts in itertools.product(*axes)]


def listed_values(values: object) -> list[Any]:
    """What stands behind a name: a list as it is, ``range(a, b)`` or ``range(a, b, step)`` as Python counts.

    Raises:
        ValueError: neither a list nor such a range, or nothing in it.
    """
    if isinstance(values, str):
        if re.match(r"\s*range\([^)]*\Z", values):
            raise ValueError('is cut off at its comma: inside { } a range needs quotes, as "range(1, 5)"')
        values = _counted(values)
    if not isinstance(values, list):
        raise ValueError(f"must be a list, or text as 'range(1, 5)', not {str(values)[:60]!r}")
    if not values:
        raise ValueError("has no values, so that there would be no jobs")
    return values


def _counted(text: str) -> object:
    """The numbers of a range; `text` itself if it is none."""
    found = _RANGE.match(text.strip())
    parts = [part.strip() for part in found[1].split(",")] if found else []
    if not 1 <= len(parts) <= 3 or not all(_WHOLE.match(part) for part in parts):
        return text
    numbers = [int(part) for part in parts]
    if numbers[2:] == [0]:
        raise ValueError(f"the step of {text!r} is 0")
    counted = range(*numbers)
    if len(counted) > MAX_JOBS:
        raise ValueError(f"{text!r} has more than {MAX_JOBS} values")
    return list(counted)
