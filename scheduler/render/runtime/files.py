"""The texts of this folder's files, for scripts and bundles."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def text(name: str) -> str:
    """The text of one file of this folder."""
    return (files(__package__) / name).read_text(encoding="utf-8")
