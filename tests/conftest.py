"""Fixtures of all tests: the test cluster, which starts before the first test, and an environment of their own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from tests.testcluster import HAS_CONTAINERS, Cluster, NoCluster, bring_up, build_images

_CLUSTER = pytest.StashKey[Cluster | str]()

# No example fails because the machine is slow.
settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")


_LONGEST = (
    *("end_to_end/test_time_limit", "end_to_end/test_retry", "end_to_end/test_round_trips", "end_to_end/test_cancel"),
    *("end_to_end/", "transports/", "cli/", "pbs/", "faults/test_random", "faults/test_killed", "faults/"),
)
"""Modules that wait long run first, so that concurrent workers finish at about the same time."""


_SITE = re.compile(r"[\[-](slurm-as-\w+|shell-over-ssh|pbs-over-ssh|local-shell|local-pbs)\b")


class _BySite(LoadScopeScheduling):  # type: ignore[misc]
    """Tests of a module on one site share jobs, and run on one worker; those on other sites may run on another one."""

    def _split_scope(self, nodeid: str) -> str:
        module, _, test = nodeid.partition("::")
        site = _SITE.search(test) if "/end_to_end/" in module else None
        return f"{module} {site[1]}" if site else module


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _BySite | None:
    return _BySite(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        return next((n for n, part in enumerate(_LONGEST) if part in item.nodeid), len(_LONGEST))

    items.sort(key=rank)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the cluster before the first test: the first start takes minutes, which count for no test's time limit."""
    wanted = [item for item in session.items if item.get_closest_marker("cluster")]
    if not wanted or session.config.option.collectonly:
        return
    try:
        session.config.stash[_CLUSTER] = bring_up()
        fixtures = {name for item in wanted for name in getattr(item, "fixturenames", ())}
        if HAS_CONTAINERS:
            build_images("small", *(["b0"] if "b0_image" in fixtures else []))
    except NoCluster as error:
        session.config.stash[_CLUSTER] = str(error)


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Cluster:
    """The test cluster. A test that uses it has the marker `cluster`."""
    found = pytestconfig.stash[_CLUSTER]
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture(scope="session")
def b0_image(cluster: Cluster) -> str:
    """The path of an image in the cluster, with numpy, pyacts and uproot."""
    if not HAS_CONTAINERS:
        pytest.skip("this test cluster has no Apptainer")
    return "/opt/images/b0.sif"


@pytest.fixture(autouse=True)
def _no_state_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test uses the ledger, the sites or the SSH agent of the user, or asks the user anything."""
    monkeypatch.setenv("SCHEDULER_STATE_DIR", str(tmp_path / "state of the test"))
    monkeypatch.setenv("SCHEDULER_CONFIG_DIR", str(tmp_path / "settings of the test"))
    monkeypatch.setenv("SCHEDULER_NO_PROMPT", "1")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
