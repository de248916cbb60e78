"""What earlier submissions and polls have learned of a site. A check forgets it, so that it is asked again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from scheduler.check.finding import Finding, ok
from scheduler.engine.site_identity import known_as
from scheduler.errors import LedgerError
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.sites import Learned
from scheduler.site.site import Site


def forget_learned(site: Site) -> list[Finding]:
    """Forget what was learned of a site: how many jobs its batch system accepts, and that it keeps no history.

    Returns:
        A finding about each fact that was forgotten; none if the ledger cannot be opened, which is another finding.
    """
    try:
        ledger = Ledger()
    except LedgerError:
        return []
    with contextlib.closing(ledger):
        key = known_as(site, ledger)
        found = [] if key is None else list(_learned(ledger.sites.learned(key)))
        if key is not None and found:
            ledger.sites.forget_learned(key)
    return found


def _learned(facts: Learned) -> Iterator[Finding]:
    if facts.room is not None:
        when = f"{_age(facts.full_at)}, " if facts.full_at else ""
        words = f"the queue was full {when}with {facts.room} jobs of yours; forgotten: the next submission tries again"
        yield ok("queue limit", words)
    if facts.history == "none":
        words = f"finished jobs could not be queried {_age(facts.history_at)}; forgotten: queried again when needed"
        yield ok("learned history", words)


def _age(at: float) -> str:
    """``12 min ago``"""
    return f"{max(0.0, time.time() - at) / 60:.0f} min ago" if at else "earlier"
