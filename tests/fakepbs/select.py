"""qselect."""

from __future__ import annotations

import sys

from . import words
from .command import Settings, ask

_STATES = "BEFHMQRSTUWX"


def run(settings: Settings, arguments: list[str]) -> int:
    """Ids by name, state, user and queue; elements with -T, what has ended with -x."""
    found, _ = words.options("a:A:c:h:HJl:N:p:q:r:s:t:TP:xu:", arguments, "qselect")
    wanted = dict(found)
    if "?" in wanted or any(state not in _STATES for state in wanted.get("s", "")):
        sys.stderr.write(wanted.get("?", "") + words.QSELECT)
        return 2
    said = ask(
        settings, do="select", name=wanted.get("N"), states=wanted.get("s"), owner=wanted.get("u"),
        queue=wanted.get("q"), elements="T" in wanted, arrays="J" in wanted, history="x" in wanted or "H" in wanted,
    )  # fmt: skip
    for job_id in said:
        print(job_id)
    return 0
