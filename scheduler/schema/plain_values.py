"""Objects of a program as the plain values that a template gets: text, numbers, booleans, None, lists and dicts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any


def plain(value: object, *, depth: int = 0) -> Any:
    """`value` as text, a number, a boolean, None, a list or a dict with names as keys.

    Raises:
        TypeError: it is something else, or too deep.
    """
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return value if type(value) is kind else kind.__str__(value) if kind is str else kind(value)
    if isinstance(value, os.PathLike):
        return plain(os.fspath(value), depth=depth)
    if depth < 100 and isinstance(value, Mapping):
        return {str(key): plain(inner, depth=depth + 1) for key, inner in value.items()}
    if depth < 100 and isinstance(value, (list, tuple)):
        return [plain(inner, depth=depth + 1) for inner in value]
    for method in ("tolist", "item"):  # numpy's arrays and scalars, without importing numpy
        convert = getattr(value, method, None)
        if callable(convert) and depth < 100:
            return plain(convert(), depth=depth + 1)
    raise TypeError(f"a {type(value).__name__} is not text, a number, a list or a mapping")


def plain_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """The params that are plain values. A function's params may be any objects: no template sees these."""
    found: dict[str, Any] = {}
    for name, value in params.items():
        try:
            found[str(name)] = plain(value)
        except TypeError:
            continue
    return found
