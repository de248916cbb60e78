"""Numbers and times in the output of remote programs. They are bounded: a reply cannot make Python read 5000 digits."""

from __future__ import annotations

from datetime import datetime, timezone

NUMBER_DIGITS = 9
TIME_DIGITS = 11


def is_number(text: str, *, digits: int = NUMBER_DIGITS) -> bool:
    """Whether `text` consists of 1 to `digits` ASCII decimal digits."""
    return text.isascii() and text.isdecimal() and len(text) <= digits


def read_number(text: str, *, digits: int = NUMBER_DIGITS) -> int | None:
    """The number that `text` is, or None if it is not one (see `is_number`)."""
    return int(text) if is_number(text, digits=digits) else None


def read_time(text: str) -> datetime | None:
    """The time (UTC) that `text` gives in seconds since 1970; None if it is not a number, or 0: not known."""
    seconds = read_number(text, digits=TIME_DIGITS)
    return datetime.fromtimestamp(seconds, timezone.utc) if seconds else None
