"""``transport: toy``, a transport that only the tests have: see test_toy_transport.py."""

from scheduler.transports.base import Traits

TRAITS = Traits(needs_host=True)
