"""Amounts of memory and lengths of time in the usual notations: text to numbers and back."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import ROUND_CEILING, Decimal

MAX_MEMORY_MIB = 1 << 40  # an exbibyte; more is a typing error
MAX_WALLTIME = timedelta(days=3650)

_MEMORY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*(?:([kmgtp]?)(i?)b|([kmgtp])i?)\Z", re.IGNORECASE)
_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_NUMBER = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,9})?\Z")

_CLOCK = re.compile(r"(?:([0-9]{1,5})-)?([0-9]{1,6})(?::([0-9]{1,2}))?(?::([0-9]{1,2}))?\Z")
_PART = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([a-z]+)\s*", re.IGNORECASE)
_SECONDS = {
    **dict.fromkeys(("d", "day", "days"), 86400),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
}


def parse_memory(text: str) -> int:
    """Memory in MiB, rounded up: ``4G``, ``3 GB``, ``500MB``, ``2.5 GiB``, ``4096 M``.

    Units count in 1024s, with an ``i`` or without, as in Slurm's ``--mem=4G`` (sbatch(1)) and PBS's ``mem=4gb``
    (pbs_resources(7)).

    Raises:
        ValueError: no unit, an unknown notation, zero, or more than an exbibyte.
    """
    if _NUMBER.match(text.strip()):
        raise ValueError(f"{text!r} has no unit; write '{text.strip()} GB' or '{text.strip()} MB'")
    found = _MEMORY.match(text.strip())
    if found is None or (found[3] and not found[2]):
        raise ValueError(f"{_shown(text)} is not an amount of memory; write it as '3 GB', '4G', '500MB' or '2.5 GiB'")
    unit = (found[2] or found[4] or "").lower()
    mib = int((Decimal(found[1]) * _BYTES[unit] / _BYTES["m"]).to_integral_value(ROUND_CEILING))
    if not 0 < mib <= MAX_MEMORY_MIB:
        raise ValueError(f"must be above 0 and at most {MAX_MEMORY_MIB >> 40} EiB, not {_shown(text)}")
    return mib


def parse_walltime(text: str) -> timedelta:
    """A length of time, rounded up to a second: ``01:30:00``, ``2-00:00:00``, ``1-12``, ``90m``, ``1.5 h``.

    Units may be combined (``1h30m``), the larger first. As in Slurm (sbatch(1), ``--time``) and PBS, ``30:00`` is
    thirty minutes, and ``days-`` is followed by hours.

    Raises:
        ValueError: no unit, an unknown notation, zero, or more than ten years.
    """
    if _NUMBER.match(text.strip()):
        number = text.strip()
        raise ValueError(
            f"{text!r} has no unit (Slurm would take it as minutes, PBS as seconds); "
            f"write '{number}m', '{number}h' or 'HH:MM:SS'"
        )
    seconds = _clock_seconds(text.strip())
    if seconds is None:
        seconds = _unit_seconds(text)
    if seconds is None:
        raise ValueError(f"{_shown(text)} is not a walltime; write it as '2:00:00', '1-12:00:00', '90m' or '1.5 h'")
    return checked_walltime(timedelta(seconds=seconds) if seconds < 1e12 else timedelta.max)


def checked_walltime(length: timedelta) -> timedelta:
    """`length` in whole seconds, rounded up.

    Raises:
        ValueError: zero or less, or more than ten years.
    """
    if not timedelta(0) < length <= MAX_WALLTIME:
        raise ValueError("must be above 0 and at most ten years")
    return timedelta(seconds=-(-length // timedelta(seconds=1)))


def format_walltime(length: timedelta) -> str:
    """``2-03:04:05``, or ``03:04:05`` below a day: a notation that Slurm reads, and `parse_walltime`."""
    seconds = -(-length // timedelta(seconds=1))
    days, rest = divmod(seconds, 86400)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days}-{clock}" if days else clock


def _clock_seconds(text: str) -> int | None:
    """The seconds of ``D-HH[:MM[:SS]]``, ``HH:MM:SS`` or ``MM:SS``; None for any other text."""
    found = _CLOCK.match(text)
    if found is None:
        return None
    days, first, second, third = (None if part is None else int(part) for part in found.groups())
    if (second or 0) > 59 or (third or 0) > 59 or (days is not None and (first or 0) > 23):
        return None
    if days is None and third is None:
        return (first or 0) * 60 + (second or 0)
    return (days or 0) * 86400 + (first or 0) * 3600 + (second or 0) * 60 + (third or 0)


def _unit_seconds(text: str) -> int | None:
    """The seconds of ``1h30m`` or ``2 days``: numbers with known units, the larger unit first; None for other text."""
    at, total, last = 0, Decimal(0), 1 << 30
    while part := _PART.match(text, at):
        unit = _SECONDS.get(part[2].lower())
        if unit is None or unit >= last:
            return None
        at, total, last = part.end(), total + Decimal(part[1]) * unit, unit
    return int(total.to_integral_value(ROUND_CEILING)) if at == len(text) and at > 0 else None


def _shown(text: str) -> str:
    return repr(text[:60])
