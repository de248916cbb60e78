"""The Job objects that a Runner has submitted or adopted, each with its row in the ledger. It sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from scheduler.batch.shown_id import shown_id
from scheduler.engine.identity import Decisions, Rules, decide, of_campaign
from scheduler.engine.one_thread import OneThread
from scheduler.errors import BatchError, JobError
from scheduler.job.job import Job, JobType
from scheduler.job.outcome import local_copies
from scheduler.job.outcome.recorded import RecordedJob, cannot_be_submitted
from scheduler.job.state import Cause, JobState, Status
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow
from scheduler.render.content.content import Content
from scheduler.site.site import Site


class TrackedJobs:
    """A mapping from Job objects to keys of the ledger. It copies statuses and results from the rows to the objects.

    Args:
        ledger: where the rows are.
        due: gives the keys of the rows that have failed and are about to be retried. Their jobs are not refreshed: a
            failed job would look final.
    """

    def __init__(self, ledger: Ledger, *, due: Callable[[Sequence[JobRow]], Collection[int]]) -> None:
        self._ledger, self._due = ledger, due
        self._one_thread = OneThread()
        self._keys: dict[Job, int] = {}
        self._copied: dict[Job, tuple[object, Status]] = {}
        self._contents: dict[Job, tuple[str, object]] = {}  # the digest of the submitted content, and the function

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._keys))

    def __contains__(self, job: Job) -> bool:
        return job in self._keys

    def add(self, jobs: Iterable[Job], keys: Iterable[int]) -> None:
        """Track these jobs, whose rows have these keys."""
        pairs = dict(zip(jobs, keys, strict=True))
        self._keys.update(pairs)
        contents = self._ledger.attempts.contents_of(pairs.values())
        self._contents.update((job, (contents.get(key, ""), job.function)) for job, key in pairs.items())

    def decide(self, contents: Mapping[Job, Content], rules: Rules, *, campaign: str | None) -> Decisions:
        """Decide what is done with jobs. Those that are tracked exist, and those that the campaign has at any site."""
        tracked = {row.key: row for row in self._ledger.of_keys(self.keys(contents))}
        rows: dict[Job, list[JobRow]] = {}
        if campaign is not None:
            found = self._ledger.of_campaign(campaign, ids=(job.job_id for job in contents))
            rows = of_campaign(contents, found, rules)
        for job in contents:
            row = tracked.get(self._keys.get(job, -1))
            if row is not None and (rules.retried or row.status.cause is not Cause.REFUSED):
                rows[job] = [row]
        unchanged = [job for job in contents if self._contents.get(job, ("", None))[1] is job.function is not None]
        return decide(contents, rows, rules, self._ledger, unchanged=unchanged)

    def adopt(self, rows: Mapping[Job, JobRow]) -> None:
        """Track jobs that the ledger has, and copy what it has of them."""
        found = [job for job, row in rows.items() if self._keys.get(job) != row.key]
        self.add(found, [rows[job].key for job in found])
        self.refresh(list(rows))

    def recorded(self, rows: Sequence[JobRow]) -> list[Job]:
        """The jobs of these rows. Those that are not tracked yet are made, and tracked."""
        known = {key: job for job, key in self._keys.items()}
        for row in rows:
            if row.key not in known:
                known[row.key] = _recorded(row)
                self.add([known[row.key]], [row.key])
        jobs = [known[row.key] for row in rows]
        self.refresh(jobs)
        return jobs

    def keys(self, jobs: Iterable[Job]) -> list[int]:
        """The keys of those jobs that are tracked."""
        return [self._keys[job] for job in jobs if job in self._keys]

    def refuse_recorded(self, jobs: Iterable[Job], rules: Rules) -> None:
        """Refuse jobs that must be submitted, and were read from the ledger, which does not hold what they run.

        Raises:
            JobError: one of them is such a job.
        """
        for job in jobs:
            again = job.status.cause is Cause.REFUSED or (rules.retried and job.final and not job.is_completed())
            if isinstance(job, RecordedJob) and (job not in self._keys or again):
                raise cannot_be_submitted(job)

    def require(self, jobs: Iterable[Job]) -> None:
        """Check that all of `jobs` are tracked.

        Raises:
            JobError: one of them is not.
        """
        unknown = next((job for job in jobs if job not in self._keys), None)
        if unknown is not None:
            raise JobError(f"job {unknown.job_id!r} was not submitted by this runner; submit it first")

    def unsent(self, jobs: Iterable[Job]) -> list[str]:
        """The tokens of the bundles of `jobs` for which the site has not yet answered whether they are submitted."""
        rows = self._ledger.of_keys(self.keys(jobs))
        return list(dict.fromkeys(row.bundle for row in rows if _is_unanswered(row)))

    def refresh(self, jobs: Sequence[Job]) -> None:
        """Copy statuses and results from the ledger to the jobs of which one of the two has changed."""
        with self._one_thread:  # else an earlier observation could replace a later one
            marks = self._ledger.polls.marks(self.keys(jobs))
            mark_of = {job: marks.get(self._keys.get(job, -1)) for job in jobs}
            changed = [job for job, mark in mark_of.items() if self._copied.get(job) != (mark, job.status)]
            rows = {row.key: row for row in self._ledger.of_keys(self.keys(changed))}
            due = self._due(list(rows.values()))
            for job in changed:
                row = rows.get(self._keys.get(job, -1))
                if row is not None and row.content != self._contents[job][0]:
                    job.observe(replace(_REPLACED, retries=row.retries))
                elif row is not None and row.key not in due:
                    is_new = job not in self._copied
                    status = local_copies.checked(row.status, row.facts) if is_new else row.status
                    job.observe(status, row.results, facts=row.facts)
                    job.batch_id, job.remote_dir = shown_id(row) or None, row.remote_dir
                    self._copied[job] = (mark_of[job], job.status)

    def done(self, left: list[Job]) -> list[Job]:
        """Refresh these jobs, and take those out of `left` that have ended and are collected."""
        collected = {row.key for row in self._ledger.of_keys(self.keys(left)) if row.status.final and row.collected}
        self.refresh(left)
        found = {job for job in left if self._keys[job] in collected}
        done, left[:] = [job for job in left if job in found], [job for job in left if job not in found]
        return done

    def drop_deleted(self) -> None:
        """Stop tracking jobs whose row was deleted, because they can no longer be submitted: they count as new."""
        recorded = {row.key for row in self._ledger.of_keys(list(self._keys.values()))}
        for job in [job for job, key in self._keys.items() if key not in recorded]:
            del self._keys[job], self._contents[job]
            job.state = JobState.CREATED

    def raise_refused(self, jobs: Sequence[Job], *, site: Site, command: str) -> None:
        """Raise a BatchError with the message of the batch system, if it has refused one of `jobs`."""
        refused = [job for job in jobs if job.status.cause is Cause.REFUSED]
        if refused:
            words = refused[0].status.reason
            which = f"{len(refused)} of {len(jobs)} jobs were refused, {refused[0].job_id!r} first"
            raise BatchError(f"site {site.name!r}: {which}: {words}", command=command, words=words)

    def raise_not_retried(self, jobs: Sequence[Job], reasons: Mapping[int, str], *, site: Site) -> None:
        """Raise a JobError if there are reasons (by key) why some of `jobs` are not retried."""
        first = next((job for job in jobs if self._keys[job] in reasons), None)
        if first is not None:
            which = f"{len(reasons)} of {len(jobs)} jobs are not retried, {first.job_id!r} first"
            raise JobError(f"site {site.name!r}: {which}: {reasons[self._keys[first]]}")


def _recorded(row: JobRow) -> Job:
    return RecordedJob(row.job_id, JobType(row.type), working_dir=row.working_dir, output_files=row.patterns)


_REPLACED = Status(
    JobState.CANCELLED, Cause.CANCELLED, reason="replaced: another process has submitted it with other content"
)


def _is_unanswered(row: JobRow) -> bool:
    return not row.sent and not row.waiting and row.batch_id is None and not row.status.final
