"""Runner: the open connection to one site, and the only object that acts. Its verbs join Job objects with the ledger.

submit(jobs):
    adopt the jobs that this campaign has submitted before
    resume what an earlier, interrupted call has recorded but not sent
    render the new jobs, and record them              from here on no crash loses or duplicates a job
    send: one remote command unpacks and submits; its reply is recorded
wait(jobs):
    until all of them are final and collected:
        poll:    one remote command → evidence → a status for each job → ledger
        retry:   submit the next attempt of failed jobs, as their `retry` requires
        collect: list the outputs, download, verify, rename
        refresh: copy statuses and results from the ledger to the Job objects
        sleep as long as the site requires, longer while nothing changes

The work for a site is in `scheduler.engine`: there a job is a row of the ledger, so that any process can continue it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from scheduler.batch.base import find
from scheduler.engine.collect.fetch import Progress
from scheduler.engine.connect import no_prompter, transport_to
from scheduler.engine.context import SiteContext
from scheduler.engine.session import SiteSession
from scheduler.engine.submit.local_folders import refuse_shared_folders, set_apart
from scheduler.engine.submit.record import record_intent
from scheduler.engine.tracked_jobs import TrackedJobs
from scheduler.errors import JobError
from scheduler.job.job import Job
from scheduler.job.state import JobState, Status
from scheduler.ledger.ledger import Ledger
from scheduler.render.bundle import render
from scheduler.site.catalog import find_site
from scheduler.site.site import Site
from scheduler.transports.base import Transport


class Runner:
    """The connection to one site: ``with Runner("perlmutter") as runner: runner.submit(jobs); runner.wait(jobs)``.

    Several threads may use one Runner. In another process (forked, or by pickle) it opens connection and ledger anew.

    Args:
        site: the name of a site, the path of a site file, or a Site. ``"local"`` needs no cluster.
        campaign: a name for jobs that belong together. A job_id that this campaign has already submitted to this site
            is adopted, with its state and results, and not submitted a second time.
        ledger: the record of all jobs; default: the user's own, in ``$SCHEDULER_STATE_DIR``.
        transport: how commands reach the site; default: the one in its file.
        prompt: whether a login may ask for a passphrase, password or one-time code at the terminal, and whether you
            may be asked there to trust a site file of ``./site_configs``.
        sleep: called by `wait` with the seconds until the next poll.

    Raises:
        ConfigError: the site does not exist, or its file is wrong.
        LedgerError: the ledger cannot be opened.
    """

    reports_states = True
    """For `Job.run`: this runner sets the states of its jobs."""

    def __init__(
        self, site: str | Path | Site, *, campaign: str | None = None, ledger: Ledger | None = None,
        transport: Transport | None = None, prompt: bool = True, sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        asking = None if prompt else no_prompter()
        self.site = site if isinstance(site, Site) else find_site(site, prompter=asking)
        self.campaign = campaign
        self.ledger = ledger if ledger is not None else Ledger()
        self._prompt, self._sleep = prompt, sleep
        self._open(transport)

    def _open(self, transport: Transport | None = None) -> None:
        prompter = None if self._prompt else no_prompter()
        self.transport = transport if transport is not None else transport_to(self.site, prompter=prompter)
        self.session = SiteSession(SiteContext(self.site, find(self.site.scheduler), self.ledger, self.transport))
        self._tracked = TrackedJobs(self.ledger, due=self.session.due_for_retry)

    def __getstate__(self) -> dict[str, Any]:
        """For another process: what it opens anew, and the jobs."""
        tracked = [(job, key) for job in self._tracked for key in self._tracked.keys([job])]
        return {"site": self.site.to_json(), "campaign": self.campaign, "folder": self.ledger.folder,
                "prompt": self._prompt, "jobs": tracked}  # fmt: skip

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.site, self.campaign = Site.from_json(state["site"]), state["campaign"]
        self.ledger, self._prompt, self._sleep = Ledger(state["folder"]), state["prompt"], time.sleep
        self._open()
        self._tracked.add((job for job, _ in state["jobs"]), (key for _, key in state["jobs"]))

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and the ledger. Submitted jobs continue."""
        self.transport.close()
        self.ledger.close()

    @property
    def trouble(self) -> str:
        """Why the last poll failed; empty if it succeeded."""
        return self.session.last_error

    def submit(self, jobs: Iterable[Job]) -> None:
        """Submit jobs as one bundle, in one remote command. After an error, the same call continues where it stopped.

        Raises:
            JobError, ConfigError: a job cannot be rendered; nothing was sent.
            TransportError: the connection was lost; nothing is lost, and what has arrived is not sent a second time.
            BatchError: the batch system refused some of the jobs; the others are submitted.
        """
        jobs = list(jobs)
        refuse_shared_folders(jobs)
        self._assign(jobs)
        if jobs:
            self.transport.prepare()
        with self.session.acting:
            token = None
            while token is None:
                if self.campaign is not None:
                    self._tracked.adopt(jobs, campaign=self.campaign, site=self.session.context.key)
                for unsent in self._tracked.unsent(jobs):
                    self._act(partial(self.session.dispatcher.send, unsent))
                new = self._tracked.new(jobs)
                token = self._record(new) if new else ""
            if token:
                self._act(self.session.dispatcher.send_waiting)
            self._tracked.refresh(jobs)
            self._tracked.raise_refused(jobs, site=self.site, command=self.session.context.system.submit_command)

    def poll(self) -> None:
        """Update all unfinished jobs of the site with one remote command, or none if polled recently.

        Raises:
            TransportError: the site could not be reached; no status has changed.
        """
        self.session.poll()
        self._tracked.refresh(list(self._tracked))

    def collect(self, jobs: Iterable[Job] | None = None, *, progress: Progress | None = None) -> None:
        """Download the outputs of finished jobs (default: all), and set their results, with two remote commands.

        Args:
            jobs: the jobs whose outputs are downloaded if they have finished.
            progress: called with the number of bytes downloaded so far, and of all bytes.

        Raises:
            OutputError: a file differs from its listed size or hash, or cannot be written locally; collect again.
            TransportError: the connection was lost; downloaded files are kept.
        """
        chosen = list(self._tracked if jobs is None else jobs)
        self.session.collect(self.keys(chosen), progress=progress)
        self._tracked.refresh(chosen)

    def wait(
        self, jobs: Iterable[Job] | None = None, timeout: float | None = None, *,
        seen: Callable[[], None] | None = None, progress: Progress | None = None,
    ) -> None:  # fmt: skip
        """Poll and collect until all these jobs (default: all of this runner) are final and collected.

        A lost connection and a batch system that does not answer are retried: neither is evidence about the jobs.

        Args:
            timeout: the most seconds to wait; None: no limit.
            seen: called after each poll, when the jobs are up to date.
            progress: called with the number of bytes downloaded so far, and of all bytes.

        Raises:
            WaitTimeout: (also a TimeoutError) `timeout` has passed; the jobs continue.
            LoginError, HostKeyError: waiting would not help; the jobs continue, wait for them later.
            JobError: one of them was not submitted by this runner.
        """
        chosen = list(self._tracked if jobs is None else jobs)
        self._tracked.require(chosen)

        def polled() -> None:
            self._tracked.refresh(chosen)
            if seen is not None:
                seen()

        self.session.wait(self.keys(chosen), timeout=timeout, seen=polled, progress=progress, sleep=self._sleep)

    def as_completed(self, jobs: Iterable[Job] | None = None, timeout: float | None = None) -> Iterator[Job]:
        """Poll and collect as `wait` does, and give each of these jobs (default: all) when it is final and collected.

        Raises:
            WaitTimeout, LoginError, HostKeyError, OutputError, JobError: as `wait`.
        """
        left = list(self._tracked if jobs is None else jobs)
        self._tracked.require(left)
        for _ in self.session.polls(self.keys(left), timeout=timeout, sleep=self._sleep):
            yield from self._tracked.done(left)
        yield from self._tracked.done(left)

    def jobs(self, campaign: str | None = None) -> list[Job]:
        """The jobs of a campaign (default: this runner's own) at this site, as the ledger has them; nothing is polled.

        Jobs that another process has submitted have their id, type, folder, outputs, status and results, and not what
        they run: they can be waited for, collected, cancelled and retried, and not be submitted.

        Raises:
            JobError: neither this call nor the Runner names a campaign.
        """
        name = campaign if campaign is not None else self.campaign
        if name is None:
            raise JobError("which jobs? Name a campaign: Runner.jobs(campaign=...)")
        rows = self.ledger.of_campaign(name, self.session.context.key)
        jobs = self._tracked.recorded(list({row.job_id: row for row in rows}.values()))
        self._assign(jobs)
        return jobs

    def retry(self, jobs: Iterable[Job], *, memory: str | None = None, walltime: str | None = None) -> None:
        """Submit a new attempt of failed or cancelled jobs, with one remote command. Earlier attempts are kept.

        Args:
            jobs: the jobs to retry.
            memory: their new memory, as in `Resources`; None: unchanged.
            walltime: their new walltime, as in `Resources`; None: unchanged.

        Raises:
            JobError: some jobs cannot be retried; the others are. If the site does not allow the resources, no job is.
            TransportError: the connection was lost; the next `poll` sends what has not arrived.
        """
        jobs = list(jobs)
        self._tracked.require(jobs)
        if self.ledger.lost(self.keys(jobs)):  # a job that runs or has completed must not get another attempt
            self.session.poll()
        with self.session.acting:
            reasons = self.session.dispatcher.retry(self.keys(jobs), memory=memory, walltime=walltime)
        self._tracked.refresh(jobs)
        self._tracked.raise_not_retried(jobs, reasons, site=self.site)

    def cancel(self, jobs: Iterable[Job]) -> None:
        """Have the batch system cancel jobs, with one remote command. The next `poll` shows which are cancelled.

        Raises:
            BatchError: the cancel command failed; the error has the message of the batch system.
            TransportError: the site could not be reached.
        """
        self.session.cancel(self.keys(jobs))

    def run_job(self, job: Job) -> None:
        """Submit one job: see `submit`."""
        self.submit([job])

    def check_job_status(self, job: Job) -> None:
        """Poll all jobs, which costs no more than polling one; if `job` has finished, download its outputs."""
        self.session.poll_and_collect(self.keys([job]))
        self._tracked.refresh([job])

    def cancel_job(self, job: Job) -> None:
        """Cancel one job: see `cancel`."""
        self.cancel([job])

    def keys(self, jobs: Iterable[Job]) -> list[int]:
        """The ledger's keys of the jobs among `jobs` that this runner has submitted or adopted."""
        return self._tracked.keys(jobs)

    def _assign(self, jobs: Iterable[Job]) -> None:
        """Be the runner that these jobs ask, unless the user has given them one of another kind."""
        for job in jobs:
            if job.runner is None or isinstance(job.runner, Runner):
                job.set_runner(self)

    def _record(self, jobs: Sequence[Job]) -> str | None:
        """Record the intent to submit. Gives the bundle's token; None if another process of the campaign was first."""
        set_apart(jobs, self.ledger)
        bundle = render(jobs, self.site, campaign=self.campaign)
        keys = record_intent(bundle, self.session.context, campaign=self.campaign)
        if not keys:
            return None
        self._tracked.add((job for _, job in bundle.jobs), keys)
        for job in jobs:
            job.observe(Status(JobState.SUBMITTING))
        return bundle.token

    def _act(self, send: Callable[[], object]) -> None:
        try:
            send()
        except JobError:  # a bundle that can no longer be sent was deleted from the ledger
            self._tracked.drop_deleted()
            raise
