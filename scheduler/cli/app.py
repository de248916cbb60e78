"""The commands with their arguments and options. Each imports what it runs when it is called: help must be quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scheduler.cli.options import (
    Again,
    AsJson,
    CheckTimeout,
    DownloadAgain,
    DownloadTo,
    JobFile,
    JobId,
    JobIds,
    Keep,
    Missing,
    OfCampaign,
    OfSite,
    RenderSite,
    RerunChanged,
    RetryForce,
    RetryFrom,
    Show,
    SiteArgument,
    SubmitCampaign,
    SubmitSite,
    Timeout,
    Yes,
    changed_option,
)
from scheduler.cli.sites_app import sites_app

app = typer.Typer(
    help="Submit jobs to batch systems over SSH, follow them and download their outputs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _print_version(requested: bool) -> None:
    if requested:
        from scheduler import __version__

        typer.echo(f"scheduler {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    no_prompt: Annotated[
        bool,
        typer.Option("--no-prompt", help="Never ask for a password, passphrase or one-time code; fail instead."),
    ] = False,
) -> None:
    if no_prompt:
        import os

        from scheduler.transports.prompt import NO_PROMPT

        os.environ[NO_PROMPT] = "1"


@app.command()
def run(
    file: JobFile, site: SubmitSite, campaign: SubmitCampaign = None, again: Again = False, keep: Keep = False,
    rerun_changed: RerunChanged = False,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only jobs that have not completed; failed ones get another attempt.")
    ] = False,
    timeout: Timeout = None, show: Show = None, json: AsJson = False,
) -> None:  # fmt: skip
    """Submit jobs, wait for them and download their outputs.

    Jobs that the campaign has already submitted are not submitted a second time: the command waits for them and
    prints their results. If their content has changed since, it asks what to do: see --keep and --rerun-changed.
    """
    from scheduler.cli.commands import run

    changed = changed_option(keep, rerun_changed)
    _exit(
        run.run(
            file, site, campaign=campaign, again=again, changed=changed, failed=failed, timeout=timeout,
            show=show or (), json=json,
        )
    )  # fmt: skip


@app.command()
def submit(
    file: JobFile, site: SubmitSite, campaign: SubmitCampaign = None, again: Again = False, keep: Keep = False,
    rerun_changed: RerunChanged = False, json: AsJson = False,
) -> None:  # fmt: skip
    """Submit jobs without waiting for them.

    Jobs that the campaign has already submitted are not submitted a second time. `scheduler wait` waits for the jobs
    and downloads their outputs, also in a later session.
    """
    from scheduler.cli.commands import submit

    changed = changed_option(keep, rerun_changed)
    _exit(submit.submit(file, site, campaign=campaign, again=again, changed=changed, json=json))


@app.command()
def status(
    job_ids: JobIds = None, site: OfSite = None, campaign: OfCampaign = None,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Print all jobs, however old.")] = False,
    refresh: Annotated[
        bool, typer.Option(help="Query the sites of unfinished jobs, or print the last known states.")
    ] = True,
    history: Annotated[
        str | None, typer.Option(metavar="JOB_ID", help="Print every recorded observation of a job.")
    ] = None,
    json: AsJson = False,
) -> None:  # fmt: skip
    """Print the states of jobs.

    Without JOB_ID and --all: the jobs that are unfinished or not collected, and those that finished in the last 24
    hours.
    """
    from scheduler.cli.selection import Selection

    if history is not None:
        from scheduler.cli.commands import history as observations

        _exit(observations.history(Selection([history], site, campaign), json=json))
    from scheduler.cli.commands import status

    selection = Selection(job_ids or (), site, campaign)
    _exit(status.status(selection, everything=everything, refresh=refresh, json=json))


@app.command()
def wait(
    job_ids: JobIds = None, site: OfSite = None, campaign: OfCampaign = None, timeout: Timeout = None,
    show: Show = None, json: AsJson = False,
) -> None:  # fmt: skip
    """Wait for jobs and download their outputs.

    Without arguments: for all jobs that are unfinished or not collected, also those submitted in another session.
    """
    from scheduler.cli.commands import wait
    from scheduler.cli.selection import Selection

    _exit(wait.wait(Selection(job_ids or (), site, campaign), timeout=timeout, show=show or (), json=json))


@app.command()
def collect(
    job_ids: JobIds = None, site: OfSite = None, campaign: OfCampaign = None,
    again: DownloadAgain = False, to: DownloadTo = None, show: Show = None, json: AsJson = False,
) -> None:  # fmt: skip
    """Download outputs of finished jobs without waiting for others."""
    from scheduler.cli.commands import collect
    from scheduler.cli.selection import Selection

    _exit(collect.collect(Selection(job_ids or (), site, campaign), show=show or (), json=json, again=again, to=to))


@app.command()
def cancel(
    job_ids: JobIds = None, site: OfSite = None, campaign: OfCampaign = None,
    everything: Annotated[bool, typer.Option("--all", help="Cancel all unfinished jobs.")] = False,
    yes: Yes = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Record the jobs as lost without contacting their site.")
    ] = False,
    json: AsJson = False,
) -> None:  # fmt: skip
    """Cancel jobs: by id, of a campaign, or all."""
    from scheduler.cli.commands import cancel
    from scheduler.cli.selection import Selection

    selection = Selection(job_ids or (), site, campaign)
    _exit((cancel.forget if forget else cancel.cancel)(selection, everything=everything, yes=yes, json=json))


@app.command()
def retry(
    job_ids: JobIds = None, site: OfSite = None, campaign: OfCampaign = None,
    failed: Annotated[bool, typer.Option("--failed", help="Select only failed jobs.")] = False,
    missing: Missing = False,
    memory: Annotated[str | None, typer.Option(metavar="AMOUNT", help="New memory request, e.g. 6GB.")] = None,
    walltime: Annotated[str | None, typer.Option(metavar="TIME", help="New walltime request, e.g. 4h.")] = None,
    file: RetryFrom = None,
    force: RetryForce = False,
    json: AsJson = False,
) -> None:  # fmt: skip
    """Submit a new attempt of failed, lost or cancelled jobs.

    Without --from it needs the jobs' remote directories. Earlier attempts and their logs are kept.
    """
    from scheduler.cli.commands import retry
    from scheduler.cli.selection import Selection

    selection = Selection(job_ids or (), site, campaign)
    if file is not None and (failed or missing or memory or walltime):
        raise typer.BadParameter("--from goes with none of --failed, --missing, --memory and --walltime")
    _exit(
        retry.retry(
            selection, failed=failed, missing=missing, memory=memory, walltime=walltime, force=force, json=json,
            file=file,
        )
    )  # fmt: skip


@app.command()
def logs(
    job_id: JobId, site: OfSite = None, campaign: OfCampaign = None,
    stderr: Annotated[bool, typer.Option("--stderr", "-e", help="Print standard error, not standard output.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, metavar="N", help="Number of lines to print.")] = 50,
    attempt: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Print this attempt (1 is the first one), not the last one.")
    ] = None,
) -> None:  # fmt: skip
    """Print the end of a job's standard output or error.

    Reads the local copy if it is downloaded, else the file in the remote directory, also while the job runs.
    """
    from scheduler.cli.commands import logs

    stream = "stderr" if stderr else "stdout"
    _exit(logs.logs(job_id, stream, site=site, campaign=campaign, lines=lines, attempt=attempt))


@app.command()
def render(
    file: JobFile, site: RenderSite,
    job_id: Annotated[
        str | None,
        typer.Argument(metavar="JOB_ID", help="Id of the job; by default the first one.", show_default=False),
    ] = None,
    array: Annotated[bool, typer.Option("--array", help="Print the script of its job array instead.")] = False,
) -> None:  # fmt: skip
    """Print the batch script of a job without submitting it."""
    from scheduler.cli.commands import render

    _exit((render.array_script if array else render.job_script)(file, site, job_id))


@app.command()
def check(
    site: SiteArgument,
    job: Annotated[bool, typer.Option("--job", help="Also run a small job of each type.")] = False,
    image: Annotated[
        str | None, typer.Option(metavar="IMAGE", help="Remote path of a container image to check; --job runs it.")
    ] = None,
    timeout: CheckTimeout = 900.0,
    json: AsJson = False,
) -> None:  # fmt: skip
    """Check that a site works as its site file describes it.

    Checks login, remote directory, batch system, queue, account, limits and software, and prints how to fix each
    problem.
    """
    from scheduler.cli.commands import check

    _exit(check.check(site, job=job, image=image, timeout=timeout, json=json))


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="New file for the copy.", show_default=False)],
) -> None:
    """Copy the ledger, the record of all jobs, into a new file.

    Other commands may run meanwhile. To restore it, copy the file to ledger.sqlite in the state folder.
    """
    from scheduler.cli import recovery

    _exit(recovery.backup(file))


@app.command()
def adopt(site: SiteArgument, yes: Yes = False, json: AsJson = False) -> None:
    """Record the jobs of a site that the ledger does not know, because the ledger was lost.

    Finds them in the work_dir of the site. Nothing is submitted, and nothing there is changed.
    """
    from scheduler.cli import recovery

    _exit(recovery.adopt(site, yes=yes, json=json))


def _exit(code: int) -> None:
    raise typer.Exit(code)


app.add_typer(sites_app, name="sites")
