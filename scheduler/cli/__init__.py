"""The command `scheduler`: reads arguments, prints results and messages. All other packages do the work."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """The entry point. Exits with 0, 1 (an expected error), 2 (usage), 3 (a job did not complete) or 130 (Ctrl-C)."""
    try:
        _run()
    except KeyboardInterrupt:  # the command has already printed what happens to the jobs, or no job is affected
        sys.exit(130)


def _run() -> None:
    from scheduler.cli.app import app
    from scheduler.errors import SchedulerError

    for stream in (sys.stdout, sys.stderr):  # characters that the terminal's encoding lacks are printed as escapes
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
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
    except BrokenPipeError:  # the reader of the pipe has closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _has_current_folder() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True
