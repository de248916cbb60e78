"""Tests of `scheduler check`: each problem of a site gives a finding with what to do."""
