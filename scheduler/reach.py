"""How a site is reached: which transport its file asks for. The heavy ones are imported when they are needed."""

from __future__ import annotations

from scheduler.site.site import Site
from scheduler.transports.base import Transport


def transport_to(site: Site) -> Transport:
    """A transport to the site's machine; it connects when it is first used."""
    if site.transport == "local":
        from scheduler.transports.local import LocalTransport

        return LocalTransport()
    from scheduler.transports.ssh import SshSettings, SshTransport

    ssh = site.ssh
    return SshTransport(
        SshSettings(
            host=site.host or "",
            user=ssh.user,
            port=ssh.port,
            identity_file=ssh.identity_file,
            proxy_jump=ssh.proxy_jump,
            known_hosts=ssh.known_hosts,
            accept_new_host_key=ssh.accept_new_host_key,
        )
    )
