"""Tests of the command `scheduler`: each runs real processes with a current directory and a ledger of their own."""
