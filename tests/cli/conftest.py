"""A desk for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from .desk import Desk, desk_in


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Somebody's desk, with nothing on it."""
    return desk_in(tmp_path)
