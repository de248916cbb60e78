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
    command = "qhold" if do == "hold" else "qrls"
    found, ids = usage.options("h:", arguments, command)
    holds = dict(found).get("h", "u")
    wrong = "" if set(holds) <= set("uosnp") else f"{command}: illegal -h value\n"
    if wrong or not ids or "?" in dict(found):
        sys.stderr.write(dict(found).get("?", wrong) + usage.QHOLD.format(command))
        return 2
    code = 0
    for job_id in ids:
        if set(holds) & set("os"):  # by operators alone
            sys.stderr.write(f"{command}: Unauthorized Request  {job_id}\n")
            code = 159
            continue
        try:
            send(settings, do=do, id=job_id)
        except Refusal as refusal:
            sys.stderr.write(refusal.message)
            code = refusal.code
    return code
