"""Checks that a site works as its site file describes it: one remote command, its findings, and small trial jobs."""
