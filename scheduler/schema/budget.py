"""What a template may cost: a budget of steps and of memory for each rendering.

A step is about a microsecond of work. Text and values that a template makes are charged when they are made, and large
ones are refused before they are made: each operation whose result can be larger than its operands has an estimate here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, Sequence, ValuesView
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jinja2.exceptions import SecurityError

MAX_STEPS = 1_000_000
MAX_CHARACTERS = 12_000_000
"""Text that one rendering makes, intermediate results included. A value counts as much as 32 characters."""
MAX_DEPTH = 100
MAX_BITS = 4096
MAX_WIDTH = 10_000
_VALUE = 32
_LARGE_NUMBER = (1 << 61) - 1
VIEWS = (KeysView, ItemsView, ValuesView)
_ITERABLES = (list, tuple, set, frozenset, *VIEWS)
_SPEC = re.compile(r"%(?:\([^()]*\))?[#0\- +]*(?P<width>\*|[0-9]*)(?:\.(?P<digits>\*|[0-9]*))?")


class Refused(SecurityError):
    """A template does what it may not do, or costs too much. The message contains no value."""


class Budget:
    """What is left for one rendering."""

    def __init__(self) -> None:
        self._steps, self._characters = MAX_STEPS, MAX_CHARACTERS

    def spend(self, steps: int) -> None:
        """Take steps.

        Raises:
            Refused: too few are left.
        """
        self._steps -= steps
        if self._steps < 0:
            raise Refused(
                "its loops and calls take too long (more than a million steps); use shorter loops, or compute in"
                " the job itself"
            )

    def require(self, characters: int) -> None:
        """Check that a result of this size can be made.

        Raises:
            Refused: it would be too large.
        """
        if characters > self._characters:
            raise Refused(
                f"it makes more than {MAX_CHARACTERS // 1_000_000} million characters of text or as much data; make"
                " less, or make it in the job itself"
            )

    def take(self, characters: int) -> None:
        """Charge a result that was made."""
        self.require(characters)
        self._characters -= characters

    def size(self, value: object) -> int:
        """The size of a value in characters, its inner values counted as often as they occur; each costs a step.

        Raises:
            Refused: the value is nested too deeply, or too large.
        """
        if isinstance(value, str):
            self.spend(1 + (len(value) >> 6))
            return len(value)
        total, inner = 0, [(value, 0)]
        while inner:
            one, depth = inner.pop()
            total += _VALUE
            if isinstance(one, str):
                total += len(one)
                self.spend(1 + (len(one) >> 6))
                continue
            self.spend(1)
            if depth > MAX_DEPTH:
                raise Refused(f"a value is nested more than {MAX_DEPTH} levels deep; make it flat")
            if isinstance(one, dict):
                self.spend(2 * len(one))
                inner += [(part, depth + 1) for pair in one.items() for part in pair]
            elif isinstance(one, _ITERABLES):
                self.spend(len(one))
                inner += [(part, depth + 1) for part in one]
            elif isinstance(one, range):
                self.spend(len(one))
                total += _VALUE * len(one)
        return total

    def made(self, value: Any) -> Any:
        """A new value, charged. An iterator becomes a list.

        Raises:
            Refused: it is too large.
        """
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise Refused("a number has more than 1200 digits; use smaller ones")
        if isinstance(value, Iterator):
            value = list(self._charged(value))
        elif not isinstance(value, (int, float)) and value is not None:
            self.take(self.size(value))
        return value

    def _charged(self, values: Iterator[Any]) -> Iterator[Any]:
        for value in values:
            self.spend(1)
            self.take(_VALUE + (len(value) if isinstance(value, (str, list)) else 0))
            yield value


_current: ContextVar[Budget] = ContextVar("budget of the rendering")


@contextmanager
def limited() -> Iterator[None]:
    """A context in which one template is compiled or rendered, with a budget of its own."""
    before = _current.set(Budget())
    try:
        yield
    finally:
        _current.reset(before)


def budget() -> Budget:
    """The budget of the rendering that runs now in this thread."""
    return _current.get()


def number(value: object) -> int:
    """An integer of an argument as a width or count; 0 for anything else."""
    return abs(int(value)) if isinstance(value, int) else 0


def _width(args: Sequence[Any]) -> int:
    widths = [number(value) for value in args[1:]] + [0]
    if max(widths) > MAX_WIDTH:
        raise Refused(f"a width or count is above {MAX_WIDTH}; use a smaller one")
    return max(widths)


def _split(args: Sequence[Any]) -> int:
    """For text that becomes a list: each piece is a value."""
    if not isinstance(args[0], str):
        return 0
    text, separator = args[0], args[1] if len(args) > 1 else None
    return _VALUE * (1 + (text.count(separator) if separator and isinstance(separator, str) else len(text)))


def _hashed(args: Sequence[Any]) -> int:
    """For values that are hashed together. Whole numbers from 2**61 - 1 on may all have one hash, which takes long."""
    inner: list[Any] = list(args)
    while inner:
        one = inner.pop()
        if isinstance(one, int) and abs(one) >= _LARGE_NUMBER:
            budget().spend(200)
        elif isinstance(one, _ITERABLES):
            inner += one
        elif isinstance(one, dict):
            inner += one.items()
    return 0


def _padded(args: Sequence[Any]) -> int:
    return _width(args)


def _per_line(args: Sequence[Any]) -> int:
    """For indent: so many characters, or this text, are added to each line."""
    text = str(args[0]) if isinstance(args[0], str) else ""
    added = max([_width(args), *(len(value) for value in args[1:] if isinstance(value, str))])
    return len(text) + (len(text.splitlines()) + 1) * added


def _per_tab(args: Sequence[Any]) -> int:
    return int(len(args[0]) + args[0].count("\t") * max(8, _width(args)))


def _replaced(args: Sequence[Any]) -> int:
    if len(args) < 3 or not all(isinstance(value, str) for value in args[:3]):
        return 8 * sum(budget().size(value) for value in args)
    text, old, new = args[:3]
    return len(text) + (text.count(old) if old else len(text) + 1) * len(new)


def _joined(args: Sequence[Any]) -> int:
    """For the filter join: values, then the text between them. Values that are no text are written out."""
    total = budget().size(args[0])
    between = args[1] if len(args) > 1 else ""
    count = len(args[0]) if hasattr(args[0], "__len__") else total
    return total + count * (len(between) if isinstance(between, str) else budget().size(between))


def _joined_by(args: Sequence[Any]) -> int:
    return _joined_text([args[1], args[0]]) if len(args) == 2 else 0


def _wrapped(args: Sequence[Any]) -> int:
    budget().spend(budget().size(args[0]))  # textwrap looks at each character
    return sum((len(args[0]) + 1) * (1 + len(value)) for value in args[1:] if isinstance(value, str))


def _batched(args: Sequence[Any]) -> int:
    return _split(args[:1]) + _VALUE * _width(args)


def _rounded(args: Sequence[Any]) -> int:
    if any(number(value) > 300 for value in args[1:]):
        raise Refused("a precision is above 300 digits; use a smaller one")
    return 0


def _escaped(args: Sequence[Any]) -> int:
    return 6 * budget().size(args[0])


def _indented_json(args: Sequence[Any]) -> int:
    return _escaped(args) + budget().size(args[0]) // _VALUE * _width(args) * 4


def _by_attribute(args: Sequence[Any]) -> int:
    """For filters that follow a dotted name in each of the values."""
    dots = sum(value.count(".") for value in args[1:] if isinstance(value, str))
    budget().spend((1 + dots) * (budget().size(args[0]) // _VALUE))
    return 0


def _listed(args: Sequence[Any]) -> int:
    return max(_split(args[:1]), _by_attribute(args))


def _unique(args: Sequence[Any]) -> int:
    return max(_hashed(args), _listed(args))


def _joined_text(args: Sequence[Any]) -> int:
    return max(_split(args[:1]), _joined(args))


def _summed(args: Sequence[Any]) -> int:
    if any(isinstance(value, (list, tuple)) for value in args[1:]):
        raise Refused("sum adds numbers only; use + or join for text and lists")
    return _by_attribute(args)


def formatted(args: Sequence[Any]) -> int:
    """For ``%`` formats: the text, then its values."""
    text, values = str(args[0]), args[1:]
    total, count = len(text), text.count("%")
    for found in _SPEC.finditer(text):
        budget().spend(2)
        for width in (found["width"], found["digits"]):
            if width == "*" or (width and (len(width) > 5 or int(width) > MAX_WIDTH)):
                raise Refused(f"a width in a format is above {MAX_WIDTH} or '*'; use a smaller one")
            total += int(width or 0)
    if re.search(r"%\([^()]*\(", text):
        raise Refused("a name in a format contains a parenthesis; use names without")
    return total + count * sum(budget().size(value) for value in values)


ESTIMATES: Mapping[str, Callable[[Sequence[Any]], int]] = {
    **dict.fromkeys(("center", "ljust", "rjust", "zfill"), _padded),
    **dict.fromkeys(("escape", "e", "forceescape", "urlencode", "xmlattr", "quote", "pprint"), _escaped),
    **dict.fromkeys(
        ("map", "sort", "groupby", "selectattr", "rejectattr", "min", "max", "select", "reject", "list", "reverse"),
        _listed,
    ),
    **dict.fromkeys(("title", "wordcount", "split", "rsplit", "splitlines"), _split),
    "unique": _unique, "dict": _hashed, "key": _hashed, "join": _joined_text, "join by": _joined_by,
    "indent": _per_line, "expandtabs": _per_tab, "replace": _replaced,
    "wordwrap": _wrapped, "batch": _batched, "slice": _batched, "round": _rounded, "tojson": _indented_json,
    "sum": _summed, "format": formatted,
}  # fmt: skip
"""Filter or method → the size of its result, computed from its operands before it is made."""
