"""With SCHEDULER_TEST_SITE: that site is checked, and runs a trial job of each type."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.check.finding import Mark
from scheduler.check.look import inspect_site
from scheduler.check.trial import run_trial_jobs
from scheduler.engine.connect import transport_to
from scheduler.site.catalog import find_site
from tests.end_to_end.sites import OWN_IMAGE, OWN_SITE

LONGEST_SECONDS = 3600.0


@pytest.mark.skipif(not OWN_SITE, reason="SCHEDULER_TEST_SITE names no site")
@pytest.mark.timeout(LONGEST_SECONDS + 600)
def test_no_check_of_the_users_own_site_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = find_site(str(OWN_SITE))
    if site.transport == "local":
        monkeypatch.chdir(tmp_path if site.scheduler == "shell" else Path.cwd())
    with transport_to(site) as transport:
        found = inspect_site(site, transport, image=OWN_IMAGE)
        found += run_trial_jobs(site, transport, image=OWN_IMAGE, timeout=LONGEST_SECONDS)
    assert [f"{one.name}: {one.words}" for one in found if one.mark is Mark.FAILED] == []
