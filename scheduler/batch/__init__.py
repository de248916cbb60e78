"""Batch systems: commands to say, replies to read. Nothing here runs anything."""
