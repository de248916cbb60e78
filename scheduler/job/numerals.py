"""Numbers and times in the output of remote programs. They are bounded: a reply cannot make Python read 5000 digits."""

from __future__ import annotations

from datetime import datetime, timezone

NUMBER_DIGITS = 9
TIME_DIGITS = 10
"""Of a time in seconds since 1970: up to the year 2286, which every time zone and calendar can show."""
MOST_EXIT_CODE = 255
MOST_SIGNAL = 64


def is_number(text: str, *, digits: int = NUMBER_DIGITS) -> bool:
    """Whether `text` consists of 1 to `digits` ASCII decimal digits."""
    return text.isascii() and text.isdecimal() and len(text) <= digits


def read_number(text: str, *, digits: int = NUMBER_DIGITS) -> int | None:
    """The number that `text` is, or None if it is not one (see `is_number`)."""
    return int(text) if is_number(text, digits=digits) else None


def read_exit_code(text: str) -> int | None:
    """The exit code of a process, 0 to 255, that `text` is; None if it is not one."""
    code = read_number(text)
    return code if code is not None and code <= MOST_EXIT_CODE else None


def read_signal(text: str) -> int:
    """The number of a signal, 1 to 64, that `text` is; 0 if it is not one."""
    number = read_number(text) or 0
    return number if number <= MOST_SIGNAL else 0


def read_time(text: str) -> datetime | None:
    """The time (UTC) that `text` gives in seconds since 1970; None if it is not a number, or 0: not known."""
    seconds = read_number(text, digits=TIME_DIGITS)
    return datetime.fromtimestamp(seconds, timezone.utc) if seconds else None
