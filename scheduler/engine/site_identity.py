"""Which site a name means: a site is known by user, host, batch system and work_dir, not by the name of its file.

The ledger records the jobs of a site under its name, or, if another site had that name first, under the name with some
characters of a digest: ``rig~3fa2``.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import re

from scheduler.errors import ConfigError
from scheduler.ledger.ledger import Ledger
from scheduler.site.site import Site
from scheduler.transports.find import account_function, traits_of


def identity_of(site: Site) -> str:
    """What distinguishes a site from all others, as JSON: user, host, port, batch system, work_dir."""
    return json.dumps([*_account(site), site.scheduler, _normal(site.work_dir)])


def description_of(site: Site) -> str:
    """``slurm at anna@login.example.org, ~/scheduler``."""
    user, host, port = _account(site)
    where = f"{user}@{host}{f':{port}' if port != _SSH_PORT else ''}" if host else "this machine"
    return f"{site.scheduler} at {where}, {site.work_dir}"


def known_as(site: Site, ledger: Ledger) -> str | None:
    """The name under which the ledger has jobs of this site; None if it has none."""
    _learn(site.name, ledger)
    return ledger.sites.of_name(site.name).get(identity_of(site))


def recorded_as(site: Site, ledger: Ledger) -> str:
    """The name under which the ledger records the jobs of this site. A site that it does not know is added."""
    found = known_as(site, ledger)
    if found is not None:
        return found
    identity = identity_of(site)
    return ledger.sites.add(site.name, identity, digest=hashlib.sha256(identity.encode()).hexdigest())


def others_of_this_name(site: Site, ledger: Ledger) -> dict[str, Site]:
    """The other sites that had this name when jobs were submitted to them, by the names in the ledger."""
    own, found = identity_of(site), dict[str, Site]()
    for identity, key in ledger.sites.of_name(site.name).items():
        recorded = ledger.sites.site_json(key) if identity != own else None
        if recorded is not None and (other := _recorded(recorded)) is not None:
            found[key] = other
    return found


def _learn(name: str, ledger: Ledger) -> None:
    """Find out the identity of a site for which an earlier version has recorded only the name. Jobs of several sites
    of that name get a name for each."""
    if "" not in ledger.sites.of_name(name):
        return
    found = {text: _identity_in(text) for text in ledger.sites.all_settings(name)}
    settings = {text: identity for text, identity in found.items() if identity}
    if settings:
        digests = {one: hashlib.sha256(one.encode()).hexdigest() for one in settings.values()}
        ledger.sites.separate(name, settings, digests)


def _identity_in(recorded: str) -> str:
    site = _recorded(recorded)
    return identity_of(site) if site is not None else ""


def _recorded(text: str) -> Site | None:
    """A recorded site; None if it is of a version with other keys, or makes no sense: it counts as the site with its
    name."""
    try:
        return Site.from_json(json.loads(text))
    except (ConfigError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _account(site: Site) -> tuple[str, str, int]:
    """User, host and port, as ``~/.ssh/config`` has them for the site."""
    traits = traits_of(site.transport)
    if traits.is_local:
        return "", "", _SSH_PORT
    user, host, port = site.ssh.user, site.host or "", site.ssh.port
    if traits.uses_ssh:
        with contextlib.suppress(ConfigError):  # the connection itself will report it
            user, host, port = account_function(site.transport)(host, user=user, port=port)
    return user or getpass.getuser(), host.lower().rstrip("."), port or _SSH_PORT


def _normal(work_dir: str) -> str:
    return re.sub(r"^(?:~|\$HOME|\$\{HOME\})(?=/|\Z)", "~", re.sub(r"/+", "/", work_dir)).rstrip("/") or "/"


_SSH_PORT = 22
