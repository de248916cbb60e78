"""The way back to the sites of jobs that another process submitted: as recorded, reached as their file says now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from scheduler.batch.base import find
from scheduler.cli.screen import console
from scheduler.engine.connect import transport_to
from scheduler.engine.context import SiteContext
from scheduler.engine.session import SiteSession
from scheduler.errors import ConfigError
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow
from scheduler.site.catalog import find_site
from scheduler.site.site import Site

_OF_THE_WAY = ("transport", "host", "ssh", "limits")
"""What a site file may change after jobs were submitted."""
_OF_THE_PLACE = ("scheduler", "work_dir")
"""Where these differ, it is another site of the same name."""


def by_site(rows: Sequence[JobRow]) -> dict[str, list[int]]:
    """The keys of the jobs of each site."""
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(row.site, []).append(row.key)
    return found


@contextmanager
def session_at(name: str, ledger: Ledger) -> Iterator[SiteSession]:
    """The open way to a site that has jobs in the ledger; it connects when it is first used.

    Raises:
        ConfigError: what was recorded of the site cannot be understood.
    """
    site = site_of_jobs(name, ledger)
    with transport_to(site, prompter=console.prompter()) as transport:
        yield SiteSession(SiteContext(site, find(site.scheduler), ledger, transport))


def site_of_jobs(name: str, ledger: Ledger) -> Site:
    """The site as its jobs know it, with the way there as its file says now, if the file is there and means that site.

    Raises:
        ConfigError: what was recorded of the site cannot be understood.
    """
    recorded = ledger.sites.site_json(name)
    if recorded is None:
        return find_site(name)
    then = Site.from_json(json.loads(recorded))
    now = _as_its_file_says(then)
    if now is None:
        return then
    settings = {**then.to_json()["settings"], **{key: now.to_json()["settings"][key] for key in _OF_THE_WAY}}
    return Site.from_mapping(settings, name=then.name, sources=then.sources)


def _as_its_file_says(then: Site) -> Site | None:
    """The site that is found by this name, or in this file, today; None if that is another one, or none."""
    known = [then.name, *([str(then.path)] if then.path is not None and then.path.is_file() else [])]
    for name_or_path in known:
        try:
            now = find_site(name_or_path)
        except ConfigError as error:
            if then.path is not None and str(then.path) in str(error):
                console.say(
                    f"{error}\nGoing on with site {then.name!r} as it was when its jobs were submitted.", "yellow"
                )
            continue
        if now.is_local == then.is_local and all(getattr(now, key) == getattr(then, key) for key in _OF_THE_PLACE):
            return now
    return None
