"""Polling: one remote command asks after all jobs of a site, and its reply is turned into statuses."""
