"""The name of the campaign that a job file is submitted to, and of its runs."""

from __future__ import annotations

import hashlib
import re

from scheduler.campaign.jobfile import JobFile
from scheduler.cli.screen import console, format
from scheduler.errors import SchedulerError
from scheduler.ledger.ledger import Ledger

_RUN = re.compile(r"(?P<base>.+)@(?P<number>[1-9][0-9]*)\Z", re.DOTALL)


def campaign_of(file: JobFile, requested: str | None) -> str:
    """The campaign requested by --campaign, or the one in the job file, or one made from the file's name and path.

    The same file makes the same campaign from any current directory, so that submitting it twice submits its jobs once.
    """
    path_digest = hashlib.sha256(str(file.path.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:6]
    return requested or file.campaign or f"{console.printable(file.path.stem)}-{path_digest}"


def run_of(ledger: Ledger, campaign: str, *, again: bool) -> str:
    """The campaign's last run, at any site, or with `again` a new one: ``b0-scan``, ``b0-scan@2``, ``b0-scan@3``, …

    A name that ends in a run's number (``b0-scan@2``) names that run.

    Raises:
        SchedulerError: a new run is requested, and the last one has jobs that are unfinished or not collected.
    """
    match = _RUN.match(campaign)
    if match and not again:
        return campaign
    base = match["base"] if match else campaign
    last, number = base, 1
    while ledger.of_campaign(f"{base}@{number + 1}"):
        number += 1
        last = f"{base}@{number}"
    rows = ledger.of_campaign(last) if again else []
    unfinished = sum(not format.finished_and_collected(row) for row in rows)
    if unfinished:
        raise SchedulerError(
            f"campaign {last!r}: {console.number_of(unfinished, 'job')} not finished or not collected yet; "
            "a new run would write into the same folders. Wait for them (scheduler wait) or cancel them first"
        )
    return f"{base}@{number + 1}" if rows else last
