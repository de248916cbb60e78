"""Polls, waits for, collects, cancels and retries jobs, site by site, with progress and errors on the screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from scheduler.cli.reconnect import keys_by_site, open_session
from scheduler.cli.screen import console
from scheduler.cli.screen.progress import progress_display
from scheduler.engine.identity import Rules
from scheduler.engine.session import SiteSession
from scheduler.engine.submit.local_folders import refuse_shared_folders
from scheduler.engine.submitter import Submitter
from scheduler.engine.tracked_jobs import TrackedJobs
from scheduler.errors import LoginError, SchedulerError, TransportError, WaitTimeout
from scheduler.job.job import Job
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow
from scheduler.transports.prompt import NoPrompter, Prompter

_NOT_ASKED = "this command was not asked about this site"


def wait(rows: Sequence[JobRow], ledger: Ledger, *, title: str, timeout: float | None) -> bool:
    """Wait until jobs are finished and collected, one site after the other. An error at one site does not stop others.

    Args:
        title: what the progress line calls the jobs.
        timeout: seconds to wait at most at each site; None waits without limit.

    Returns:
        True if there was no error at any site.

    Raises:
        WaitTimeout: `timeout` has passed. The jobs are not affected.
    """

    def wait_at(session: SiteSession, keys: list[int]) -> None:
        with_site = title if title.endswith(session.context.site.name) else f"{title} on {session.context.site.name}"
        wait_at_site(session, keys, title=with_site, timeout=timeout)

    return _each_site(rows, ledger, wait_at)


def wait_at_site(session: SiteSession, keys: list[int], *, title: str, timeout: float | None) -> None:
    """Wait until jobs of one site are finished and collected, and print progress. Each new error is printed once.

    Raises:
        WaitTimeout, LoginError, HostKeyError, OutputError: as `SiteSession.wait`.
    """
    printed = ""
    with progress_display(title, lambda: session.context.ledger.of_keys(keys)) as display:

        def after_poll() -> None:
            nonlocal printed
            if session.last_error and session.last_error != printed:
                console.print_message(
                    f"{session.context.site.name}: {session.last_error}\nStill waiting; polling continues.", "yellow"
                )
            printed = session.last_error
            display.update()

        session.wait(keys, timeout=timeout, seen=after_poll, progress=display.downloaded)


def poll(rows: Sequence[JobRow], ledger: Ledger, *, asked: bool = True) -> bool:
    """Poll the sites of jobs, each once. Returns True if there was no error at any site.

    Args:
        asked: the user has asked about these sites; of others, those whose login needs a prompt are skipped and named.
    """
    prompter = None if asked else NoPrompter(_NOT_ASKED)
    skipped: list[str] = []
    no_errors = _each_site(rows, ledger, lambda session, _: _poll_site(session), prompter=prompter, skipped=skipped)
    for site in skipped:
        console.print_message(
            f"skipped {site}: its login needs a password or a code; to be asked for it: scheduler status --site {site}",
            "yellow",
        )
    return no_errors


def collect(rows: Sequence[JobRow], ledger: Ledger) -> bool:
    """Download outputs of the finished jobs. Returns True if there was no error at any site."""

    def collect_at(session: SiteSession, keys: list[int]) -> None:
        fresh = ledger.of_keys(keys)
        if any(not row.status.final for row in fresh) or session.due_for_retry(fresh):
            _poll_site(session)
        with progress_display(f"from {session.context.site.name}", lambda: ledger.of_keys(keys)) as display:
            session.collect(keys, progress=display.downloaded)

    return _each_site(rows, ledger, collect_at)


def collect_again(rows: Sequence[JobRow], ledger: Ledger, *, to: Path | None) -> bool:
    """Download outputs of collected jobs once more, below `to` if given. Returns True if there was no error."""

    def collect_at(session: SiteSession, keys: list[int]) -> None:
        with progress_display(f"from {session.context.site.name}", lambda: ledger.of_keys(keys)) as display:
            session.collect_again(keys, to=to, progress=display.downloaded)

    return _each_site(rows, ledger, collect_at)


def cancel(rows: Sequence[JobRow], ledger: Ledger) -> bool:
    """Request the batch systems to cancel jobs. Returns True if there was no error at any site."""
    return _each_site(rows, ledger, lambda session, keys: session.cancel(keys))


def retry(
    rows: Sequence[JobRow], ledger: Ledger, *, memory: str | None, walltime: str | None, force: bool = False
) -> tuple[dict[int, str], bool]:
    """Submit a new attempt of jobs.

    Args:
        memory: the memory that the new attempts request, with a unit; None requests what the last ones did.
        walltime: likewise.
        force: also those of which the attempt before may still run.

    Returns:
        The reasons, by their keys, why jobs are not retried; and True if there was no error at any site.
    """
    refused: dict[int, str] = {}

    def retry_at(session: SiteSession, keys: list[int]) -> None:
        if ledger.lost(keys):  # a job that runs or has completed must not get another attempt
            session.poll()
        refused.update(session.dispatcher.retry(keys, memory=memory, walltime=walltime, force=force))

    return refused, _each_site(rows, ledger, retry_at, for_attempts=True)


def resubmit(
    rows: Sequence[JobRow], jobs: Mapping[str, Job], ledger: Ledger, *, campaign: str, force: bool
) -> tuple[dict[int, str], bool]:
    """Submit a new attempt of jobs, with the content that they have now.

    Args:
        rows: of a campaign.
        jobs: id → the job as it is now.
        ledger: with the rows.
        campaign: of the jobs.
        force: also those of which the attempt before may still run.

    Returns:
        As `retry`.
    """

    def resubmit_at(session: SiteSession, keys: list[int]) -> None:
        if ledger.lost(keys):
            session.poll()
        chosen = [jobs[row.job_id] for row in rows if row.key in keys]
        refuse_shared_folders(chosen)
        tracked = TrackedJobs(ledger, due=session.due_for_retry)
        rules = Rules(retried=True, force=force)
        Submitter(session, tracked, campaign=campaign).submit(chosen, rules)

    no_errors = _each_site(rows, ledger, resubmit_at, for_attempts=True)
    before = {row.key: row.retries for row in rows}
    left = [row for row in ledger.of_keys(before) if row.retries == before[row.key]]
    return {row.key: row.status.reason or str(row.status) for row in left}, no_errors


def _poll_site(session: SiteSession) -> None:
    session.poll()
    if session.last_error:
        raise TransportError(f"{session.context.site.name}: {session.last_error}")


def _each_site(
    rows: Sequence[JobRow],
    ledger: Ledger,
    act: Callable[[SiteSession, list[int]], None],
    *,
    for_attempts: bool = False,
    prompter: Prompter | None = None,
    skipped: list[str] | None = None,
) -> bool:
    """Call `act` for each site of these jobs. An error at a site is printed, and the next site follows.

    `prompter`: instead of the terminal. `skipped` gets the sites whose login needs a prompt that was not asked for.
    """
    no_errors = True
    for site, keys in keys_by_site(rows).items():
        try:
            with open_session(site, ledger, for_attempts=for_attempts, prompter=prompter) as session:
                act(session, keys)
        except WaitTimeout:
            raise
        except LoginError as error:
            if skipped is not None and _NOT_ASKED in str(error):
                skipped.append(site)
            else:
                console.print_error(f"{site}: {error}" if site not in str(error) else str(error))
            no_errors = False
        except SchedulerError as error:
            console.print_error(f"{site}: {error}" if site not in str(error) else str(error))
            no_errors = False
    return no_errors
