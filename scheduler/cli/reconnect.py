"""Connects to the sites of jobs in the ledger: as recorded, with the connection settings of the user's files today.

A file of a folder (./site_configs, or a path that was given) changes the way to a recorded job's site only if it is as
it was when the user trusted it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from scheduler.batch.base import find
from scheduler.cli.screen import console
from scheduler.engine.connect import transport_to
from scheduler.engine.context import SiteContext
from scheduler.engine.session import SiteSession
from scheduler.engine.site_identity import description_of, identity_of
from scheduler.errors import ConfigError
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow
from scheduler.schema.yaml import laid_over, read_mapping
from scheduler.site.catalog import find_site, own_file, own_folders, read_site
from scheduler.site.site import Site
from scheduler.site.trust import is_trusted, own_files
from scheduler.transports.prompt import Prompter

_TAKEN_FROM_FILE = ("transport", "host", "ssh", "limits")
"""Keys whose values come from the site file as it is today, not as it was when the jobs were submitted."""


def keys_by_site(rows: Sequence[JobRow]) -> dict[str, list[int]]:
    """The keys of jobs, grouped by the names of their sites."""
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(row.site, []).append(row.key)
    return found


@contextmanager
def open_session(
    name: str, ledger: Ledger, *, for_attempts: bool = False, prompter: Prompter | None = None
) -> Iterator[SiteSession]:
    """A session at a site that has jobs in the ledger. It connects when it is first used.

    Args:
        name: under which the ledger has the site.
        ledger: with the jobs.
        for_attempts: new attempts are submitted: with all settings of the user's file today, such as the account.
        prompter: asks for what the login needs; by default, the user at the terminal.

    Raises:
        ConfigError: the recorded site cannot be read.
    """
    site = site_of_jobs(name, ledger, for_attempts=for_attempts)
    with transport_to(site, prompter=prompter or console.prompter()) as transport:
        yield SiteSession(SiteContext(site, find(site.scheduler), ledger, transport, recorded_as=name))


def site_of_jobs(name: str, ledger: Ledger, *, for_attempts: bool = False) -> Site:
    """The site as it was when its jobs were submitted, with today's connection settings if its file still describes it;
    for new attempts with all settings of today.

    Raises:
        ConfigError: the recorded site cannot be read.
    """
    recorded = ledger.sites.site_json(name)
    if recorded is None:
        return find_site(name, folders=own_folders())
    try:
        then = Site.from_json(json.loads(recorded))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"the settings of site {name!r} in {ledger.path} cannot be read: {error}") from error
    now = _site_today(then)
    if now is None:
        return then
    if for_attempts:
        return now
    settings = {**then.to_json()["settings"], **{key: now.to_json()["settings"][key] for key in _TAKEN_FROM_FILE}}
    return Site.from_mapping(settings, name=then.name, sources=then.sources, guarded=then.guarded)


def _site_today(then: Site) -> Site | None:
    """The site that the user's files, or trusted ones, give today; None if there is none or it is another site."""
    foreign = [path for path in then.sources if path not in set(own_files(then.sources, own_folders()))]
    ways = [partial(find_site, then.name, folders=own_folders())]
    if foreign:
        usable = all(map(is_trusted, foreign)) and all(path.is_file() for path in then.sources)
        ways = [partial(read_site, then.name, _with_own(then))] if usable else [partial(_with_own_keys, then)]
    other = None
    for way in ways:
        try:
            now = way()
        except ConfigError as error:
            if any(str(path) in str(error) for path in then.sources):
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


def _with_own(then: Site) -> list[Path]:
    """The files of a recorded site, and above them the user's own file of its name."""
    own = own_file(then.name)
    return [*(path for path in then.sources if path != own), *([own] if own is not None else [])]


def _with_own_keys(then: Site) -> Site:
    """The recorded site with the keys of the user's own file of its name."""
    recorded, own = then.to_json()["settings"], own_file(then.name)
    values = laid_over(recorded, {} if own is None else read_mapping(own))
    return Site.from_mapping(values, name=then.name, sources=[*then.sources, *([own] if own is not None else [])])
