"""The commands, their arguments and options. What they do is imported when they are called: help must be quick."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Submit jobs to batch systems over SSH, follow them, and bring their outputs home.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

sites = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
app.add_typer(sites, name="sites")


def _seconds(text: str | float) -> float:
    """``90`` (seconds), ``90s``, ``5m``, ``1:30:00``."""
    from scheduler.job.units import parse_walltime

    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parse_walltime(str(text)).total_seconds()
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    if not 0 <= seconds < math.inf:
        raise typer.BadParameter(f"must be 0 or more seconds, not {text!r}")
    return seconds


JobFile = Annotated[Path, typer.Argument(metavar="FILE", help="A job file (YAML).", show_default=False)]
JobIds = Annotated[list[str] | None, typer.Argument(metavar="JOB_ID", help="Jobs by their ids.", show_default=False)]
To = Annotated[str, typer.Option("--site", "-s", metavar="SITE", help="A site's name, or the path of a site file.")]
At = Annotated[str | None, typer.Option("--site", "-s", metavar="SITE", help="Only jobs of this site.")]
Into = Annotated[
    str | None,
    typer.Option("--campaign", "-c", metavar="NAME", help="Instead of the file's own: what it has submitted goes on."),
]
Of = Annotated[str | None, typer.Option("--campaign", "-c", metavar="NAME", help="Only jobs of this campaign.")]
Again = Annotated[bool, typer.Option("--again", help="A new run of the campaign, even of jobs that it has run.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout", parser=_seconds, metavar="TIME", help="Stop waiting after 90 (seconds), 5m, 2h; jobs go on."
    ),
]
Show = Annotated[
    list[str] | None, typer.Option("--show", metavar="RESULT", help="A result to have in the table (repeatable).")
]


def _version(asked: bool) -> None:
    if asked:
        from scheduler import __version__

        typer.echo(f"scheduler {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    no_prompt: Annotated[
        bool,
        typer.Option("--no-prompt", help="Never ask for a password, a passphrase or a code: fail at once instead."),
    ] = False,
) -> None:
    if no_prompt:
        import os

        from scheduler.transports.prompt import NO_PROMPT

        os.environ[NO_PROMPT] = "1"


@app.command()
def run(
    file: JobFile, site: To, campaign: Into = None, again: Again = False, timeout: Timeout = None, show: Show = None,
    json: AsJson = False,
) -> None:  # fmt: skip
    """Submit jobs, wait, and bring outputs home.

    The same file is submitted once: run again, it goes on where it was, and shows what came of its jobs.
    """
    from scheduler.cli.commands import submit

    _end(submit.run(file, site, campaign=campaign, again=again, timeout=timeout, show=show or (), json=json))


@app.command("submit")
def submit_(file: JobFile, site: To, campaign: Into = None, again: Again = False, json: AsJson = False) -> None:
    """Submit jobs, and leave.

    The same file is submitted once. `scheduler wait` waits for its jobs, from any later process.
    """
    from scheduler.cli.commands import submit

    _end(submit.submit(file, site, campaign=campaign, again=again, json=json))


@app.command()
def status(
    job_ids: JobIds = None, site: At = None, campaign: Of = None,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Those that ended before yesterday, too.")] = False,
    refresh: Annotated[bool, typer.Option(help="Ask the sites of jobs that go on; else: as last seen.")] = True,
    history: Annotated[str | None, typer.Option(metavar="JOB_ID", help="All that was ever seen of a job.")] = None,
    json: AsJson = False,
) -> None:  # fmt: skip
    """Where jobs stand.

    Those that go on, and those that ended in the last day; or those that are named.
    """
    from scheduler.cli.commands import jobs

    if history is not None:
        from scheduler.cli.commands import history as all_seen

        _end(all_seen.history(jobs.Which([history], site, campaign), json=json))
    _end(jobs.status(jobs.Which(job_ids or (), site, campaign), everything=everything, refresh=refresh, json=json))


@app.command()
def wait(
    job_ids: JobIds = None, site: At = None, campaign: Of = None, timeout: Timeout = None, show: Show = None,
    json: AsJson = False,
) -> None:  # fmt: skip
    """Wait for jobs, and bring outputs home.

    Whichever process submitted them. Without arguments: for all that go on.
    """
    from scheduler.cli.commands import jobs

    _end(jobs.wait(jobs.Which(job_ids or (), site, campaign), timeout=timeout, show=show or (), json=json))


@app.command()
def collect(
    job_ids: JobIds = None, site: At = None, campaign: Of = None, show: Show = None, json: AsJson = False
) -> None:
    """Bring home what has ended by now.

    Without waiting for jobs that go on.
    """
    from scheduler.cli.commands import jobs

    _end(jobs.collect(jobs.Which(job_ids or (), site, campaign), show=show or (), json=json))


@app.command()
def cancel(
    job_ids: JobIds = None, site: At = None, campaign: Of = None,
    everything: Annotated[bool, typer.Option("--all", help="All jobs that go on.")] = False,
    sure: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Give them up: their site is gone.")] = False,
    json: AsJson = False,
) -> None:  # fmt: skip
    """End jobs: some, a campaign, or all."""
    from scheduler.cli.commands import jobs

    which = jobs.Which(job_ids or (), site, campaign)
    _end((jobs.forget if forget else jobs.cancel)(which, everything=everything, sure=sure, json=json))


@app.command()
def retry(
    job_ids: JobIds = None, site: At = None, campaign: Of = None,
    failed: Annotated[bool, typer.Option("--failed", help="All of them that failed.")] = False,
    missing: Annotated[
        bool, typer.Option("--missing", help="Those whose outputs are missing, or that were lost.")
    ] = False,
    memory: Annotated[str | None, typer.Option(metavar="AMOUNT", help="With so much memory: 6GB.")] = None,
    walltime: Annotated[str | None, typer.Option(metavar="TIME", help="With so much walltime: 4h.")] = None,
    json: AsJson = False,
) -> None:  # fmt: skip
    """Submit jobs again that ended without completing.

    What they need is over there still; earlier attempts are kept, with their logs.
    """
    from scheduler.cli.commands import jobs, retry

    which = jobs.Which(job_ids or (), site, campaign)
    _end(retry.retry(which, failed=failed, missing=missing, memory=memory, walltime=walltime, json=json))


@app.command()
def logs(
    job_id: Annotated[str, typer.Argument(help="A job by its id.", show_default=False)],
    site: At = None, campaign: Of = None,
    stderr: Annotated[bool, typer.Option("--stderr", "-e", help="Its standard error instead.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="So many, from the end.")] = 50,
    attempt: Annotated[int | None, typer.Option(min=1, help="Of this attempt; else of the last one.")] = None,
) -> None:  # fmt: skip
    """The last lines that a job printed.

    While it runs from over there, afterwards from its folder here.
    """
    from scheduler.cli.commands import logs

    kind = "stderr" if stderr else "stdout"
    _end(logs.logs(job_id, kind, site=site, campaign=campaign, lines=lines, attempt=attempt))


@app.command()
def render(
    file: JobFile, site: To,
    job_id: Annotated[str | None, typer.Argument(help="Which job; else the first.", show_default=False)] = None,
    array: Annotated[bool, typer.Option("--array", help="What is submitted for its job array.")] = False,
) -> None:  # fmt: skip
    """Print a job's script; nothing is sent."""
    from scheduler.cli.commands import render

    _end((render.array_script if array else render.job_script)(file, site, job_id))


@app.command()
def check(
    site: Annotated[str, typer.Argument(metavar="SITE", help="A site's name, or the path of a site file.")],
    job: Annotated[bool, typer.Option("--job", help="Run a tiny job of each type, too.")] = False,
    image: Annotated[
        str | None, typer.Option(metavar="IMAGE", help="A container image over there, for --job.")
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", parser=_seconds, metavar="TIME", help="How long --job waits.")
    ] = 900.0,
    json: AsJson = False,
) -> None:  # fmt: skip
    """Is a site as its file says?

    Looks at login, work folder, batch system, queue, limits, software; says what to do about what is wrong.
    """
    from scheduler.cli.commands import check

    _end(check.check(site, job=job, image=image, timeout=timeout, json=json))


@sites.callback()
def _sites(context: typer.Context, json: AsJson = False) -> None:
    """Which sites there are.

    `scheduler sites show NAME` prints all settings of one.
    """
    from scheduler.cli.commands import sites

    if context.invoked_subcommand is None:
        _end(sites.table(json=json))


@sites.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A site's name, or the path of a site file.")],
    json: AsJson = False,
) -> None:
    """All settings of a site, as YAML."""
    from scheduler.cli.commands import sites

    _end(sites.show(name, json=json))


@sites.command("new")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the site is to be called; or one that there is.")],
    transport: Annotated[str | None, typer.Option(help="How it is reached: ssh or local.")] = None,
    host: Annotated[str | None, typer.Option(help="A Host of ~/.ssh/config, or a host's name.")] = None,
    user: Annotated[str | None, typer.Option(help="Your name over there.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="The batch system, such as slurm.")] = None,
    work_dir: Annotated[str | None, typer.Option(help="A folder over there that compute nodes see.")] = None,
    account: Annotated[str | None, typer.Option(help="Whom it counts for.")] = None,
    queue: Annotated[str | None, typer.Option(help="Slurm's partition, PBS's queue.")] = None,
    walltime: Annotated[str | None, typer.Option(help="The longest that a job may run there.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file of yours that is there.")] = False,
    sure: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: what is not given is left out.")] = False,
) -> None:  # fmt: skip
    """Write a site file of yours, by asking.

    Of a site that comes with the package, only what differs for you is asked.
    """
    from scheduler.cli.commands import new_site

    given = {
        "transport": transport, "host": host, "ssh.user": user, "scheduler": scheduler, "work_dir": work_dir,
        "account": account, "queue": queue, "limits.walltime": walltime,
    }  # fmt: skip
    _end(new_site.new(name, {key: value for key, value in given.items() if value is not None}, force=force, sure=sure))


def _end(code: int) -> None:
    raise typer.Exit(code)
