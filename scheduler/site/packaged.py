"""The folders of the files that come with the package: `templates` and `site_configs`."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def packaged_folder(name: str) -> Path:
    """The folder `name`: inside the installed package, or beside the package in a checkout."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name
