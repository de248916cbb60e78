"""Submits Job objects to one site: adopts those that exist, records the others, and sends what is recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from scheduler.engine import identity
from scheduler.engine.identity import Decisions, Rules
from scheduler.engine.session import SiteSession
from scheduler.engine.submit import spool
from scheduler.engine.submit.local_folders import set_apart
from scheduler.engine.submit.record import Intent, record_intent
from scheduler.engine.tracked_jobs import TrackedJobs
from scheduler.errors import JobError
from scheduler.job.job import Job
from scheduler.job.outcome.recorded import RecordedJob
from scheduler.job.state import JobState, Status
from scheduler.render.bundle import render
from scheduler.render.content.content import Content, Contents
from scheduler.render.content.file_digests import FileDigests, Stamp


class Submitter:
    """Submits jobs.

    Args:
        session: of the site.
        tracked: the jobs that were submitted or adopted; new ones are added.
        campaign: of the jobs, or None.
    """

    def __init__(self, session: SiteSession, tracked: TrackedJobs, *, campaign: str | None) -> None:
        self._session, self._tracked = session, tracked
        self._campaign = campaign
        self._files: dict[Stamp, str] = {}

    def submit(self, jobs: Sequence[Job], rules: Rules) -> None:
        """Submit jobs as one bundle. Adopted jobs are not submitted, unless an earlier call was interrupted.

        Args:
            jobs: the jobs.
            rules: how those that exist are treated.

        Raises:
            JobError, ConfigError, TransportError, BatchError: as `Runner.submit`.
        """
        with self._session.acting:
            if self.record(jobs, rules):
                self._act(self._session.dispatcher.send_waiting)

    def record(self, jobs: Sequence[Job], rules: Rules) -> str:
        """Adopt the jobs that exist, and record the intent to submit the others. What an earlier call has recorded and
        not sent is sent. Returns the token of the recorded bundle; empty if there is none."""
        found = Contents(FileDigests(self._files))
        self._tracked.refuse_recorded(jobs, rules)
        contents = {job: found.of(job) for job in jobs if not isinstance(job, RecordedJob)}
        rules = replace(rules, site=self._session.context.key)
        self._drop_unsendable(jobs)
        before = self._decided(contents, rules)
        if jobs:
            self._session.context.transport.prepare()
        token = None
        while token is None:
            made = self._decided(contents, rules)
            self._tracked.adopt(made.adopted)
            for unsent in self._tracked.unsent(jobs):
                self._act(partial(self._session.dispatcher.send, unsent))
            new = set(made.new)
            chosen = [job for job in jobs if job in made.renewed or job in new]
            token = self._record(chosen, made, force=rules.force, of=(found, contents)) if chosen else ""
        for line in identity.notices(before):
            identity.LOGGER.warning(line)
        return token

    def _drop_unsendable(self, jobs: Sequence[Job]) -> None:
        """Raise the error of a recorded bundle that cannot be sent any more, as a large input has changed."""
        for token in self._tracked.unsent(jobs):
            if spool.changed(self._session.context.ledger.spool(token)):
                self._act(partial(self._session.dispatcher.send, token))

    def _decided(self, contents: Mapping[Job, Content], rules: Rules) -> Decisions:
        made = self._tracked.decide(contents, rules, campaign=self._campaign)
        identity.refuse(made, rules, campaign=self._campaign, site_name=self._session.context.site.name)
        return made

    def _record(
        self, jobs: Sequence[Job], made: Decisions, *, force: bool, of: tuple[Contents, Mapping[Job, Content]]
    ) -> str | None:
        """Record the intent to submit. Gives the bundle's token; None if another process of the campaign was first."""
        context = self._session.context
        found, contents = of
        set_apart(jobs, context.ledger)
        bundle = render(jobs, context.site, campaign=self._campaign, packer=found.packer)
        intent = Intent(bundle, self._campaign, contents, made.renewed, force=force, changed=found.files.changed)
        keys = record_intent(intent, context)
        if not keys:
            return None
        self._tracked.add((job for _, job in bundle.jobs), keys)
        for job in jobs:
            retries = made.renewed[job].retries + 1 if job in made.renewed else 0
            job.observe(Status(JobState.SUBMITTING, retries=retries))
        return bundle.token

    def _act(self, send: Callable[[], object]) -> None:
        try:
            send()
        except JobError:  # a bundle that can no longer be sent was deleted from the ledger
            self._tracked.drop_deleted()
            raise
