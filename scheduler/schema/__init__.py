"""Checked values and strict YAML: what every file that a person writes is read with."""
