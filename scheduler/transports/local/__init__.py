"""``transport: local``: programs run on this machine, which may be a login node."""

from scheduler.transports.base import Traits

TRAITS = Traits(is_local=True)
