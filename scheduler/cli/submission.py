"""A job file is submitted to a site: what ``scheduler run`` and ``scheduler submit`` have in common."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import typer

from scheduler.campaign.jobfile import JobFile, read_job_file
from scheduler.cli import campaigns
from scheduler.cli.screen import console, format
from scheduler.engine.connect import transport_to
from scheduler.engine.identity import Changed, ChangedError
from scheduler.engine.site_identity import description_of, known_as, others_of_this_name, recorded_as
from scheduler.errors import BatchError, TransportError
from scheduler.job.job import Job
from scheduler.job.state import Cause, JobState
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow
from scheduler.runner import Runner
from scheduler.site.catalog import find_site
from scheduler.site.site import Site


@dataclass
class FileSubmission:
    """The jobs of a file, and the runner that submits them to a site.

    Attributes:
        campaign: the campaign, with the number of its run if that is not the first one.
        retried: jobs that have failed or were cancelled get another attempt.
        refused: the batch system's message about jobs that it refused; empty if it accepted all.
    """

    file: JobFile
    runner: Runner
    campaign: str
    jobs: list[Job]
    retried: bool = False
    refused: str = ""

    def keys(self) -> list[int]:
        """The jobs' keys in the ledger."""
        return self.runner.keys(self.jobs)

    def rows(self) -> list[JobRow]:
        """The jobs as the ledger has them now."""
        return self.runner.ledger.of_keys(self.keys())

    def refused_rows(self) -> list[JobRow]:
        """The jobs that the batch system refused."""
        return [row for row in self.rows() if row.status.cause is Cause.REFUSED]

    def unanswered_rows(self) -> list[JobRow]:
        """The jobs of which it is not known whether the batch system has accepted them."""
        return [row for row in self.rows() if _is_unanswered(row)]

    def already_submitted(self) -> list[JobRow]:
        """The jobs that this campaign has submitted before: those that were refused or have no answer do not count."""
        ids = {job.job_id for job in self.jobs}
        earlier = self.runner.ledger.of_campaign(self.campaign)
        newest = {row.job_id: row for row in earlier if row.job_id in ids and row.status.cause is not Cause.REFUSED}
        rows = [row for row in newest.values() if not _is_unanswered(row)]
        return [row for row in rows if not (self.retried and row.status.final)]

    def leave_completed(self) -> int:
        """Leave out the jobs that have completed, whatever their content is now. Returns how many."""
        rows = self.runner.ledger.of_campaign(self.campaign)
        completed = {row.job_id for row in rows if row.status.state is JobState.COMPLETED}
        before = len(self.jobs)
        self.jobs = [job for job in self.jobs if job.job_id not in completed]
        return before - len(self.jobs)


@contextmanager
def file_submission(
    file: Path, site: str, *, campaign: str | None, again: bool, changed: Changed, retried: bool = False
) -> Iterator[FileSubmission]:
    """Read the job file and the site, and open a runner. Nothing is submitted yet. Ctrl-C prints how to resume.

    Args:
        file: the job file.
        site: its name, or the path of its file.
        campaign: instead of the one in the file.
        again: start a new run of the campaign.
        changed: what happens to jobs that the campaign has with other content.
        retried: jobs that have failed or were cancelled get another attempt.

    Raises:
        SchedulerError: the job file or the site file is wrong.
    """
    job_file = read_job_file(file)
    jobs, target, ledger = job_file.jobs(), find_site(site, report=console.print_message), Ledger()
    key = recorded_as(target, ledger)
    run = campaigns.run_of(ledger, campaigns.campaign_of(job_file, campaign), again=again)
    _print_other_sites(target, ledger)
    transport = transport_to(target, prompter=console.prompter())
    with Runner(target, campaign=run, ledger=ledger, transport=transport, changed=changed.value) as runner:
        try:
            yield FileSubmission(job_file, runner, run, jobs, retried)
        except KeyboardInterrupt:
            if worth_waiting_for(ledger.of_campaign(run, key)):
                print_how_to_resume(run)
            else:
                console.print_message("Interrupted. Nothing was submitted.")
            raise


def submit_new_jobs(submission: FileSubmission) -> None:
    """Submit the jobs that the campaign has not submitted before, and print how many were accepted, wait for a slot, or
    have no answer yet. Sets `submission.refused`.

    Raises:
        BatchError: the batch system refused, and no job is recorded as refused.
        typer.Exit: the site could not be reached; the message is printed.
    """
    earlier = submission.already_submitted()
    _print_already_submitted(submission, earlier)
    new, site = len(submission.jobs) - len(earlier), submission.runner.site.name
    silent = not new or console.is_plain(sys.stderr) or not console.stderr_console().is_terminal
    try:
        _submit(submission, nullcontext if silent else partial(_spinner, f"submitting to {site}"))
    except BatchError as error:
        submission.refused = str(error)
        if not submission.refused_rows():
            raise
    except TransportError as error:
        console.print_error(str(error))
        console.print_message("The jobs are recorded. Run the same command again to resume the submission.")
        raise typer.Exit(1) from None
    _print_outcome(submission, {row.job_id for row in earlier})


def _submit(submission: FileSubmission, waiting: Callable[[], AbstractContextManager[None]]) -> None:
    """Submit the jobs. If some have other content than recorded, ask at the terminal what to do.

    Args:
        submission: of the jobs.
        waiting: what is shown meanwhile.

    Raises:
        SchedulerError: as `Runner.submit`.
    """
    runner = submission.runner
    submit = runner.resubmit if submission.retried else runner.submit
    try:
        with waiting():
            submit(submission.jobs)
    except ChangedError as error:
        if not (sys.stdin.isatty() and sys.stderr.isatty()) or runner.changed is not Changed.ERROR:
            raise
        console.print_error(str(error))
        runner.changed = _choice()
        with waiting():
            submit(submission.jobs)


def _choice() -> Changed:
    question = "Keep the recorded jobs (k), run the changed ones again (r), or stop (s)?"
    answers = {"k": Changed.KEEP, "r": Changed.RERUN}
    while (answer := typer.prompt(question, default="s", err=True).strip()) not in answers:
        if answer == "s":
            raise typer.Exit(1)
    return answers[answer]


def worth_waiting_for(rows: Sequence[JobRow]) -> bool:
    """Whether one of these jobs is unfinished, or finished with outputs to download. A refused job never is."""
    return any(not format.finished_and_collected(row) for row in rows)


def print_how_to_resume(campaign: str) -> None:
    """Print the command that waits for the jobs of this campaign."""
    console.print_message(f"Submitted jobs keep running. To resume waiting:\n  {wait_command(campaign)}")


def wait_command(campaign: str) -> str:
    """``scheduler wait --campaign b0-scan``, quoted for a shell."""
    return f"scheduler wait --campaign {shlex.quote(campaign)}"


def _is_unanswered(row: JobRow) -> bool:
    return row.status.state is JobState.SUBMITTING and not row.waiting


def _print_outcome(submission: FileSubmission, earlier: Collection[str]) -> None:
    """Print what became of the jobs that were not submitted earlier."""
    rows = [row for row in submission.rows() if row.job_id not in earlier and row.status.cause is not Cause.REFUSED]
    waiting = [row for row in rows if row.waiting and not row.status.final]
    unanswered = [row for row in rows if _is_unanswered(row)]
    accepted, runner = len(rows) - len(waiting) - len(unanswered), submission.runner
    if accepted:
        jobs = console.number_of(accepted, "job")
        console.print_message(f"{jobs} submitted to {runner.site.name}, campaign {submission.campaign}")
    if waiting:
        console.print_message(f"{console.number_of(len(waiting), 'job')} {_is_are(waiting)} {_reason(waiting[0])}")
    if unanswered:
        command = runner.session.context.system.submit_command
        console.print_error(
            f"{runner.site.name}: {console.number_of(len(unanswered), 'job')} without an answer yet: it is not known"
            f" whether {command} has accepted {'it' if len(unanswered) == 1 else 'them'}: {_reason(unanswered[0])}"
        )
        console.print_message("scheduler wait finds that out, and submits what the batch system does not have.")


def _is_are(rows: Sequence[JobRow]) -> str:
    return "is" if len(rows) == 1 else "are"


def _reason(row: JobRow) -> str:
    return row.status.reason.strip() or "it gave no reason"


def _print_other_sites(site: Site, ledger: Ledger) -> None:
    """Report that jobs were submitted to other sites of the same name."""
    own = known_as(site, ledger)
    for key, other in others_of_this_name(site, ledger).items():
        console.print_message(
            f"site {site.name!r} is {description_of(site)} here, and its jobs are recorded as {own!r}; jobs of site "
            f"{key!r} are at {description_of(other)}, and stay there",
            "yellow",
        )


def _spinner(text: str) -> AbstractContextManager[None]:
    status = console.stderr_console().status(text)
    return console.animation(status.start, status.stop)


def _print_already_submitted(submission: FileSubmission, earlier: Sequence[JobRow]) -> None:
    if not earlier:
        return
    first = min(row.created for row in earlier)
    age = format.age(time.time() - first)
    console.print_message(
        f"already submitted: {len(earlier)} of {console.number_of(len(submission.jobs), 'job')} ({age} ago, campaign "
        f"{console.printable(submission.campaign)}); --again starts a new run"
    )
