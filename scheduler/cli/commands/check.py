"""``scheduler check``: is a site as its file says? A line each, with what to do about it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from scheduler.check.finding import Finding, Mark
from scheduler.check.look import look
from scheduler.cli.screen import console
from scheduler.engine.connect import transport_to
from scheduler.site.catalog import find_site

_STYLES = {Mark.OK: "green", Mark.NOTE: "yellow", Mark.FAILED: "bold red"}
_INDENT = " " * 8


def check(name: str, *, job: bool, image: str | None, timeout: float, json: bool) -> int:
    """Look at the site, with `job` run tiny jobs there; 1 if anything failed."""
    site = find_site(name)
    with transport_to(site) as transport:
        found = look(site, transport, image=image)
        if not json:
            _show(found)
        reached = not any(one.mark is Mark.FAILED and one.name in _NO_WAY_IN for one in found)
        if job and reached:
            from scheduler.check.trial import try_jobs

            console.say("submitting tiny jobs, and waiting for them …", "dim")
            tried = try_jobs(site, transport, image=image, timeout=timeout)
            if not json:
                _show(tried)
            found += tried
    bad = [one for one in found if one.mark is Mark.FAILED]
    if json:
        settings = {"site": site.name, "ok": not bad, "findings": [_as_json(one) for one in found]}
        console.print_json(settings)
    else:
        console.say(f"{console.number_of(len(bad), 'failure')}" if bad else f"all is well at {site.name}")
    return 1 if bad else 0


_NO_WAY_IN = ("host key", "login", "shell", "connection", "batch system", "work_dir")
"""Where one of these fails, no job can be tried."""


def _show(found: Sequence[Finding]) -> None:
    for one in found:
        words = one.words.strip().splitlines() or [""]
        console.print_line(f"{one.mark.value:<7} {one.name}: {words[0]}", _STYLES[one.mark] if one.do else "")
        for line in words[1:]:
            console.print_line(_INDENT + line)
        for line in textwrap.wrap(one.do, 110):
            console.print_line(f"{_INDENT}→ {line}")


def _as_json(one: Finding) -> dict[str, str | None]:
    return {"name": one.name, "state": one.mark.value, "words": one.words, "do": one.do or None}
