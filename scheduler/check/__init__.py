"""Checks that a site works as its site file says: one remote command, its findings, and small trial jobs."""
