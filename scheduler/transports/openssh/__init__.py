"""``transport: openssh``: SSH by OpenSSH's own `ssh`, with its ControlMaster connections."""

from scheduler.transports.base import Traits

TRAITS = Traits(needs_host=True, uses_ssh=True)
