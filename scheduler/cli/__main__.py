"""``python -m scheduler.cli``: the command where its entry point is not on the PATH."""

from scheduler.cli import main

main()
