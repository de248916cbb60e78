"""Machines without a batch system: a small queue of our own, in POSIX shell."""
