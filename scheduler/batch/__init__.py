"""Batch systems: their directives, their commands, and what the output means. Nothing here runs anything."""
