"""Strict YAML and checked values."""
