"""The commands of ``scheduler sites`` with their arguments and options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from scheduler.cli.options import AsJson, SiteArgument

sites_app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


@sites_app.callback()
def _sites(context: typer.Context, json: AsJson = False) -> None:
    """List the sites; print the settings of one, or write a site file."""
    from scheduler.cli.commands import sites

    if context.invoked_subcommand is None:
        raise typer.Exit(sites.table(json=json))


@sites_app.command("show")
def show(name: SiteArgument, json: AsJson = False) -> None:
    """Print all settings of a site, as YAML."""
    from scheduler.cli.commands import sites

    raise typer.Exit(sites.show(name, json=json))


@sites_app.command("trust")
def trust(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Site file of a folder, or template.", show_default=False)
    ],
) -> None:
    """Trust site files or templates of a folder as they are now.

    A site file in ./site_configs is used only after you have agreed to its content, and to that of the template that
    it names.
    """
    from scheduler.cli.commands import sites

    raise typer.Exit(sites.trust(files))


def _setting(metavar: str, text: str) -> Any:
    return typer.Option(metavar=metavar, help=text)


@sites_app.command("new")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new site, or of a packaged site to adapt.")],
    transport: Annotated[str | None, _setting("NAME", "How to connect: ssh, openssh or local.")] = None,
    host: Annotated[str | None, _setting("HOST", "Login node: a host name, or a Host of ~/.ssh/config.")] = None,
    user: Annotated[str | None, _setting("NAME", "User name on the remote host.")] = None,
    scheduler: Annotated[str | None, _setting("NAME", "Batch system, such as slurm.")] = None,
    work_dir: Annotated[str | None, _setting("PATH", "Remote directory for jobs, visible to compute nodes.")] = None,
    account: Annotated[str | None, _setting("NAME", "Account to charge.")] = None,
    queue: Annotated[str | None, _setting("NAME", "Queue (PBS) or partition (Slurm).")] = None,
    walltime: Annotated[str | None, _setting("TIME", "Longest walltime that a job may request.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing site file of yours.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; omit settings not given as options.")] = False,
) -> None:  # fmt: skip
    """Write a site file, asking for each setting.

    For a packaged site, it asks only for the settings that differ between users.
    """
    from scheduler.cli.commands import new_site

    given = {
        "transport": transport, "host": host, "ssh.user": user, "scheduler": scheduler, "work_dir": work_dir,
        "account": account, "queue": queue, "limits.walltime": walltime,
    }  # fmt: skip
    raise typer.Exit(
        new_site.new(name, {key: value for key, value in given.items() if value is not None}, force=force, yes=yes)
    )
