"""PBS: its directives, the commands that we run, and what their output means."""
