"""``scheduler render``: prints scripts as they would be uploaded. Nothing is submitted or recorded."""

from __future__ import annotations

import sys
from pathlib import Path

from scheduler.campaign.jobfile import read_job_file
from scheduler.cli.campaigns import campaign_of
from scheduler.cli.screen import console
from scheduler.errors import SchedulerError, did_you_mean
from scheduler.render.bundle import Bundle, render
from scheduler.site.catalog import find_site

_MOST_KNOWN = 30
"""With more jobs than this, a message about an unknown id does not list them."""


def job_script(file: Path, site: str, job_id: str | None) -> int:
    """Print the script of the job with this id, or of the first job. Returns the exit code.

    Raises:
        SchedulerError: no job of the file has this id, or the file or the site is wrong.
    """
    bundle = _rendered(file, site)
    elements = {job.job_id: element for element, job in bundle.jobs}
    if job_id is not None and job_id not in elements:
        raise SchedulerError(f"{file}: no job {job_id!r}; {_hint(job_id, elements)}")
    element = elements[job_id] if job_id is not None else 0
    _print_script(bundle, f"{element}/script.sh")
    return 0


def array_script(file: Path, site: str, job_id: str | None) -> int:
    """Print the script that is submitted for the array of the job with this id, or for the first array.

    Raises:
        SchedulerError: the job is in no array, or the file or the site is wrong.
    """
    bundle = _rendered(file, site)
    arrays = [batch for batch in bundle.batches if len(batch.jobs) > 1]
    matching = [batch for batch in arrays if job_id is None or job_id in {job.job_id for job in batch.jobs}]
    if not matching:
        which = "no job" if job_id is None else f"no job {job_id!r}"
        raise SchedulerError(f"{file}: {which} in a job array; only jobs with equal resources share an array")
    _print_script(bundle, matching[0].script)
    return 0


def _rendered(file: Path, site: str) -> Bundle:
    job_file = read_job_file(file)
    return render(job_file.jobs(), find_site(site, report=console.print_message), campaign=campaign_of(job_file, None))


def _hint(job_id: str, known: dict[str, int]) -> str:
    return did_you_mean(job_id, known) if len(known) <= _MOST_KNOWN else f"the first job is {next(iter(known))!r}"


def _print_script(bundle: Bundle, path: str) -> None:
    """A file or a pipe gets the script unchanged; on a terminal, control characters are escaped."""
    content = bundle.files[path]
    assert isinstance(content, bytes)  # noqa: S101  (rendered scripts are bytes; other files may be paths)
    if sys.stdout.isatty():
        sys.stdout.write(console.printable(content.decode("utf-8", "backslashreplace"), keep="\n\t"))
    else:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
