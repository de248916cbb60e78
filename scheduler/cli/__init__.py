"""The command `scheduler`: reads arguments, prints results and messages. All other packages do the work."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """The entry point. Exits with 0, 1 (an expected error), 2 (usage), 3 (a job did not complete), 130 (Ctrl-C), or 128
    and the number of the signal that ended it (SIGTERM, SIGHUP)."""
    from scheduler.cli import streams

    streams.prepare()
    try:
        _run()
    except KeyboardInterrupt:  # the command has already printed what happens to the jobs, or no job is affected
        sys.exit(streams.exit_code(130))
    except SystemExit as end:
        sys.exit(streams.exit_code(end.code) if isinstance(end.code, int) else end.code)
    sys.exit(streams.exit_code(0))


def _run() -> None:
    from scheduler.cli.app import app
    from scheduler.errors import SchedulerError

    try:
        app(prog_name="scheduler")
    except SchedulerError as error:
        from scheduler.cli.screen import console

        console.print_error(str(error))
        sys.exit(1)
    except FileNotFoundError as error:
        if error.filename is not None or _has_current_folder():
            raise
        from scheduler.cli.screen import console
        from scheduler.schema.yaml import NO_CURRENT_FOLDER

        console.print_error(NO_CURRENT_FOLDER)
        sys.exit(1)


def _has_current_folder() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True
