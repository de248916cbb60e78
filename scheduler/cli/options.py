"""Arguments and options that several commands share, each with its help text."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from scheduler.engine.identity import Changed


def _seconds(text: str | float) -> float:
    """Seconds from ``90``, ``90s``, ``5m`` or ``1:30:00``."""
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


JobFile = Annotated[Path, typer.Argument(metavar="FILE", help="Job file (YAML).", show_default=False)]
JobIds = Annotated[
    list[str] | None, typer.Argument(metavar="JOB_ID", help="Select only jobs with these ids.", show_default=False)
]
JobId = Annotated[str, typer.Argument(metavar="JOB_ID", help="Id of the job.", show_default=False)]
SiteArgument = Annotated[str, typer.Argument(metavar="SITE", help="Name of a site, or path of a site file.")]
SubmitSite = Annotated[
    str, typer.Option("--site", "-s", metavar="SITE", help="Site to submit to: its name, or the path of a site file.")
]
RenderSite = Annotated[
    str, typer.Option("--site", "-s", metavar="SITE", help="Site to render for: its name, or the path of a site file.")
]
OfSite = Annotated[
    str | None,
    typer.Option(
        "--site", "-s", metavar="SITE", help="Select only jobs of this site: its name, or the path of its file."
    ),
]
OfCampaign = Annotated[
    str | None, typer.Option("--campaign", "-c", metavar="NAME", help="Select only jobs of this campaign.")
]
SubmitCampaign = Annotated[
    str | None,
    typer.Option("--campaign", "-c", metavar="NAME", help="Campaign to submit to, instead of the one in the job file."),
]
Again = Annotated[
    bool,
    typer.Option(
        "--again", help="Start a new run of the campaign: submit its jobs even if they were submitted before."
    ),
]
Keep = Annotated[
    bool, typer.Option("--keep", help="Use the recorded jobs of the campaign even if their content has changed since.")
]
RerunChanged = Annotated[
    bool, typer.Option("--rerun-changed", help="Run jobs again whose content has changed since they were submitted.")
]
DownloadAgain = Annotated[bool, typer.Option("--again", help="Download outputs that were collected before once more.")]
DownloadTo = Annotated[
    Path | None,
    typer.Option("--to", metavar="DIR", help="Download them once more, to a folder for each job in this one."),
]
Missing = Annotated[
    bool, typer.Option("--missing", help="Select only jobs that are lost or whose outputs are missing.")
]
RetryFrom = Annotated[
    Path | None,
    typer.Option("--from", metavar="FILE", help="Retry with the script and values that this job file has now."),
]
RetryForce = Annotated[
    bool, typer.Option("--force", help="Also jobs of which the attempt before may still be running.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        parser=_seconds,
        metavar="TIME",
        help="Stop waiting after this time: 90 (seconds), 5m, 2h. The jobs are not cancelled.",
    ),
]
CheckTimeout = Annotated[
    float,
    typer.Option(
        "--timeout", parser=_seconds, metavar="TIME", show_default="15m", help="With --job: longest time to wait."
    ),
]
Show = Annotated[
    list[str] | None,
    typer.Option("--show", metavar="RESULT", help="Result to print as a column of the table (repeatable)."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


def changed_option(keep: bool, rerun: bool) -> Changed:
    """What --keep and --rerun-changed choose."""
    from scheduler.engine.identity import Changed

    if keep and rerun:
        raise typer.BadParameter("give --keep or --rerun-changed, not both")
    return Changed.KEEP if keep else Changed.RERUN if rerun else Changed.ERROR
