"""Which jobs of the ledger the arguments of a command select."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.cli.screen import console
from scheduler.errors import SchedulerError, did_you_mean
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow

_MOST_NAMED = 4
"""A message about jobs with the same id names the campaign and site of this many."""
_MOST_KNOWN = 10
"""With more known ids than this, a message about an unknown one does not list them."""


@dataclass(frozen=True)
class Selection:
    """The ids and options that select jobs. A job must match all that are given."""

    job_ids: Sequence[str] = ()
    site: str | None = None
    campaign: str | None = None

    def sites(self, ledger: Ledger) -> list[str] | None:
        """The names under which the ledger has jobs of the selected site; None: any site.

        A path selects the site that the file describes; a name selects all sites that have had it.

        Raises:
            ConfigError: there is no such file, or it is wrong.
        """
        return None if self.site is None else sites_of(self.site, ledger)

    @property
    def empty(self) -> bool:
        """Neither ids nor options are given."""
        return not (self.job_ids or self.site or self.campaign)

    def rows(self, ledger: Ledger) -> list[JobRow]:
        """The selected jobs, each once, oldest first. An id that several jobs have selects all of them, with a message.

        Raises:
            SchedulerError: no job has one of the ids, or there is no such campaign.
        """
        if not self.job_ids:
            return self._rows_without_ids(ledger)
        found: dict[int, JobRow] = {}
        for job_id in self.job_ids:
            rows = _rows_of_id(job_id, ledger, self)
            if len(rows) > 1:
                console.print_message(_same_id(rows), "dim")
            found |= {row.key: row for row in rows}
        return [found[key] for key in sorted(found)]

    def _rows_without_ids(self, ledger: Ledger) -> list[JobRow]:
        rows = ledger.chosen(sites=self.sites(ledger), campaign=self.campaign)
        if rows or self.campaign is None:
            return rows
        known = {row.campaign for row in ledger.chosen() if row.campaign is not None}
        near = f"; {did_you_mean(self.campaign, known)}" if known else ""
        where = f" on {self.site}" if self.site is not None else ""
        raise SchedulerError(f"no jobs of campaign {self.campaign!r}{where}{near}")

    def arguments(self) -> str:
        """The selection as command line arguments, quoted for a shell."""
        return " ".join(filter(None, [_option_text(self.site, self.campaign), self._ids()]))

    def _ids(self) -> str:
        dashes = ["--"] if any(job_id.startswith("-") for job_id in self.job_ids) else []
        return shlex.join([*dashes, *self.job_ids])

    def refuse_ambiguous(self, rows: Sequence[JobRow]) -> None:
        """Check that no id selects more than one of these jobs, before something that cannot be undone.

        Raises:
            SchedulerError: several of them have the same id.
        """
        by_id: dict[str, list[JobRow]] = {}
        for row in rows if self.job_ids else ():
            by_id.setdefault(row.job_id, []).append(row)
        for same in by_id.values():
            if len(same) > 1:
                raise SchedulerError(f"{_same_id(same)}; select one with --campaign or --site")


def newest(ledger: Ledger, job_id: str, *, site: str | None, campaign: str | None) -> JobRow:
    """The job with this id; if several have it, the one that was submitted last, with a message.

    Raises:
        SchedulerError: no job has this id.
    """
    rows = _rows_of_id(job_id, ledger, Selection([job_id], site, campaign))
    if len(rows) > 1:
        console.print_message(f"{_same_id(rows)}; using the one submitted last", "dim")
    return rows[-1]


def sites_of(name_or_path: str, ledger: Ledger) -> list[str]:
    """The names under which the ledger has jobs of a site, given by its name or the path of its file."""
    named = list(ledger.sites.of_name(name_or_path).values())
    if named:
        return named
    from scheduler.engine.site_identity import known_as
    from scheduler.site.catalog import find_site, is_path

    if not is_path(name_or_path):
        return [name_or_path]
    found = known_as(find_site(name_or_path), ledger)
    return [found] if found is not None else []


def _rows_of_id(job_id: str, ledger: Ledger, within: Selection) -> list[JobRow]:
    sites, campaign = within.sites(ledger), within.campaign
    rows = ledger.chosen(sites=sites, campaign=campaign, job_id=job_id)
    if rows:
        return rows
    known = {row.job_id for row in ledger.chosen(sites=sites, campaign=campaign)}
    options = _option_text(within.site, campaign)
    if not known:
        raise SchedulerError(
            f"no job {job_id!r}; " + (f"no job matches {options}" if options else "there are no jobs yet")
        )
    near = did_you_mean(job_id, known)
    if len(known) > _MOST_KNOWN and near.startswith("known"):
        near = "scheduler status --all lists all jobs"
    raise SchedulerError(f"no job {job_id!r}{f' with {options}' if options else ''}; {near}")


def _option_text(site: str | None, campaign: str | None) -> str:
    """``--campaign b0-scan --site jlab``."""
    options = [("--campaign", campaign), ("--site", site)]
    return shlex.join([word for name, value in options if value for word in (name, value)])


def _same_id(rows: Sequence[JobRow]) -> str:
    """``2 jobs have the id 'b0-1': campaign one on local, campaign two on local``."""
    where = list(
        dict.fromkeys(f"{f'campaign {row.campaign}' if row.campaign else 'no campaign'} on {row.site}" for row in rows)
    )
    more = ", …" if len(where) > _MOST_NAMED else ""
    return f"{len(rows)} jobs have the id {rows[0].job_id!r}: {', '.join(where[:_MOST_NAMED])}{more}"
