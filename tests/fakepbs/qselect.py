"""qselect."""

from __future__ import annotations

import re
import sys

from . import usage
from .command import Settings, send

_STATES = "BEFHMQRSTUWX"
_USERS = re.compile(r"[^\s,@]+(@[^\s,@]+)?(,[^\s,@]+(@[^\s,@]+)?)*")


def run(settings: Settings, arguments: list[str]) -> int:
    """Print ids by name, state, user and queue: with -T also of array tasks, with -x also of finished jobs."""
    found, _ = usage.options("a:A:c:h:HJl:N:p:q:r:s:t:TP:xu:", arguments, "qselect")
    wanted = dict(found)
    if "?" in wanted or any(state not in _STATES for state in wanted.get("s", "")):
        sys.stderr.write(wanted.get("?", "") + usage.QSELECT)
        return 2
    if "u" in wanted and not _USERS.fullmatch(wanted["u"]):
        sys.stderr.write("qselect: illegal -u value\n" + usage.QSELECT)
        return 2
    ids = send(
        settings, do="select", name=wanted.get("N"), states=wanted.get("s"), owner=wanted.get("u"),
        queue=wanted.get("q"), elements="T" in wanted, arrays="J" in wanted, history="x" in wanted or "H" in wanted,
    )  # fmt: skip
    for job_id in ids:
        print(job_id)
    return 0
