"""``scheduler render``: the scripts that would be sent. Nothing is sent, and nothing is recorded."""

from __future__ import annotations

import sys
from pathlib import Path

from scheduler.campaign.jobfile import read_job_file
from scheduler.cli.commands.submit import campaign_of
from scheduler.cli.screen import console
from scheduler.errors import SchedulerError, did_you_mean
from scheduler.render.bundle import Bundle, render
from scheduler.site.catalog import find_site


def job_script(file: Path, site: str, job_id: str | None) -> int:
    """Print the script of the job of this id, or of the first."""
    bundle = _rendered(file, site)
    elements = {job.job_id: element for element, job in bundle.jobs}
    if job_id is not None and job_id not in elements:
        raise SchedulerError(f"{file}: no job is called {job_id!r}; {_near(job_id, elements)}")
    element = elements[job_id] if job_id is not None else 0
    _print(bundle, f"{element}/script.sh")
    return 0


def array_script(file: Path, site: str, job_id: str | None) -> int:
    """Print what is submitted for the array that has the job of this id, or for the first array."""
    bundle = _rendered(file, site)
    arrays = [batch for batch in bundle.batches if len(batch.jobs) > 1]
    meant = [batch for batch in arrays if job_id is None or job_id in {job.job_id for job in batch.jobs}]
    if not meant:
        which = "no job" if job_id is None else f"no job {job_id!r}"
        raise SchedulerError(
            f"{file}: {which} is in an array, or shares a node: those of one array have equal resources"
        )
    _print(bundle, meant[0].script)
    return 0


def _rendered(file: Path, site: str) -> Bundle:
    job_file = read_job_file(file)
    return render(job_file.jobs(), find_site(site), campaign=campaign_of(job_file, None))


def _near(job_id: str, known: dict[str, int]) -> str:
    return did_you_mean(job_id, known) if len(known) <= 30 else f"the first is {next(iter(known))!r}"


def _print(bundle: Bundle, path: str) -> None:
    """As it is for a file or a program; a terminal gets no control characters."""
    content = bundle.files[path]
    assert isinstance(content, bytes)  # noqa: S101  (scripts are made, not copied)
    if sys.stdout.isatty():
        sys.stdout.write(console.visible(content.decode("utf-8", "backslashreplace"), keep="\n\t"))
    else:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
