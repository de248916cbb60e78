"""Which jobs of a submission the ledger has already: by their content, never by their name alone. It sends nothing.

for each job that this runner has submitted, or that its campaign has, at any site:
    no content is recorded (an older version):      adopt it, and report that once
    the content is the same:                        adopt it; unfinished at another site: an error
    the content differs, or that cannot be told:    an error that lists what differs, unless `Changed` tells otherwise
all others are new
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from scheduler.errors import JobError
from scheduler.job.job import Job
from scheduler.job.state import Cause, JobState
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import Cancelling, JobRow
from scheduler.render.content.content import Content, Part, differences

LOGGER = logging.getLogger("scheduler.identity")
"""Without a handler of the user, Python prints its warnings on stderr."""
MOST_LISTED = 10
"""The most jobs that a message lists."""
_MOST_PARTS = 4


class Changed(Enum):
    """What happens to a job that its campaign has with other content."""

    ERROR = "error"
    """Nothing is submitted."""
    KEEP = "keep"
    """The recorded job is adopted, with its results; that is reported."""
    RERUN = "rerun"
    """It gets another attempt, with the content that is here now."""


@dataclass(frozen=True)
class Rules:
    """How jobs that the ledger has are treated.

    Attributes:
        changed: those with other content.
        retried: those that did not complete get another attempt, with what is here now.
        force: they get it although the attempt before may still run.
        site: the name under which the ledger has the site of the submission.
    """

    changed: Changed = Changed.ERROR
    retried: bool = False
    force: bool = False
    site: str = ""


@dataclass
class Decisions:
    """What is done with the jobs of a submission.

    Attributes:
        adopted, renewed: jobs and their rows: they are followed, or get another attempt.
        new: jobs that the ledger does not have.
        kept: adopted jobs with other content. `unknown`: adopted jobs without a recorded content.
        changed: jobs with other content, and what differs.
        elsewhere, unfinished: jobs that prevent the submission: unfinished at another site; unfinished, so that they
            get no other content.
    """

    adopted: dict[Job, JobRow] = field(default_factory=dict)
    renewed: dict[Job, JobRow] = field(default_factory=dict)
    new: list[Job] = field(default_factory=list)
    kept: list[Job] = field(default_factory=list)
    unknown: list[Job] = field(default_factory=list)
    changed: dict[Job, str] = field(default_factory=dict)
    elsewhere: dict[Job, JobRow] = field(default_factory=dict)
    unfinished: dict[Job, JobRow] = field(default_factory=dict)


class ChangedError(JobError):
    """Jobs of a campaign have other content than recorded. `jobs`: their ids."""

    def __init__(self, message: str, jobs: Sequence[str]) -> None:
        super().__init__(message)
        self.jobs = jobs


def decide(
    contents: Mapping[Job, Content], rows: Mapping[Job, Sequence[JobRow]], rules: Rules, ledger: Ledger, *,
    unchanged: Iterable[Job] = (),
) -> Decisions:  # fmt: skip
    """Decide what is done with jobs.

    Args:
        contents: of the jobs, as they are now.
        rows: job → what the ledger has under its id; refused submissions do not count.
        rules: how those are treated.
        ledger: which has the recorded contents.
        unchanged: jobs of which it is known that their function is the one that was submitted.
    """
    made, same_function = Decisions(), set(unchanged)
    digests = {row.content for some in rows.values() for row in some}
    recorded = ledger.attempts.contents(digests - {content.digest for content in contents.values()})
    for job, content in contents.items():
        found = [(row, _is_same(content, row, certain=job in same_function)) for row in rows.get(job, ())]
        if not found:
            made.new.append(job)
            continue
        row, same = max(found, key=lambda one: _rank(*one, site=rules.site))
        if rules.retried and row.status.final and row.status.state is not JobState.COMPLETED:
            _renew(made, job, row, rules)
        elif same:
            _adopt(made, job, row, rules)
        else:
            _decide_changed(made, job, row, rules, content, recorded)
    return made


def _is_same(content: Content, row: JobRow, *, certain: bool) -> bool:
    return not row.content or (row.content == content.digest and (content.is_certain or certain))


def _rank(row: JobRow, same: bool, *, site: str) -> tuple[bool, bool, bool, int]:
    """Of several rows of one id, as older versions recorded for several sites, the one that counts is the greatest."""
    return same, row.status.state is JobState.COMPLETED, row.site == site, row.key


def _adopt(made: Decisions, job: Job, row: JobRow, rules: Rules) -> None:
    if row.site != rules.site and not (row.status.final and row.collected):
        made.elsewhere[job] = row
        return
    made.adopted[job] = row
    if not row.content:
        made.unknown.append(job)


def _renew(made: Decisions, job: Job, row: JobRow, rules: Rules) -> None:
    """Give a finished job another attempt. At another site nothing keeps an earlier one from running."""
    elsewhere = row.site != rules.site and may_still_run(row) and not rules.force
    (made.elsewhere if elsewhere else made.renewed)[job] = row


def may_still_run(row: JobRow) -> bool:
    """Whether a final job may run all the same: its end is not proved by the batch system or by its script."""
    if row.status.cause is Cause.LOST:
        return True
    return row.status.state is JobState.CANCELLED and row.cancelling is not Cancelling.NO and not row.status.raw


def _decide_changed(
    made: Decisions,
    job: Job,
    row: JobRow,
    rules: Rules,
    content: Content,
    recorded: Mapping[str, Mapping[str, Part]],
) -> None:
    if rules.changed is Changed.KEEP:
        _adopt(made, job, row, rules)
        made.kept.append(job)
    elif not row.status.final:
        made.unfinished[job] = row
    elif rules.changed is Changed.RERUN:
        _renew(made, job, row, rules)
    if rules.changed is Changed.ERROR or job in made.unfinished:
        parts = content.parts if row.content == content.digest else recorded.get(row.content, {})
        made.changed[job] = _listed(list(differences(content, parts)))


def _listed(differing: Sequence[str]) -> str:
    more = f"; and {len(differing) - _MOST_PARTS} more" if len(differing) > _MOST_PARTS else ""
    return "; ".join(differing[:_MOST_PARTS]) + more


def refuse(made: Decisions, rules: Rules, *, campaign: str | None, site_name: str) -> None:
    """Raise the error of jobs that prevent a submission, if there are any.

    Raises:
        ChangedError: a job has other content than recorded; the message lists what differs.
        JobError: a job is unfinished at another site.
    """
    where = f"campaign {campaign!r}" if campaign is not None else "this runner"
    if made.elsewhere:
        job, row = next(iter(made.elsewhere.items()))
        option = f" --campaign {campaign}" if campaign is not None else ""
        raise JobError(
            f"site {site_name!r}: {where} has {_count(made.elsewhere)} at another site that {_is_are(made.elsewhere)} "
            f"not finished or not collected: {job.job_id!r} at {row.site!r} first ({row.status}). Nothing was "
            f"submitted. Wait for it: scheduler wait{option} --site {row.site}; or cancel it: scheduler "
            f"cancel{option} --site {row.site}; or choose another campaign"
        )
    if made.changed:
        lines = [f"  {job.job_id}: {why}" for job, why in list(made.changed.items())[:MOST_LISTED]]
        lines += [f"  and {len(made.changed) - MOST_LISTED} more"] if len(made.changed) > MOST_LISTED else []
        if rules.changed is Changed.RERUN:
            remedy = "An unfinished job gets no other content: cancel it first"
        else:
            remedy = (
                'To use the recorded jobs and their results: changed="keep" (option --keep); to run these jobs again '
                'with what is here now: changed="rerun" (option --rerun-changed); or choose another campaign'
            )
        raise ChangedError(
            "\n".join(
                [f"{where} has {_count(made.changed)} with other content; nothing was submitted:", *lines, remedy]
            ),
            [job.job_id for job in made.changed],
        )


def notices(made: Decisions) -> Iterator[str]:
    """What is reported of adopted jobs: a line for all of a kind."""
    if made.kept:
        yield (
            f"{_count(made.kept)} with other content than recorded: the recorded results are kept, "
            f"{made.kept[0].job_id!r} first"
        )
    if made.unknown:
        yield (
            f"{_count(made.unknown)} recorded by an older version, which did not record what they ran: adopted by "
            f"name, {made.unknown[0].job_id!r} first"
        )


def _count(jobs: Sequence[Job] | Mapping[Job, object]) -> str:
    return "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"


def _is_are(jobs: Mapping[Job, object]) -> str:
    return "is" if len(jobs) == 1 else "are"


def of_campaign(jobs: Iterable[Job], rows: Iterable[JobRow], rules: Rules) -> dict[Job, list[JobRow]]:
    """For each job the rows of a campaign with its id. Refused submissions never ran: they are retried, or left out."""
    by_id: dict[str, list[JobRow]] = {}
    for row in rows:
        if rules.retried or row.status.cause is not Cause.REFUSED:
            by_id.setdefault(row.job_id, []).append(row)
    return {job: by_id[job.job_id] for job in jobs if job.job_id in by_id}
