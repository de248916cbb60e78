"""The batch systems, each in its own folder."""
