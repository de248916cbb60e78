"""Jobs are asked after, waited for and brought home, site by site, while somebody watches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scheduler.cli.reconnect import by_site, session_at
from scheduler.cli.screen import console
from scheduler.cli.screen.progress import meter
from scheduler.engine.session import SiteSession
from scheduler.errors import SchedulerError, TransportError, WaitTimeout
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow


def wait(rows: Sequence[JobRow], ledger: Ledger, *, title: str, timeout: float | None) -> bool:
    """Wait until these jobs have ended and are home, one site after the other.

    What stands in the way at one site is said; the others go on.

    Returns:
        Whether all sites could be waited for to the end.

    Raises:
        WaitTimeout: `timeout` has passed. The jobs go on.
    """

    def wait_at(work: SiteSession, keys: list[int]) -> None:
        one_site = title if title.endswith(work.context.site.name) else f"{title} on {work.context.site.name}"
        watch(work, keys, title=one_site, timeout=timeout)

    return _each_site(rows, ledger, wait_at)


def watch(work: SiteSession, keys: list[int], *, title: str, timeout: float | None) -> None:
    """Wait for jobs of one site, and show how far they are.

    Raises:
        WaitTimeout, LoginError, HostKeyError, OutputError: as `SiteSession.wait`.
    """
    trouble = ""
    with meter(title, lambda: work.context.ledger.of_keys(keys)) as shown:

        def seen() -> None:
            nonlocal trouble
            if work.last_error and work.last_error != trouble:
                console.say(
                    f"{work.context.site.name}: no answer: {work.last_error}\nThe jobs go on, and so does the waiting.",
                    "yellow",
                )
            trouble = work.last_error
            shown.look()

        work.wait(keys, timeout=timeout, seen=seen, progress=shown.fetched)


def refresh(rows: Sequence[JobRow], ledger: Ledger) -> bool:
    """Ask after these jobs, one question a site; whether all sites answered."""
    return _each_site(rows, ledger, lambda work, _: _poll(work))


def collect(rows: Sequence[JobRow], ledger: Ledger) -> bool:
    """Bring home what has ended by now; whether all sites could be asked."""

    def collect_at(work: SiteSession, keys: list[int]) -> None:
        fresh = ledger.of_keys(keys)
        if any(not row.status.final for row in fresh) or work.due_for_retry(fresh):
            _poll(work)
        with meter(f"from {work.context.site.name}", lambda: ledger.of_keys(keys)) as shown:
            work.collect(keys, progress=shown.fetched)

    return _each_site(rows, ledger, collect_at)


def cancel(rows: Sequence[JobRow], ledger: Ledger) -> bool:
    """Ask the batch systems to end these jobs; whether all of them could be asked."""
    return _each_site(rows, ledger, lambda work, keys: work.cancel(keys))


def retry(
    rows: Sequence[JobRow], ledger: Ledger, *, memory: str | None, walltime: str | None
) -> tuple[dict[int, str], bool]:
    """Submit these jobs again: which of them are not, by their keys, and why; and whether all sites could be asked."""
    refused: dict[int, str] = {}

    def retry_at(work: SiteSession, keys: list[int]) -> None:
        refused.update(work.dispatcher.retry(keys, memory=memory, walltime=walltime))

    return refused, _each_site(rows, ledger, retry_at)


def _poll(work: SiteSession) -> None:
    work.poll()
    if work.last_error:
        raise TransportError(f"the queue of {work.context.site.name} did not answer: {work.last_error}")


def _each_site(rows: Sequence[JobRow], ledger: Ledger, act: Callable[[SiteSession, list[int]], None]) -> bool:
    """Act at each site of these jobs. An error there is said, and the next site has its turn."""
    well = True
    for site, keys in by_site(rows).items():
        try:
            with session_at(site, ledger) as work:
                act(work, keys)
        except WaitTimeout:
            raise
        except SchedulerError as error:
            console.complain(f"{site}: {error}" if site not in str(error) else str(error))
            well = False
    return well
