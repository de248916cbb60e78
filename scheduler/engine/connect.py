"""From a site to its transport. The transport's own libraries are imported only when a connection is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.site.site import Site
from scheduler.transports.base import Transport
from scheduler.transports.find import connect_function

if TYPE_CHECKING:
    from scheduler.transports.prompt import Prompter


def transport_to(site: Site, *, prompter: Prompter | None = None) -> Transport:
    """A transport to the site's host; it connects at its first use.

    Args:
        site: its `transport`, `host` and `ssh` decide how it is reached.
        prompter: asks the user for a password, passphrase or one-time code; by default at the terminal.

    Raises:
        ConfigError: the site's host, user or port is not usable for SSH.
    """
    connect = connect_function(site.transport)
    return connect(site.host, site.ssh.model_dump(), prompter=prompter)


def no_prompter() -> Prompter:
    """A prompter that never asks: a login that needs a password, passphrase or one-time code fails at once."""
    from scheduler.transports.prompt import NoPrompter

    return NoPrompter("prompts are turned off by this program (prompt=False)")
