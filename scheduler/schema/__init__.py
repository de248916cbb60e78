"""Checked values, strict YAML and the sandbox of templates: how every file that a user writes is read."""
