"""Plain values, which are sent as literals, and whether a value is the one that the source gives."""

from __future__ import annotations

import functools
import math
from typing import Any

from scheduler.render.function.loaded.makers import UNKNOWN, Instance

LONGEST = 1_000_000  # characters
_MOST_PARTS = 1_000_000
SCALARS = (int, float, complex, str, bytes, bool, type(None))


class Differs(Exception):
    """A module differs from its file in a way that cannot be sent. The message says how."""


def literal(value: object, name: str) -> str:
    """A plain value as text that `ast.literal_eval` reads; numpy's scalars as plain numbers.

    Raises:
        Differs: it is no such value.
    """
    plain = plain_of(value)
    text = repr(plain) if plain is not UNKNOWN else ""
    if not text or len(text) > LONGEST:
        raise differs(name, value)
    return text


def differs(name: str, value: object) -> Differs:
    """The error: a variable has another value than its source gives it, which cannot be sent."""
    return Differs(
        f"{name}, a {type(value).__name__}, was changed after its module was imported (or the file was), and the "
        "jobs would see the value in the file: give it as a parameter, or change the file"
    )


def plain_of(value: Any) -> Any:
    """A value of numbers, text, lists, tuples, sets and dicts, with numpy's scalars as numbers; else `UNKNOWN`."""
    return _plain(value, (), [_MOST_PARTS])


def _plain(value: Any, above: tuple[int, ...], left: list[int]) -> Any:
    """`above`: the ids of the containers around it. `left`: how many more parts are looked at."""
    left[0] -= 1
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()
    if type(value) in SCALARS:
        is_finite = not isinstance(value, (float, complex)) or not (math.isinf(abs(value)) or value != value)
        return value if is_finite else UNKNOWN
    too_many = left[0] < 0 or len(above) > 50 or id(value) in above
    if too_many or type(value) not in (list, tuple, set, dict) or value == set():
        return UNKNOWN
    parts = [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)
    plain = []
    for part in parts:
        plain.append(_plain(part, (*above, id(value)), left))
        if plain[-1] is UNKNOWN:
            return UNKNOWN
    if isinstance(value, dict):
        return dict(zip(plain[: len(value)], plain[len(value) :], strict=True))
    return type(value)(plain)


def is_same(source: object, value: object) -> bool:
    """Whether a value is the one that the source gives. Objects that cannot be compared are taken to be, and so are the
    parts of the source that are `UNKNOWN`."""
    if isinstance(source, Instance):
        inner = ((known, getattr(value, name, UNKNOWN)) for name, known in source.attributes.items())
        return type(value) is source.kind and all(is_same(known, now) for known, now in inner)
    if source is UNKNOWN:
        return True
    if type(source) in (list, tuple, dict) and type(source) is type(value) and not is_known(source):
        return _has_same_parts(source, value)
    source, value = _as_plain(source), _as_plain(value)
    if type(source) is not type(value):
        return False
    if isinstance(source, functools.partial) and isinstance(value, functools.partial):
        return (source.func, source.args, source.keywords) == (value.func, value.args, value.keywords)
    if type(source) in (*SCALARS, list, tuple, set, dict):
        same_text = repr(source) == repr(value)
        return same_text or (isinstance(source, (set, dict)) and source == value)
    return _is_equal(source, value)


def is_known(value: object) -> bool:
    """Whether no part of a value is `UNKNOWN`, and it does not have too many."""
    waiting, seen = [value], dict[int, object]()
    while waiting and len(seen) < _MOST_PARTS:
        part = waiting.pop()
        if part is UNKNOWN or isinstance(part, Instance):
            return False
        if isinstance(part, (dict, list, tuple)) and id(part) not in seen:
            seen[id(part)] = part
            waiting += [*part.keys(), *part.values()] if isinstance(part, dict) else part
    return not waiting


def _has_same_parts(source: Any, value: Any) -> bool:
    try:
        if isinstance(source, dict):
            return source.keys() == value.keys() and all(is_same(source[key], value[key]) for key in source)
        return len(source) == len(value) and all(map(is_same, source, value))
    except RecursionError:  # it contains itself
        return True


def is_empty(value: object) -> bool:
    """Whether a value is one that a module may fill later."""
    if type(value) in SCALARS:
        return not value
    try:
        return len(value) == 0  # type: ignore[arg-type]
    except TypeError:
        return False


def _as_plain(value: object) -> object:
    plain = plain_of(value)
    return value if plain is UNKNOWN else plain


def _is_equal(source: Any, value: Any) -> bool:
    if type(source).__module__ == "numpy" and hasattr(source, "tobytes"):
        described = [(one.dtype, one.shape) for one in (source, value)]
        return described[0] == described[1] and (source.dtype.hasobject or source.tobytes() == value.tobytes())
    try:
        return bool(source == value) or (source != source and repr(source) == repr(value))
    except (TypeError, ValueError, ArithmeticError, AttributeError):
        return True
