"""A sweep: from the lists of `matrix:` and `zip:` to the parameters of each job."""

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
    """The parameters of each job: every combination of `matrix` with the rows of `side_by_side`.

    The order is that of nested loops: the first name of `matrix` is the outermost loop, the rows are the innermost one.

    Args:
        matrix: name → values; all combinations are made.
        side_by_side: name → values, all of one length; row n has the n-th value of each.

    Returns:
        One mapping of names to values for each job; one empty mapping if both arguments are empty.

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
    """The values of a parameter: a list unchanged, or ``range(a, b)`` or ``range(a, b, step)`` as in Python.

    Raises:
        ValueError: it is neither a list nor such a range, or it is empty.
    """
    if isinstance(values, str):
        if re.match(r"\s*range\([^)]*\Z", values):
            raise ValueError('is incomplete: inside { } a range with a comma needs quotes, such as "range(1, 5)"')
        values = _counted(values)
    if not isinstance(values, list):
        found = "other text" if isinstance(values, str) else f"a {type(values).__name__}"
        raise ValueError(f"must be a list, or text such as 'range(1, 5)', not {found}")
    if not values:
        raise ValueError("has no values, so there would be no jobs")
    return values


def _counted(text: str) -> object:
    """The numbers of a range; `text` itself if it is not a range."""
    found = _RANGE.match(text.strip())
    parts = [part.strip() for part in found[1].split(",")] if found else []
    if not 1 <= len(parts) <= 3 or not all(_WHOLE.match(part) for part in parts):
        return text
    numbers = [int(part) for part in parts]
    if numbers[2:] == [0]:
        raise ValueError(f"the step of {text!r} must not be 0")
    counted = range(*numbers)
    if len(counted) > MAX_JOBS:
        raise ValueError(f"{text!r} has more than {MAX_JOBS} values")
    return list(counted)
