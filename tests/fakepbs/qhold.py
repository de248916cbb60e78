"""qhold and qrls."""

from __future__ import annotations

import sys

from . import usage
from .command import Refusal, Settings, send


def hold(settings: Settings, arguments: list[str]) -> int:
    """Hold each job."""
    return _each(settings, arguments, "hold")


def release(settings: Settings, arguments: list[str]) -> int:
    """Release each job."""
    return _each(settings, arguments, "release")


def _each(settings: Settings, arguments: list[str], do: str) -> int:
    """Act on each job on its own; the exit code is that of the last error."""
    _, ids = usage.options("h:", arguments, "qhold")
    code = 0
    for job_id in ids:
        try:
            send(settings, do=do, id=job_id)
        except Refusal as refusal:
            sys.stderr.write(refusal.message)
            code = refusal.code
    return code
