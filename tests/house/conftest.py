"""Fixtures of the tests of the code itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .code import ROOT


@pytest.fixture
def package_copy(tmp_path: Path) -> Path:
    """A folder with a copy of the package, its templates and its site files, to which a test can add files."""
    folder = tmp_path / "copy"
    for name in ("scheduler", "templates", "site_configs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder
