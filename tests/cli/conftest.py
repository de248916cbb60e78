"""A workspace for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from .workspace import Workspace, workspace_in


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace without job files."""
    return workspace_in(tmp_path)
