"""``transport: ssh``: SSH by Paramiko. Host keys, logins, jump hosts, channels. The only importer of paramiko."""

from scheduler.transports.base import Traits

TRAITS = Traits(needs_host=True, uses_ssh=True)
