"""Runner: the open way to a site, and the only thing that acts. Each verb is a short story told with the other modules."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType

from scheduler import collector, poller, remote, submission
from scheduler.batch.base import write_indices
from scheduler.errors import BatchError, HostKeyError, JobError, LoginError, TransportError, WaitTimeout
from scheduler.job.job import Job
from scheduler.job.state import Cause, JobState
from scheduler.ledger import Ledger, is_gone
from scheduler.ledger_rows import JobRow
from scheduler.reach import transport_to
from scheduler.render import batch_system, render
from scheduler.results import results_of
from scheduler.site.catalog import find_site
from scheduler.site.site import Site
from scheduler.transports.base import Transport

SLOWEST_POLL_SECONDS = 300.0
"""While nothing changes, the time between two questions grows up to this."""


class Runner:
    """The way to one site: ``with Runner("perlmutter") as runner: runner.submit(jobs); runner.wait(jobs)``.

    Args:
        site: a site's name, the path of a site file, or a Site. ``"local"`` needs no cluster.
        campaign: a name for jobs that belong together. A job_id that this campaign has already submitted to this site
            is adopted, with its state and results, instead of being submitted again.
        ledger: where jobs are recorded; by default this user's own.
        transport: how to reach the site; by default as its file says.
        sleep: called with seconds between two questions of `wait`.

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
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.site = site if isinstance(site, Site) else find_site(site)
        self.campaign = campaign
        self.ledger = ledger if ledger is not None else Ledger()
        self.transport = transport if transport is not None else transport_to(self.site)
        self.trouble = ""
        """Why the last question had no answer, for a person; empty if it had."""
        self._system = batch_system(self.site)
        self._sleep = sleep
        self._keys: dict[Job, int] = {}

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

    # the many-jobs way

    def submit(self, jobs: Iterable[Job]) -> None:
        """Submit jobs as one bundle, in one remote command. After an error, the same call goes on where it was.

        Raises:
            JobError, ConfigError: a job cannot be rendered; nothing was sent.
            TransportError: the line was cut; nothing is lost, and what arrived is not sent again.
            BatchError: the batch system refused some; the others go on.
        """
        jobs = list(jobs)
        _refuse_shared_folders(jobs)
        self._adopt(jobs)
        unsent = {row.bundle for row in self._rows(jobs) if not row.sent}
        for token in unsent:
            self._send(token, again=False)
        new = [job for job in jobs if job not in self._keys or job.status.cause is Cause.REFUSED]
        if new:
            bundle = render(new, self.site, campaign=self.campaign)
            keys = submission.record(bundle, self.site, self.ledger, campaign=self.campaign)
            self._keys.update(zip((job for _, job in bundle.jobs), keys, strict=True))
            self._refresh(new)
            self._send(bundle.token, again=False)
        self._refresh(jobs)
        self._raise_refusals(jobs)

    def poll(self) -> None:
        """Look at every job of the site that has not ended: one remote command, or none if the site was asked just now.

        Raises:
            TransportError: the site was not reached; no state has changed.
        """
        if self.ledger.claim_poll(self.site.name, self.poll_seconds):
            self._resume()
            self.trouble = poller.poll(self.site, self._system, self.ledger, self.transport)
        self._refresh(list(self._keys))

    def collect(
        self, jobs: Iterable[Job] | None = None, *, progress: collector.Progress | None = None
    ) -> None:
        """Bring home the outputs of jobs that have ended, and give them their results: two remote commands.

        Raises:
            OutputError: a file is not what was announced, or cannot be written here. Collect again.
            TransportError: the line was cut; what is home stays.
        """
        wanted = list(self._keys) if jobs is None else list(jobs)
        ended = [row for row in self._rows(wanted) if row.status.final and not row.collected]
        self.collect_rows(ended, progress=progress)
        self._refresh(wanted)

    def collect_rows(self, rows: Sequence[JobRow], *, progress: collector.Progress | None = None) -> None:
        """The same for rows of the ledger, whoever submitted them."""
        began = [row for row in rows if row.folder is not None and row.status.cause is not Cause.REFUSED]
        with tempfile.TemporaryDirectory(prefix="scheduler-") as scratch:
            listed = (
                collector.manifest(began, self.transport, Path(scratch)) if began else collector.Manifest()
            )
            collector.fetch(listed.outputs, self.transport, progress)
            judged = {row.key: results_of(row, listed) for row in rows}
        changed = {row.key: judged[row.key][0] for row in rows if judged[row.key][0] != row.status}
        self.ledger.observe(
            changed, {key: f"outputs: {status}: {status.reason}" for key, status in changed.items()}
        )
        self.ledger.record_results({key: results for key, (_, results) in judged.items()})

    def wait(
        self,
        jobs: Iterable[Job] | None = None,
        timeout: float | None = None,
        *,
        progress: Callable[[], None] | None = None,
    ) -> None:
        """Poll and collect until all these jobs (default: all of this runner) have ended and are home.

        A connection that breaks, or a queue that does not answer, is waited out: it says nothing of the jobs.

        Args:
            timeout: seconds after which to give up waiting. The jobs go on.
            progress: called after each look.

        Raises:
            WaitTimeout: `timeout` has passed (a TimeoutError).
            LoginError, HostKeyError: waiting would not help. The jobs go on; wait again later.
        """
        wanted = list(self._keys) if jobs is None else list(jobs)
        started, pause, before = time.monotonic(), self.poll_seconds, ""
        while True:
            self._look(wanted)
            if progress is not None:
                progress()
            if all(job.final for job in wanted) and not self._uncollected(wanted):
                return
            if timeout is not None and time.monotonic() - started >= timeout:
                left = sum(not job.final for job in wanted)
                raise WaitTimeout(
                    f"{left} of {len(wanted)} jobs have not ended after {timeout:g} s; they go on"
                )
            now = " ".join(str(job.status) for job in wanted)
            pause = (
                self.poll_seconds
                if now != before
                else min(pause * 1.5, max(SLOWEST_POLL_SECONDS, self.poll_seconds))
            )
            before = now
            self._sleep(self._paused(pause, timeout, started))

    def cancel(self, jobs: Iterable[Job]) -> None:
        """Ask the batch system to end jobs, in one remote command. Whether they did is what the next `poll` tells.

        Raises:
            BatchError: its cancel command failed, in its own words.
            TransportError: the site was not reached.
        """
        self.cancel_rows([row for row in self._rows(list(jobs)) if not row.status.final])

    def cancel_rows(self, rows: Sequence[JobRow]) -> None:
        """The same for rows of the ledger, whoever submitted them."""
        lines: dict[tuple[str, int], list[JobRow]] = {}
        for row in rows:
            lines.setdefault((row.bundle, row.first), []).append(row)
        if not lines:
            return
        question = "".join(self._cancel_line(members) for members in lines.values())
        program = remote.program("cancel", self.site.scheduler)
        reply = self.transport.run(program, stdin=question.encode(), timeout=poller.POLL_SECONDS)
        if reply.exit_code != 0:
            words = reply.err.strip() or reply.out.strip()
            raise BatchError(f"site {self.site.name!r}: cancelling failed: {words}", command="cancel",
                             exit_code=reply.exit_code, words=words)  # fmt: skip

    # the one-job way, as AID2E's runners have it

    def run_job(self, job: Job) -> None:
        """Submit one job."""
        self.submit([job])

    def check_job_status(self, job: Job) -> None:
        """Look at one job (and, since it costs the same, at all others); if it has ended, bring its outputs home."""
        self._look([job])

    def cancel_job(self, job: Job) -> None:
        """Cancel one job."""
        self.cancel([job])

    # what the verbs are made of

    @property
    def poll_seconds(self) -> float:
        """The site is not asked more often than this."""
        return self.site.limits.poll_seconds or self._system.poll_seconds

    def _look(self, jobs: Sequence[Job]) -> None:
        try:
            self.poll()
            self.collect(jobs)
        except (LoginError, HostKeyError):
            raise
        except TransportError as error:
            self.trouble = str(error)

    def _uncollected(self, jobs: Sequence[Job]) -> bool:
        return any(not row.collected for row in self._rows(jobs))

    def _paused(self, pause: float, timeout: float | None, started: float) -> float:
        pause *= random.uniform(0.9, 1.1)  # noqa: S311  (many laptops must not ask in step)
        if timeout is None:
            return pause
        return max(0.0, min(pause, started + timeout - time.monotonic()))

    def _rows(self, jobs: Sequence[Job]) -> list[JobRow]:
        keys = {self._keys[job] for job in jobs if job in self._keys}
        if not keys:
            return []
        return [row for row in self.ledger.jobs("j.site = ?", [self.site.name]) if row.key in keys]

    def _adopt(self, jobs: Sequence[Job]) -> None:
        """Jobs that this campaign has already submitted here are those, not new ones."""
        if self.campaign is None:
            return
        rows = self.ledger.jobs("j.campaign = ? AND j.site = ?", [self.campaign, self.site.name])
        known = {row.job_id: row.key for row in rows if row.status.cause is not Cause.REFUSED}
        for job in jobs:
            if job not in self._keys and job.job_id in known:
                self._keys[job] = known[job.job_id]
        self._refresh(jobs)

    def _send(self, token: str, *, again: bool) -> None:
        try:
            answers = submission.send(
                token, self.site, self._system, self.ledger, self.transport, again=again
            )
        except JobError:
            self._keys = {job: key for job, key in self._keys.items() if not self._forgotten(key, job)}
            raise
        rows = self.ledger.jobs("j.bundle = ?", [token])
        submission.record_statuses(answers, rows, self._system, self.ledger)

    def _forgotten(self, key: int, job: Job) -> bool:
        gone = not self.ledger.jobs("j.key = ?", [key])
        if gone:
            job.state = JobState.CREATED
        return gone

    def _resume(self) -> None:
        """Bundles whose sending was cut, by us or by a process that has ended, are sent on."""
        for bundle in self.ledger.unsent(self.site.name):
            if not is_gone(bundle["owner"]):
                continue
            rows = self.ledger.jobs("j.bundle = ?", [bundle["token"]])
            unheard = [
                row for row in rows if row.status.state is JobState.SUBMITTING and row.batch_id is None
            ]
            patient = bool(unheard) and all(row.silent >= 3 for row in unheard)
            if bundle["folder"] is None or patient:
                self._send(bundle["token"], again=patient)

    def _refresh(self, jobs: Sequence[Job]) -> None:
        """Take what the ledger knows into the Job objects."""
        by_key = {self._keys[job]: job for job in jobs if job in self._keys}
        for row in self._rows(jobs):
            job = by_key[row.key]
            changed = job.status != row.status
            job.observe(row.status)
            if row.results is not None and (changed or not job.results):
                _finish(job, row)

    def _raise_refusals(self, jobs: Sequence[Job]) -> None:
        refused = [job for job in jobs if job.status.cause is Cause.REFUSED]
        if refused:
            which = f"{len(refused)} of {len(jobs)} jobs were refused, {refused[0].job_id!r} first"
            raise BatchError(f"site {self.site.name!r}: {which}: {refused[0].status.reason}",
                             command=self._system.submit_command, words=refused[0].status.reason)  # fmt: skip

    @staticmethod
    def _cancel_line(rows: Sequence[JobRow]) -> str:
        one = rows[0]
        indices = write_indices(row.index for row in rows) if one.in_array else ""
        return f"{one.folder or ''}\t{one.name}\t{one.batch_id or '-'}\t{one.first}\t{indices}\n"


def _finish(job: Job, row: JobRow) -> None:
    if row.status.state is JobState.COMPLETED:
        job.complete(row.results or {})
    else:
        job.results = dict(row.results or {})
        job.fail(job.results.get("error"))


def _refuse_shared_folders(jobs: Sequence[Job]) -> None:
    """Two jobs that come home to one folder would overwrite each other."""
    seen: dict[str, Job] = {}
    for job in jobs:
        other = seen.setdefault(job.working_dir, job)
        if other is not job:
            raise JobError(
                f"jobs {other.job_id!r} and {job.job_id!r} have the same working_dir, {job.working_dir!r}: "
                "their outputs would overwrite each other; give each its own (by default each has its job_id's)"
            )
