"""Compares scheduler with pipelines written by hand, on the test cluster: `make bench`."""
