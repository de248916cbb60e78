"""``scheduler check``: prints the findings about a site, a line each, and how to fix each problem."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from scheduler.check.finding import Finding, Mark
from scheduler.check.learned import forget_learned
from scheduler.check.look import inspect_site
from scheduler.check.state_folder import state_folder_findings
from scheduler.cli.screen import console
from scheduler.engine.connect import transport_to
from scheduler.ledger.database import state_folder
from scheduler.site.catalog import find_site

_STYLES = {Mark.OK: "green", Mark.NOTE: "yellow", Mark.FAILED: "bold red"}
_INDENT = " " * 8
_WIDTH = 80
_NEEDED_BY_JOBS = ("host key", "login", "shell", "connection", "batch system", "work_dir", "work_dir access")
"""If one of these checks fails, no trial job can be submitted."""


def check(name: str, *, job: bool, image: str | None, timeout: float, json: bool) -> int:
    """Check a site and print the findings. Returns the exit code: 1 if a check failed.

    Args:
        name: of the site, or the path of a site file.
        job: also run a small job of each type.
        image: the remote path of a container image to check and, with `job`, to run; None skips both.
        timeout: seconds to wait for the jobs.
    """
    site = find_site(name, report=console.print_message)
    with transport_to(site) as transport:
        findings = [*state_folder_findings(state_folder()), *inspect_site(site, transport, image=image)]
        if not any(one.name == "batch system" and one.mark is Mark.FAILED for one in findings):
            findings += forget_learned(site)
        if not json:
            _print_findings(findings)
        usable = not any(one.mark is Mark.FAILED and one.name in _NEEDED_BY_JOBS for one in findings)
        if job and usable:
            from scheduler.check.trial import run_trial_jobs

            console.print_message(f"running trial jobs on {site.name} …", "dim")
            of_jobs = run_trial_jobs(site, transport, image=image, timeout=timeout)
            if not json:
                _print_findings(of_jobs)
            findings += of_jobs
    failures = [one for one in findings if one.mark is Mark.FAILED]
    if json:
        console.print_json({"site": site.name, "ok": not failures, "findings": [_as_json(one) for one in findings]})
    else:
        result = f"{console.number_of(len(failures), 'check')} failed" if failures else "all checks passed"
        console.print_message(f"{site.name}: {result}")
    return 1 if failures else 0


def _print_findings(findings: Sequence[Finding]) -> None:
    for one in findings:
        first, *more = one.words.strip().splitlines() or [""]
        console.print_line(f"{one.mark.value:<7} {one.name}: {first}", _STYLES[one.mark] if one.do else "")
        for line in more:
            console.print_line(_INDENT + line)
        for line in textwrap.wrap(one.do, _WIDTH, initial_indent=f"{_INDENT}→ ", subsequent_indent=f"{_INDENT}  "):
            console.print_line(line)


def _as_json(one: Finding) -> dict[str, str | None]:
    return {"name": one.name, "state": one.mark.value, "words": one.words, "do": one.do or None}
