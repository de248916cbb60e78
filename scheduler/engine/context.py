"""What every action at one site needs, as one value. It does nothing by itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from scheduler.batch.base import BatchSystem
from scheduler.engine.site_identity import recorded_as
from scheduler.ledger.ledger import Ledger
from scheduler.site.site import Site
from scheduler.transports.base import Transport


@dataclass(frozen=True)
class SiteContext:
    """One site, and how to act on it.

    Attributes:
        site: its settings.
        system: its batch system.
        ledger: where its jobs are recorded.
        transport: the connection to its host.
        recorded_as: the name under which the ledger records its jobs; empty: to be found by what identifies the site.
    """

    site: Site
    system: BatchSystem
    ledger: Ledger
    transport: Transport
    recorded_as: str = ""

    @cached_property
    def key(self) -> str:
        """The name under which the ledger records the jobs of this site."""
        return self.recorded_as or recorded_as(self.site, self.ledger)

    @property
    def poll_seconds(self) -> float:
        """The least time between two polls of the site."""
        return self.site.limits.poll_seconds or self.system.poll_seconds
