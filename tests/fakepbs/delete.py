"""qdel."""

from __future__ import annotations

import sys

from . import words
from .command import Refusal, Settings, ask


def run(settings: Settings, arguments: list[str]) -> int:
    """Each id for itself; the exit code is the last error's."""
    found, ids = words.options("W:x", arguments, "qdel")
    if not ids or any(letter == "?" for letter, _ in found):
        sys.stderr.write("".join(text for letter, text in found if letter == "?") + words.QDEL)
        return 2
    force, erase = ("W", "force") in found, any(letter == "x" for letter, _ in found)
    code = 0
    for job_id in ids:
        try:
            ask(settings, do="delete", id=job_id, force=force, erase=erase)
        except Refusal as refusal:
            sys.stderr.write(refusal.words)
            code = refusal.code
    return code
