"""``python -m scheduler.cli``: the command, if its entry point is not on the PATH."""

from scheduler.cli import main

main()
