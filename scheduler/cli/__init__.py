"""The command `scheduler`: it talks with a person, and everything that acts is below it."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """The entry point. Ends with 0, 1 (an expected error), 2 (usage), 3 (a job did not complete) or 130 (Ctrl-C)."""
    try:
        _run()
    except KeyboardInterrupt:  # at a moment when nobody had anything to say about it
        sys.exit(130)


def _run() -> None:
    from scheduler.cli.app import app
    from scheduler.errors import SchedulerError

    for stream in (sys.stdout, sys.stderr):  # what a terminal cannot show is shown as an escape
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    try:
        app(prog_name="scheduler")
    except SchedulerError as error:
        from scheduler.cli.screen import console

        console.complain(str(error))
        sys.exit(1)
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
