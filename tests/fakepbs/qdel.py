"""qdel."""

from __future__ import annotations

import sys

from . import usage
from .command import Refusal, Settings, send


def run(settings: Settings, arguments: list[str]) -> int:
    """Delete each job on its own; the exit code is that of the last error."""
    found, ids = usage.options("W:x", arguments, "qdel")
    if not ids or any(letter == "?" for letter, _ in found):
        sys.stderr.write("".join(text for letter, text in found if letter == "?") + usage.QDEL)
        return 2
    force, erase = ("W", "force") in found, any(letter == "x" for letter, _ in found)
    code = 0
    for job_id in ids:
        try:
            send(settings, do="delete", id=job_id, force=force, erase=erase)
        except Refusal as refusal:
            sys.stderr.write(refusal.message)
            code = refusal.code
    return code
