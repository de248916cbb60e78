"""What every action at one site needs, as one value. It does nothing by itself."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.batch.base import BatchSystem
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
    """

    site: Site
    system: BatchSystem
    ledger: Ledger
    transport: Transport
