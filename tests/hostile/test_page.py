"""The page on security names, for each promise, a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

from tests import ROOT

PAGE = ROOT / "docs/pages/security.md"


def named() -> list[tuple[Path, str]]:
    """The tests in the page: a file or folder, and the name of a test in it, or an empty one."""
    found = re.findall(r"`(tests/[A-Za-z0-9_/.]+?)(?:::([a-z0-9_]+))?`", PAGE.read_text(encoding="utf-8"))
    return [(ROOT / path, test) for path, test in found]


def test_every_promise_has_a_test() -> None:
    text = PAGE.read_text(encoding="utf-8")
    table = text.partition("## Promises and their tests")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 20 and [row for row in rows if "`tests/" not in row] == []


def test_every_test_that_the_page_names_exists() -> None:
    assert [str(path) for path, _ in named() if not path.exists()] == []
    missing = [test for path, test in named() if test and f"def {test}(" not in path.read_text(encoding="utf-8")]
    assert len(named()) > 40 and missing == []
