"""qstat: selects jobs and prints them in the requested form."""

from __future__ import annotations

import sys
from typing import Any

from . import server_info, show, usage
from .command import Down, Refusal, Settings, send

_LETTERS = "fF:D:JptxEwairHTnsGMqQBu:1"
_ALTERNATIVE = set("airHTnsu")


def run(settings: Settings, arguments: list[str]) -> int:
    """Send one request for each id, or one for all; the exit code is that of the last error."""
    found, ids = usage.options(_LETTERS, arguments, "qstat")
    wanted = dict(found)
    ids = ids[1:] if ids[:1] == ["--"] else ids
    if "?" in wanted or wanted.get("F", "dsv") not in ("dsv", "json"):
        sys.stderr.write(wanted.get("?", "") + usage.QSTAT)
        return 2
    conflict = "F" in wanted and ("f" not in wanted or "a" in wanted or (settings.master and "u" in wanted))
    if conflict:
        sys.stderr.write("qstat: conflicting options.\n" + usage.QSTAT)
        return 2
    if "f" in wanted and ("B" in wanted or "Q" in wanted):
        send(settings, do="status", id="", history=False, elements=False, owner=None)
        sys.stdout.write(server_info.server(settings.server, settings.home) if "B" in wanted else server_info.queues())
        return 0
    jobs, code, refused = _jobs(settings, wanted, ids or [""])
    form = "json" if wanted.get("F") == "json" else "other"
    if form == "json":
        jobs = jobs[:1] if settings.master and len(ids) > 1 else jobs
        sys.stdout.write(show.as_json(jobs, settings.server, master=settings.master))
    else:
        _print(settings, wanted, jobs)
    sys.stdout.flush()
    if refused == "down":
        raise Down
    sys.stderr.write(refused)
    return code


def _jobs(settings: Settings, wanted: dict[str, str], ids: list[str]) -> tuple[list[Any], int, str]:
    """The jobs, the code of the last error, and all error messages."""
    history = "x" in wanted or "H" in wanted
    code, refused, jobs = 0, "", []
    for job_id in ids:
        try:
            found = send(
                settings, do="status", id=job_id, history=history, elements="t" in wanted, owner=wanted.get("u")
            )
        except Refusal as refusal:
            refused += refusal.message
            code = refusal.code or code
        except Down:
            return [], 255, "down"
        else:
            jobs += [job for job in found if "J" not in wanted or "[]" in job[0]]
    return jobs, code, refused


def _print(settings: Settings, wanted: dict[str, str], jobs: list[Any]) -> None:
    alternative = bool(_ALTERNATIVE & set(wanted))
    if not jobs:
        return
    if alternative:
        states = {"i": "QHW", "r": "RES"}
        only = next((states[letter] for letter in "ir" if letter in wanted), "BEFHMQRSTUWX")
        flags = {"wide": "w" in wanted, "comments": "s" in wanted, "nodes": "n" in wanted}
        sys.stdout.write(show.as_wide_table(jobs, settings.server, only, **flags))
    elif wanted.get("F") == "dsv":
        sys.stdout.write(show.as_dsv(jobs, wanted.get("D", "|")))
    elif "f" in wanted:
        sys.stdout.write(show.as_plain(jobs, wide="w" in wanted))
    else:
        sys.stdout.write(show.as_table(jobs))
