"""Runner: the open connection to one site, and the only object that acts. Its verbs join Job objects with the ledger.

submit(jobs):
    adopt the jobs that this campaign has submitted before, with the same content; other content is an error
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
from pathlib import Path
from typing import Any, Literal

from scheduler.batch.base import find
from scheduler.engine.collect.fetch import Progress
from scheduler.engine.connect import no_prompter, transport_to
from scheduler.engine.context import SiteContext
from scheduler.engine.identity import Changed, Rules
from scheduler.engine.session import SiteSession
from scheduler.engine.submit.local_folders import refuse_shared_folders
from scheduler.engine.submitter import Submitter
from scheduler.engine.tracked_jobs import TrackedJobs
from scheduler.errors import JobError
from scheduler.job.job import Job
from scheduler.ledger.ledger import Ledger
from scheduler.site.catalog import find_site
from scheduler.site.site import Site
from scheduler.transports.base import Transport


class Runner:
    """The connection to one site: ``with Runner("perlmutter") as runner: runner.submit(jobs); runner.wait(jobs)``.

    Several threads may use one Runner. In another process (forked, or by pickle) it opens connection and ledger anew.

    Args:
        site: the name of a site, the path of a site file, or a Site. ``"local"`` needs no cluster.
        campaign: a name for jobs that belong together, at one or more sites. A job that this campaign has already is
            adopted, with its state and results, and not submitted a second time.
        changed: what happens to a job whose campaign has its job_id with other content (params, script, function,
            inputs, …): ``"error"``; ``"keep"`` adopts the recorded job; ``"rerun"`` submits another attempt of it.
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
        changed: Literal["error", "keep", "rerun"] = "error",
    ) -> None:  # fmt: skip
        asking = None if prompt else no_prompter()
        self.site = site if isinstance(site, Site) else find_site(site, prompter=asking)
        self.campaign, self.changed = campaign, Changed(changed)
        self.ledger = ledger if ledger is not None else Ledger()
        self._prompt, self._sleep = prompt, sleep
        self._open(transport)

    def _open(self, transport: Transport | None = None) -> None:
        prompter = None if self._prompt else no_prompter()
        self.transport = transport if transport is not None else transport_to(self.site, prompter=prompter)
        self.session = SiteSession(SiteContext(self.site, find(self.site.scheduler), self.ledger, self.transport))
        self._tracked = TrackedJobs(self.ledger, due=self.session.due_for_retry)
        self._submitter = Submitter(self.session, self._tracked, campaign=self.campaign)

    def __getstate__(self) -> dict[str, Any]:
        """For another process: what it opens anew, and the jobs."""
        tracked = [(job, key) for job in self._tracked for key in self._tracked.keys([job])]
        return {"site": self.site.to_json(), "campaign": self.campaign, "folder": self.ledger.folder,
                "prompt": self._prompt, "jobs": tracked, "changed": self.changed.value}  # fmt: skip

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.site, self.campaign = Site.from_json(state["site"]), state["campaign"]
        self.changed = Changed(state["changed"])
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
            JobError, ConfigError: a job cannot be rendered, or its campaign has it with other content (`changed`), or
                at another site, unfinished; nothing was sent.
            TransportError: the connection was lost; nothing is lost, and what has arrived is not sent a second time.
            BatchError: the batch system refused some of the jobs; the others are submitted.
        """
        self._submit(list(jobs), retried=False)

    def resubmit(self, jobs: Iterable[Job]) -> None:
        """Submit jobs as `submit` does. Those of the campaign that have failed or were cancelled get another attempt,
        with the script, values and files that are here now.

        Raises:
            SchedulerError: as `submit`.
        """
        self._submit(list(jobs), retried=True)

    def _submit(self, jobs: Sequence[Job], *, retried: bool) -> None:
        refuse_shared_folders(jobs)
        self._assign(jobs)
        with self.session.acting:
            self._submitter.submit(jobs, Rules(self.changed, retried=retried))
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

    def retry(
        self, jobs: Iterable[Job], *, memory: str | None = None, walltime: str | None = None, force: bool = False
    ) -> None:
        """Submit a new attempt of failed or cancelled jobs, with one remote command. Earlier attempts are kept.

        Args:
            jobs: the jobs to retry.
            memory: their new memory, as in `Resources`; None: unchanged.
            walltime: their new walltime, as in `Resources`; None: unchanged.
            force: also jobs of which the attempt before may still run (it is lost, or its cancellation is pending).

        Raises:
            JobError: some jobs cannot be retried; the others are. If the site does not allow the resources, no job is.
            TransportError: the connection was lost; the next `poll` sends what has not arrived.
        """
        jobs = list(jobs)
        self._tracked.require(jobs)
        if self.ledger.lost(self.keys(jobs)):  # a job that runs or has completed must not get another attempt
            self.session.poll()
        with self.session.acting:
            reasons = self.session.dispatcher.retry(self.keys(jobs), memory=memory, walltime=walltime, force=force)
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
