"""How a site is reached: which transport its file asks for. The heavy ones are imported when they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.site.site import Site
from scheduler.transports.base import Transport

if TYPE_CHECKING:
    from scheduler.transports.prompt import Prompter
    from scheduler.transports.settings import SshSettings


def transport_to(site: Site, *, person: Prompter | None = None) -> Transport:
    """A transport to the site's machine; it connects when it is first used.

    Args:
        person: who is asked when a login needs a password or a code; by default whoever sits at the terminal.
    """
    if site.transport == "local":
        from scheduler.transports.local import LocalTransport

        return LocalTransport()
    if site.transport == "openssh":
        from scheduler.transports.openssh.transport import OpensshTransport

        return OpensshTransport(_settings(site), person=person)
    from scheduler.transports.ssh.transport import SshTransport

    return SshTransport(_settings(site), person=person)


def nobody_to_ask() -> Prompter:
    """For programs that want no questions: a login that needs a person fails at once."""
    from scheduler.transports.prompt import Nobody

    return Nobody("this program wants nobody to be asked (prompt=False)")


def _settings(site: Site) -> SshSettings:
    from scheduler.transports.settings import SshSettings

    ssh = site.ssh
    return SshSettings(
        host=site.host or "",
        user=ssh.user,
        port=ssh.port,
        identity_file=ssh.identity_file,
        proxy_jump=ssh.proxy_jump,
        known_hosts=ssh.known_hosts,
        accept_new_host_key=ssh.accept_new_host_key,
    )
