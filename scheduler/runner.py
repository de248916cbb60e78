"""Runner: the open way to a site. It joins Job objects with the ledger's rows; each verb is a short story."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType

from scheduler.batch.base import find
from scheduler.engine.collect.fetch import Progress
from scheduler.engine.connect import no_prompter, transport_to
from scheduler.engine.context import SiteContext
from scheduler.engine.session import SiteSession
from scheduler.engine.submit.record import record_intent
from scheduler.errors import BatchError, JobError
from scheduler.job.job import Job
from scheduler.job.state import Cause, JobState, Status
from scheduler.job.validation import refuse_shared_folders
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow
from scheduler.render.bundle import render
from scheduler.site.catalog import find_site
from scheduler.site.site import Site
from scheduler.transports.base import Transport


class Runner:
    """The way to one site: ``with Runner("perlmutter") as runner: runner.submit(jobs); runner.wait(jobs)``.

    Args:
        site: a site's name, the path of a site file, or a Site. ``"local"`` needs no cluster.
        campaign: a name for jobs that belong together. A job_id that this campaign has already submitted to this site
            is adopted, with its state and results, instead of being submitted again.
        ledger: where jobs are recorded; by default this user's own.
        transport: how to reach the site; by default as its file says.
        prompt: whether a login that needs a passphrase, a password or a one-time code may ask for it at the terminal.
        sleep: called with the seconds between two questions of `wait`.

    Raises:
        ConfigError: there is no such site, or its file is wrong.
        LedgerError: the ledger cannot be opened.
    """

    reports_states = True
    """Tells Job.run that states are ours to set."""

    def __init__(
        self,
        site: str | Path | Site,
        *,
        campaign: str | None = None,
        ledger: Ledger | None = None,
        transport: Transport | None = None,
        prompt: bool = True,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.site = site if isinstance(site, Site) else find_site(site)
        self.campaign = campaign
        self.ledger = ledger if ledger is not None else Ledger()
        prompter = None if prompt else no_prompter()
        self.transport = transport if transport is not None else transport_to(self.site, prompter=prompter)
        self.session = SiteSession(SiteContext(self.site, find(self.site.scheduler), self.ledger, self.transport))
        self._sleep = sleep
        self._keys: dict[Job, int] = {}
        self._taken: dict[Job, tuple[object, Status]] = {}

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give connection and ledger back. Jobs go on."""
        self.transport.close()
        self.ledger.close()

    @property
    def trouble(self) -> str:
        """Why the last question had no answer, for a person; empty if it had."""
        return self.session.last_error

    # the many-jobs way

    def submit(self, jobs: Iterable[Job]) -> None:
        """Submit jobs as one bundle, in one remote command. After an error, the same call goes on where it was.

        Raises:
            JobError, ConfigError: a job cannot be rendered; nothing was sent.
            TransportError: the line was cut; nothing is lost, and what arrived is not sent again.
            BatchError: the batch system refused some; the others go on.
        """
        jobs = list(jobs)
        refuse_shared_folders(jobs)
        if jobs:
            self.transport.prepare()
        token = None
        while token is None:
            self._adopt(jobs)
            self._send_on(jobs)
            new = [job for job in jobs if job not in self._keys or job.status.cause is Cause.REFUSED]
            token = self._record(new) if new else ""
        if token:
            self._fill()
        self._refresh(jobs)
        self._raise_refusals(jobs)

    def poll(self) -> None:
        """Look at every job of the site that has not ended: one remote command, or none if it was asked just now.

        Raises:
            TransportError: the site was not reached; no state has changed.
        """
        self.session.poll()
        self._refresh(list(self._keys))

    def collect(self, jobs: Iterable[Job] | None = None, *, progress: Progress | None = None) -> None:
        """Bring home the outputs of jobs that have ended, and give them their results: two remote commands.

        Raises:
            OutputError: a file is not what was announced, or cannot be written here. Collect again.
            TransportError: the line was cut; what is home stays.
        """
        wanted = self._wanted(jobs)
        self.session.collect(self.keys(wanted), progress=progress)
        self._refresh(wanted)

    def wait(
        self,
        jobs: Iterable[Job] | None = None,
        timeout: float | None = None,
        *,
        seen: Callable[[], None] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Poll and collect until all these jobs (default: all of this runner) have ended and are home.

        A connection that breaks, or a queue that does not answer, is waited out: it says nothing of the jobs.

        Args:
            timeout: seconds after which to give up waiting. The jobs go on.
            seen: called after each look, when the jobs are fresh.
            progress: told the bytes that are home, and how many there are.

        Raises:
            WaitTimeout: `timeout` has passed (a TimeoutError).
            LoginError, HostKeyError: waiting would not help. The jobs go on; wait again later.
            JobError: one of them was never submitted by this runner.
        """
        wanted = self._wanted(jobs)
        self._refuse_strangers(wanted)

        def fresh() -> None:
            self._refresh(wanted)
            if seen is not None:
                seen()

        self.session.wait(self.keys(wanted), timeout=timeout, seen=fresh, progress=progress, sleep=self._sleep)

    def retry(self, jobs: Iterable[Job], *, memory: str | None = None, walltime: str | None = None) -> None:
        """Submit jobs again that ended without completing, in one remote command; earlier attempts are kept.

        Args:
            memory: what they ask for now instead, as in `Resources`.
            walltime: likewise.

        Raises:
            JobError: one of them cannot be tried again, and why; the others are. Or the site does not allow so much,
                and none is.
            TransportError: the line was cut; nothing is lost: the next `poll` sends what did not arrive.
        """
        jobs = list(jobs)
        self._refuse_strangers(jobs)
        refused = self.session.dispatcher.retry(self.keys(jobs), memory=memory, walltime=walltime)
        self._refresh(jobs)
        if refused:
            first = next(job for job in jobs if self._keys[job] in refused)
            which = f"{len(refused)} of {len(jobs)} jobs are not retried, {first.job_id!r} first"
            raise JobError(f"site {self.site.name!r}: {which}: {refused[self._keys[first]]}")

    def cancel(self, jobs: Iterable[Job]) -> None:
        """Ask the batch system to end jobs, in one remote command. Whether they did is what the next `poll` tells.

        Raises:
            BatchError: its cancel command failed, in its own words.
            TransportError: the site was not reached.
        """
        self.session.cancel(self.keys(jobs))

    # the one-job way, as AID2E's runners have it

    def run_job(self, job: Job) -> None:
        """Submit one job."""
        self.submit([job])

    def check_job_status(self, job: Job) -> None:
        """Look at one job (and, since it costs the same, at all others); if it has ended, bring its outputs home."""
        self.session.poll_and_collect(self.keys([job]))
        self._refresh([job])

    def cancel_job(self, job: Job) -> None:
        """Cancel one job."""
        self.cancel([job])

    # what the verbs are made of

    def keys(self, jobs: Iterable[Job]) -> list[int]:
        """The ledger's keys of those jobs that this runner has submitted or adopted."""
        return [self._keys[job] for job in jobs if job in self._keys]

    def _refuse_strangers(self, jobs: Iterable[Job]) -> None:
        stranger = next((job for job in jobs if job not in self._keys), None)
        if stranger is not None:
            raise JobError(f"job {stranger.job_id!r} was not submitted by this runner; submit it first")

    def _wanted(self, jobs: Iterable[Job] | None) -> list[Job]:
        return list(self._keys) if jobs is None else list(jobs)

    def _adopt(self, jobs: Sequence[Job]) -> None:
        """Jobs that this campaign has already submitted here are those, not new ones."""
        if self.campaign is None:
            return
        rows = self.ledger.of_campaign(self.campaign, self.site.name)
        known = {row.job_id: row.key for row in rows if row.status.cause is not Cause.REFUSED}
        for job in jobs:
            if job not in self._keys and job.job_id in known:
                self._keys[job] = known[job.job_id]
        self._refresh(jobs)

    def _record(self, jobs: Sequence[Job]) -> str | None:
        """Write down that these jobs are to be sent; None if another process of this campaign was faster."""
        bundle = render(jobs, self.site, campaign=self.campaign)
        keys = record_intent(bundle, self.site, self.ledger, campaign=self.campaign)
        if not keys:
            return None
        self._keys.update(zip((job for _, job in bundle.jobs), keys, strict=True))
        on_its_way = Status(JobState.SUBMITTING)
        for job in jobs:
            job.observe(on_its_way)
        return bundle.token

    def _send_on(self, jobs: Sequence[Job]) -> None:
        """What an earlier call could not send whole."""
        for token in dict.fromkeys(row.bundle for row in self.ledger.of_keys(self.keys(jobs)) if _unheard(row)):
            self._told(partial(self.session.dispatcher.send, token))

    def _fill(self) -> None:
        """Send what the site has room for: what waits for longer goes first."""
        self._told(self.session.dispatcher.send_waiting)

    def _told(self, act: Callable[[], object]) -> None:
        try:
            act()
        except JobError:  # the record of it is struck out: these jobs are new again
            there = {row.key for row in self.ledger.of_keys(list(self._keys.values()))}
            for job in [job for job, key in self._keys.items() if key not in there]:
                del self._keys[job]
                job.state = JobState.CREATED
            raise

    def _refresh(self, jobs: Sequence[Job]) -> None:
        """Take what the ledger knows into the Job objects: of those that are not as they were when it was done last."""
        marks = self.ledger.polls.marks(self.keys(jobs))
        mark_of = {job: marks.get(self._keys.get(job, -1)) for job in jobs}
        moved = [job for job, mark in mark_of.items() if self._taken.get(job) != (mark, job.status)]
        rows = {row.key: row for row in self.ledger.of_keys(self.keys(moved))}
        due = self.session.due_for_retry(list(rows.values()))  # their status is not final: another attempt follows
        for job in moved:
            row = rows.get(self._keys.get(job, -1))
            if row is not None and row.key not in due:
                job.observe(row.status, row.results)
                self._taken[job] = (mark_of[job], job.status)

    def _raise_refusals(self, jobs: Sequence[Job]) -> None:
        refused = [job for job in jobs if job.status.cause is Cause.REFUSED]
        if refused:
            words = refused[0].status.reason
            which = f"{len(refused)} of {len(jobs)} jobs were refused, {refused[0].job_id!r} first"
            message = f"site {self.site.name!r}: {which}: {words}"
            raise BatchError(message, command=self.session.context.system.submit_command, words=words)


def _unheard(row: JobRow) -> bool:
    """It was sent, or was about to be, and the site has not answered for it."""
    return not row.sent and not row.waiting and row.batch_id is None and not row.status.final
