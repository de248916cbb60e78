"""``scheduler backup`` and ``scheduler adopt``: a copy of the ledger, and jobs that only their site knows."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from scheduler.batch.base import find
from scheduler.cli import report
from scheduler.cli.screen import console
from scheduler.engine.adopt.adoption import Findings, find_unknown, record_found
from scheduler.engine.connect import transport_to
from scheduler.engine.context import SiteContext
from scheduler.ledger.ledger import Ledger
from scheduler.site.catalog import find_site

_MOST_FOLDERS = 5


def backup(file: Path) -> int:
    """Copy the ledger into a new file. Returns the exit code."""
    ledger = Ledger()
    ledger.recovery.backup(file.absolute())
    console.print_message(f"{console.number_of(ledger.count(), 'job')} copied to {file}")
    return 0


def adopt(name_or_path: str, *, yes: bool, json: bool) -> int:
    """Record the jobs in a site's work_dir that the ledger does not know. Returns the exit code.

    Args:
        yes: do not ask for confirmation if outputs will be downloaded to folders outside the current directory.
    """
    site, ledger = find_site(name_or_path), Ledger()
    with transport_to(site, prompter=console.prompter()) as transport:
        context = SiteContext(site, find(site.scheduler), ledger, transport)
        findings = find_unknown(context)
        if not yes:
            _confirm(findings.outside(Path.cwd()))
        new = record_found(findings, context)
        ledger.recovery.accept_loss(context.key)
    tokens = {bundle.token for bundle in findings.bundles} | set(findings.moved)
    jobs = [job for job in ledger.chosen(sites=[context.key]) if job.bundle in tokens]
    if json:
        report.print_json(jobs)
    _print_found(findings, new, site=context.key, campaigns=sorted({job.campaign for job in jobs if job.campaign}))
    return 0


def _confirm(folders: Sequence[str]) -> None:
    if not folders:
        return
    console.print_message("Outputs of the jobs that were found will be downloaded to these folders:")
    for folder in folders[:_MOST_FOLDERS]:
        console.print_message(f"  {folder}")
    if len(folders) > _MOST_FOLDERS:
        console.print_message(f"  and {len(folders) - _MOST_FOLDERS} more")
    if not sys.stdin.isatty():
        raise typer.BadParameter(
            "a folder of a job is outside the current directory, and standard input is not a terminal to confirm it: "
            "use --yes"
        )
    typer.confirm("Record the jobs?", abort=True, err=True)


def _print_found(findings: Findings, new: int, *, site: str, campaigns: Sequence[str]) -> None:
    bundles = len(findings.bundles)
    if new or bundles:
        where = f" of {console.number_of(len(campaigns), 'campaign')}: {', '.join(campaigns[:10])}" if campaigns else ""
        count = f"{console.number_of(new, 'job')} from {console.number_of(bundles, 'submission')}"
        console.print_message(f"{count} recorded{where}. To see their states: scheduler status --site {site}")
    else:
        console.print_message(f"site {site}: every submission in its work_dir is in the ledger")
    if findings.moved:
        console.print_message(f"{console.number_of(len(findings.moved), 'submission')} recorded under this address")
    if findings.elsewhere:
        names = ", ".join(sorted({name for name in findings.elsewhere if name}))
        count = console.number_of(len(findings.elsewhere), "submission")
        console.print_message(f"{count} to other sites that share the work_dir left out: {names}")
    if findings.unreadable:
        console.print_message(f"{console.number_of(findings.unreadable, 'submission')} without readable jobs left out")
