"""The documentation as a website: it builds without a warning, fetches nothing, and its search works from files."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The website, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("website")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(ROOT / "docs/mkdocs.yml")]
    done = subprocess.run([*build, "-d", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_website_loads_nothing_from_other_hosts(site: Path) -> None:
    loaded = r"<(?:script|img|iframe|source)\b[^>]*\ssrc=\"(?:https?:)?//|<link\b[^>]*\shref=\"https?://[^\"]+\.css"
    pages = sorted(site.glob("*.html"))
    assert len(pages) > 20
    assert [page.name for page in pages if re.search(loaded, page.read_text(encoding="utf-8"))] == []


@pytest.mark.slow
def test_the_search_index_can_be_read_from_files(site: Path) -> None:
    assert (site / "search/search_index.js").read_text(encoding="utf-8").startswith("var __index")


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium or Chrome to open the website with")
def test_search_finds_a_word_when_the_website_is_opened_as_files(site: Path, tmp_path: Path) -> None:
    assert BROWSER
    quiet = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    address = f"{(site / 'index.html').as_uri()}?q=walltime"
    command = [BROWSER, *quiet, "--virtual-time-budget=20000", "--timeout=60000", "--dump-dom", address]
    page = subprocess.run(command, capture_output=True, text=True, timeout=600).stdout
    [found] = re.findall(r'<div class="md-search-result__meta">\s*(\d+) matching documents', page)
    assert int(found) > 3


def test_the_local_links_of_the_root_files_exist() -> None:
    for name in ("README.md", "CONTRIBUTING.md"):
        links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / name).read_text(encoding="utf-8"))
        assert links
        assert [link for link in links if not (ROOT / link).exists()] == []
