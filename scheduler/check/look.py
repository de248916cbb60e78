"""Inspects a site with one remote command that submits nothing. Each error on the way becomes a finding."""

from __future__ import annotations

import time
from collections.abc import Callable

from scheduler.batch.base import find
from scheduler.batch.request import BatchRequest
from scheduler.check.batch_system import batch_system_findings
from scheduler.check.facts import Facts, read_facts
from scheduler.check.finding import Finding, failed, note, ok
from scheduler.check.machine import machine_findings, software_findings
from scheduler.engine import programs
from scheduler.errors import ConfigError, HostKeyError, LoginError, TransportError
from scheduler.quoting import quote_path
from scheduler.render.site_python import python_check
from scheduler.site.site import Site
from scheduler.transports.base import Expanded, Transport
from scheduler.transports.find import traits_of

INSPECTION_SECONDS = 180.0
"""The remote command fails after this time without output; each query of a batch system has a shorter limit."""
_UNSET = "is not set"
_NOT_STARTED = "was not started"


def inspect_site(
    site: Site, transport: Transport, *, image: str | None = None, now: Callable[[], float] = time.time
) -> list[Finding]:
    """All findings about a site that need no job.

    Args:
        site: the site to inspect.
        transport: the connection to it.
        image: the remote path of a container image to look for; None looks for none.
        now: returns the local time in seconds since 1970.
    """
    try:
        found, facts = _inspected(site, transport, image, now)
    except HostKeyError as error:
        return [failed("host key", str(error), f"{error.advice}, then follow the message")]
    except LoginError as error:
        do = "log in by hand as the page 'Sites' of the documentation describes, then check again"
        return [*_host_key(site, transport), failed("login", str(error), do)]
    except TransportError as error:
        if _NOT_STARTED in str(error):
            do = "the login shell does not run our commands: see its output in the message"
            return [*_host_key(site, transport), *_login(site), failed("shell", str(error), do)]
        return [failed("connection", str(error), "check host, network and VPN, or try later")]
    return [*_host_key(site, transport), *_login(site), *found, *findings(facts, site, image=image)]


def findings(facts: Facts, site: Site, *, image: str | None = None) -> list[Finding]:
    """What the facts mean for a site.

    Args:
        facts: what check.sh printed.
        site: the site that was inspected.
        image: the remote path of the image that check.sh looked for.
    """
    return [
        *machine_findings(facts, site),
        *batch_system_findings(facts, site),
        *software_findings(facts, site, image=image),
    ]


def _host_key(site: Site, transport: Transport) -> list[Finding]:
    """Nothing is said of a key that was not seen: of a host behind a jump host that refused the login, for example."""
    key = transport.verified_host_key()
    if key:
        return [ok("host key", f"{site.host} has a known host key: {key}")]
    if not traits_of(site.transport).uses_ssh:
        return []
    words = f"{site.host}: not checked here: the connection was already open, or the host was not reached"
    return [note("host key", words)]


def _login(site: Site) -> list[Finding]:
    return [ok("login", "this machine" if site.is_local else f"logged in to {site.host or site.transport}")]


def _inspected(
    site: Site, transport: Transport, image: str | None, now: Callable[[], float]
) -> tuple[list[Finding], Facts]:
    """Run check.sh once; if a variable in work_dir is not set, a second time without work_dir."""
    script, found = _trial_script(site)
    work: str | Expanded = Expanded(quote_path(site.work_dir, what="work_dir"))
    facts, error = _run_check(site, transport, work, script, image, now)
    if not facts.answers and _UNSET in error:
        do = "set work_dir: to a path without this variable, or set the variable in your login files on the cluster"
        found.append(failed("work_dir", error.splitlines()[-1], do))
        facts, _ = _run_check(site, transport, "", script, image, now)
    return found, facts


def _run_check(
    site: Site, transport: Transport, work: str | Expanded, script: str, image: str | None, now: Callable[[], float]
) -> tuple[Facts, str]:
    """The facts, and what was printed on stderr."""
    modules = " ".join(site.container.modules)
    queue, account, runtime = site.queue or "", site.account or "", site.container.runtime
    args = [work, python_check(site), runtime, queue, account, image or "", modules]
    asked_at = now()
    program = programs.program("check", site.scheduler)
    reply = transport.run(program, args, stdin=script.encode(), timeout=INSPECTION_SECONDS)
    return read_facts(reply, asked_at=asked_at, answered_at=now()), reply.err


def _trial_script(site: Site) -> tuple[str, list[Finding]]:
    """A script with the directives of a job that requests nothing of its own; a finding if they cannot be rendered."""
    try:
        options = site.native_options
        request = BatchRequest("scheduler-check", 1, 0, site.resources, site.memory_style, native_options=options)
        directives = find(site.scheduler).directives(request)
    except ConfigError as error:
        return "#!/bin/sh\ntrue\n", [failed("directives", str(error), "edit native: in the site file")]
    return f"#!/bin/sh\n{directives}\ntrue\n", []
