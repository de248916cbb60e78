"""Connects to the sites of jobs in the ledger: as recorded, with the connection settings of the site files today."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from scheduler.batch.base import find
from scheduler.cli.screen import console
from scheduler.engine.connect import transport_to
from scheduler.engine.context import SiteContext
from scheduler.engine.session import SiteSession
from scheduler.engine.site_identity import description_of, identity_of
from scheduler.errors import ConfigError
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow
from scheduler.site.catalog import find_site
from scheduler.site.site import Site

_TAKEN_FROM_FILE = ("transport", "host", "ssh", "limits")
"""Keys whose values come from the site file as it is today, not as it was when the jobs were submitted."""


def keys_by_site(rows: Sequence[JobRow]) -> dict[str, list[int]]:
    """The keys of jobs, grouped by the names of their sites."""
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(row.site, []).append(row.key)
    return found


@contextmanager
def open_session(name: str, ledger: Ledger) -> Iterator[SiteSession]:
    """A session at a site that has jobs in the ledger. It connects when it is first used.

    Raises:
        ConfigError: the recorded site cannot be read.
    """
    site = site_of_jobs(name, ledger)
    with transport_to(site, prompter=console.prompter()) as transport:
        yield SiteSession(SiteContext(site, find(site.scheduler), ledger, transport, recorded_as=name))


def site_of_jobs(name: str, ledger: Ledger) -> Site:
    """The site as it was when its jobs were submitted, with today's connection settings if its file still describes it.

    Raises:
        ConfigError: the recorded site cannot be read.
    """
    recorded = ledger.sites.site_json(name)
    if recorded is None:
        return find_site(name)
    try:
        then = Site.from_json(json.loads(recorded))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"the settings of site {name!r} in {ledger.path} cannot be read: {error}") from error
    now = _site_today(then)
    if now is None:
        return then
    settings = {**then.to_json()["settings"], **{key: now.to_json()["settings"][key] for key in _TAKEN_FROM_FILE}}
    return Site.from_mapping(settings, name=then.name, sources=then.sources)


def _site_today(then: Site) -> Site | None:
    """The site that this name, or the recorded file, gives today; None if it does not exist or is another site."""
    known, other = [then.name, *([str(then.path)] if then.path is not None and then.path.is_file() else [])], None
    for name_or_path in known:
        try:
            now = find_site(name_or_path)
        except ConfigError as error:
            if then.path is not None and str(then.path) in str(error):
                console.print_message(
                    f"{error}\nUsing the settings of site {then.name!r} recorded when its jobs were submitted.",
                    "yellow",
                )
            continue
        if identity_of(now) == identity_of(then):
            return now
        other = other or now
    if other is not None:
        console.print_message(
            f"site {then.name!r} is another one today: {description_of(other)}. Its jobs were submitted to "
            f"{description_of(then)}, and are followed there. If it is the same cluster under another address: "
            f"scheduler adopt {other.name}",
            "yellow",
        )
    return None
