"""Which jobs of the ledger somebody means."""

from __future__ import annotations

import re
from collections.abc import Sequence

from scheduler.cli.screen import console
from scheduler.errors import SchedulerError, did_you_mean
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow

_RUN = re.compile(r"(?P<base>.+)@(?P<number>[1-9][0-9]*)\Z", re.DOTALL)


def named(ledger: Ledger, job_ids: Sequence[str], *, site: str | None, campaign: str | None) -> list[JobRow]:
    """The jobs of these ids, each once, oldest first; all that fit site and campaign if no id is given.

    An id that several submissions have means all of them, and that is said.

    Raises:
        SchedulerError: there is no such job.
    """
    if not job_ids:
        return _of_campaign(ledger, site=site, campaign=campaign)
    found: dict[int, JobRow] = {}
    for job_id in job_ids:
        rows = ledger.chosen(site=site, campaign=campaign, job_id=job_id)
        if not rows:
            raise SchedulerError(_no_such_job(ledger, job_id, site=site, campaign=campaign))
        if len(rows) > 1:
            console.say(f"{job_id!r} is {len(rows)} jobs: {_whereabouts(rows)}", "dim")
        found |= {row.key: row for row in rows}
    return [found[key] for key in sorted(found)]


def newest(ledger: Ledger, job_id: str, *, site: str | None, campaign: str | None) -> JobRow:
    """The job of this id; of several, the one submitted last, and that is said.

    Raises:
        SchedulerError: there is no such job.
    """
    rows = ledger.chosen(site=site, campaign=campaign, job_id=job_id)
    if not rows:
        raise SchedulerError(_no_such_job(ledger, job_id, site=site, campaign=campaign))
    if len(rows) > 1:
        console.say(f"{job_id!r} is {len(rows)} jobs: {_whereabouts(rows)}; this is the last", "dim")
    return rows[-1]


def run_of(ledger: Ledger, campaign: str, site: str, *, again: bool) -> str:
    """The campaign's last run at this site, or the next one: ``b0-scan``, ``b0-scan@2``, ``b0-scan@3``, …

    A name that ends in a number of a run means that run.

    Raises:
        SchedulerError: another run is asked for while the last one has not ended.
    """
    found = _RUN.match(campaign)
    if found and not again:
        return campaign
    base = found["base"] if found else campaign
    last, number = base, 1
    while ledger.of_campaign(f"{base}@{number + 1}", site):
        number += 1
        last = f"{base}@{number}"
    rows = ledger.of_campaign(last, site) if again else []
    going_on = [row for row in rows if not (row.status.final and row.collected)]
    if going_on:
        raise SchedulerError(
            f"campaign {last!r} on {site} still has {console.number_of(len(going_on), 'job')} to end or to come home; "
            "another run would write into the same folders: wait first (scheduler wait), or cancel"
        )
    return f"{base}@{number + 1}" if rows else last


def _of_campaign(ledger: Ledger, *, site: str | None, campaign: str | None) -> list[JobRow]:
    rows = ledger.chosen(site=site, campaign=campaign)
    if rows or campaign is None:
        return rows
    known = {row.campaign for row in ledger.chosen() if row.campaign is not None}
    near = f"; {did_you_mean(campaign, known)}" if known else ""
    where = f" on {site}" if site is not None else ""
    raise SchedulerError(f"there are no jobs of a campaign {campaign!r}{where}{near}")


def _no_such_job(ledger: Ledger, job_id: str, *, site: str | None, campaign: str | None) -> str:
    known = {row.job_id for row in ledger.chosen(site=site, campaign=campaign)}
    if not known:
        return f"there is no job {job_id!r}; no jobs were submitted yet" + (" there" if site or campaign else "")
    many = len(known) > 10 and did_you_mean(job_id, known).startswith("known")
    return f"there is no job {job_id!r}; " + (
        "scheduler status --all lists them" if many else did_you_mean(job_id, known)
    )


def _whereabouts(rows: Sequence[JobRow]) -> str:
    places = dict.fromkeys(f"{row.campaign} on {row.site}" if row.campaign else f"on {row.site}" for row in rows)
    listed = list(places)
    return ", ".join(listed[:4]) + (", …" if len(listed) > 4 else "")
