"""A site is looked at: one remote command, and whatever goes wrong on the way is a finding. It submits nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

from scheduler.batch.base import Ask
from scheduler.check.facts import Facts, read_facts
from scheduler.check.finding import Finding, failed, ok
from scheduler.check.machine import findings
from scheduler.engine import programs
from scheduler.errors import ConfigError, HostKeyError, LoginError, TransportError
from scheduler.quoting import quote_path
from scheduler.render.bundle import batch_system, python_probe
from scheduler.site.site import Site
from scheduler.transports.base import Expanded, Transport
from scheduler.transports.find import traits_of

LOOK_SECONDS = 180.0
"""So long nothing may come: a server that is frozen has its own limits over there."""
_UNSET = "is not set over there"


def look(
    site: Site, transport: Transport, *, image: str | None = None, now: Callable[[], float] = time.time
) -> list[Finding]:
    """Everything that can be seen of a site without running a job.

    Args:
        image: a container image over there that should be looked for.
        now: our own clock.
    """
    try:
        found, facts = _asked(site, transport, image, now)
    except HostKeyError as error:
        return [
            failed("host key", str(error), "what the message says, after comparing the fingerprint with the site's own")
        ]
    except LoginError as error:
        return [*_reached(site), failed("login", str(error), _HOW_TO_LOG_IN)]
    except TransportError as error:
        if "was not started" in str(error):
            return [
                *_reached(site),
                *_logged_in(site),
                failed("shell", str(error), "the login shell over there runs no commands: see its words"),
            ]
        return [failed("connection", str(error), "check host, network and VPN, or try again later")]
    return [*_reached(site), *_logged_in(site), *found, *findings(facts, site, image=image)]


_HOW_TO_LOG_IN = "log in by hand as the page 'Sites' of the documentation says for this site, then check again"


def _reached(site: Site) -> list[Finding]:
    if not traits_of(site.transport).uses_ssh:
        return []
    return [ok("host key", f"{site.host} is the host that it was")]


def _logged_in(site: Site) -> list[Finding]:
    return [ok("login", "this machine" if site.is_local else f"let in by {site.host or site.transport}")]


def _asked(
    site: Site, transport: Transport, image: str | None, now: Callable[[], float]
) -> tuple[list[Finding], Facts]:
    """One command. Only if a variable of the site file is not set over there, a second one without what needs it."""
    script, found = _trial_script(site)
    work: str | Expanded = Expanded(quote_path(site.work_dir, what="work_dir"))
    facts, words = _ask(site, transport, work, script, image, now)
    if not facts.said and _UNSET in words:
        do = "set work_dir to a path that needs no such variable, or set the variable in your login files over there"
        found.append(failed("work_dir", words.splitlines()[-1], do))
        facts, _ = _ask(site, transport, "", script, image, now)
    return found, facts


def _ask(
    site: Site, transport: Transport, work: str | Expanded, script: str, image: str | None, now: Callable[[], float]
) -> tuple[Facts, str]:
    modules = " ".join(site.container.modules)
    args = [
        work,
        python_probe(site),
        site.container.runtime,
        site.queue or "",
        site.account or "",
        image or "",
        modules,
    ]
    asked_at = now()
    program = programs.program("check", site.scheduler)
    reply = transport.run(program, args, stdin=script.encode(), timeout=LOOK_SECONDS)
    return read_facts(reply, asked_at=asked_at, answered_at=now()), reply.err


def _trial_script(site: Site) -> tuple[str, list[Finding]]:
    """A script with the directives of a job that asks for nothing; and why there is none."""
    try:
        directives = batch_system(site).directives(Ask("scheduler-check", 1, 0, site.resources, site.memory_style))
    except ConfigError as error:
        return "#!/bin/sh\ntrue\n", [failed("directives", str(error), "edit native in the site file")]
    return f"#!/bin/sh\n{directives}\ntrue\n", []
