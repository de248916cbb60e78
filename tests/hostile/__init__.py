"""Hostile values in every field, hostile replies, and what other users could read: no value is ever executed."""
