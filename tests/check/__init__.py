"""Checks of a site: each trouble is named, with what to do about it."""
