"""Tests of `scheduler check`: each problem of a site gives a finding that says what to do."""
