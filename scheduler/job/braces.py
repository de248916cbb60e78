"""Braces in output patterns, expanded as bash does: ``{a,b}.root``, nested ones, ``{1..3}``, ``{01..10..3}``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice, product

from scheduler.job.patterns import pieces

MOST_PATTERNS = 10_000
"""How many patterns one may expand to."""
DEEPEST = 20
"""How deep braces may be nested."""
_NUMBERS = re.compile(r"(-?\d{1,9})\.\.(-?\d{1,9})(?:\.\.(-?\d{1,9}))?\Z")
_LETTERS = re.compile(r"([A-Za-z])\.\.([A-Za-z])(?:\.\.(-?\d{1,9}))?\Z")


def expanded(pattern: str) -> list[str]:
    """The patterns that one with braces stands for. Braces in a class, ``[{]``, are characters.

    Raises:
        ValueError: a brace without its partner, a pair that holds no comma and no range, or too many patterns.
    """
    found, rest = _sequence(list(pieces(pattern)), depth=0)
    if rest:
        raise ValueError("'}' without '{'; write [}] for a brace in a name")
    texts = list(islice(found, MOST_PATTERNS + 1))
    if len(texts) > MOST_PATTERNS:
        raise _too_many()
    return list(dict.fromkeys(texts))


def _sequence(rest: list[str], *, depth: int) -> tuple[Iterator[str], list[str]]:
    """Texts up to the end, or inside braces up to the next ``,`` or ``}``. Also returns the pieces that are left."""
    parts: list[list[str]] = []
    while rest:
        if rest[0] == "}" or (depth and rest[0] == ","):
            break
        if rest[0] == "{":
            texts, rest = _braces(rest[1:], depth=depth + 1)
            parts.append(texts)
        else:
            parts.append([rest[0]])
            rest = rest[1:]
    return ("".join(texts) for texts in product(*parts)), rest


def _braces(rest: list[str], *, depth: int) -> tuple[list[str], list[str]]:
    """The alternatives after a ``{``, and the pieces after its ``}``."""
    if depth > DEEPEST:
        raise ValueError(f"its braces are nested more than {DEEPEST} deep")
    start, alternatives, commas = rest, list[str](), -1
    end = ","
    while end == ",":
        texts, rest = _sequence(rest, depth=depth)
        alternatives += islice(texts, MOST_PATTERNS + 1)
        if len(alternatives) > MOST_PATTERNS:
            raise _too_many()
        if not rest:
            raise ValueError("'{' without '}'; write [{] for a brace in a name")
        end, rest, commas = rest[0], rest[1:], commas + 1
    if commas:
        return alternatives, rest
    return list(_range("".join(start[: len(start) - len(rest) - 1]))), rest


def _range(text: str) -> Iterator[str]:
    """The numbers or letters of a range. A leading zero gives all of them the same width."""
    numbers, letters = _NUMBERS.match(text), _LETTERS.match(text)
    found = numbers or letters
    if found is None or (letters and letters[1].islower() != letters[2].islower()):
        raise ValueError(f"'{{{text[:60]}}}' has no comma and is no range; write [{{] for a brace in a name")
    first, last = (int(found[1]), int(found[2])) if numbers else (ord(found[1]), ord(found[2]))
    step = abs(int(found[3] or 1)) or 1
    values = range(first, last + 1, step) if first <= last else range(first, last - 1, -step)
    if len(values) > MOST_PATTERNS:
        raise _too_many()
    if letters:
        return map(chr, values)
    padded = any(re.match(r"-?0\d", found[n]) for n in (1, 2))
    width = max(len(found[1]), len(found[2])) if padded else 0
    return (f"{value:0{width}d}" if width else str(value) for value in values)


def _too_many() -> ValueError:
    return ValueError(f"its braces expand to more than {MOST_PATTERNS} patterns")
