"""Checked values and strict YAML: how every file that a user writes is read."""
