"""Tests of results and facts of jobs."""
