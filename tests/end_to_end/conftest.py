"""Every end-to-end test runs on each site; the jobs that a module submits together are submitted once per site."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from tests.fakepbs_host import LocalFakePbs
from tests.testcluster import Cluster

from .running import FinishedJobs, Jobs, in_hostile_folder, run_to_the_end
from .sites import LOCAL_PBS, LOCAL_PBS_MODULES, LOCAL_SHELL, ON_CLUSTER, OWN, OWN_SITE, Target, target_named


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test that uses `target` on each site."""
    if "target" in metafunc.fixturenames:
        module = metafunc.module.__name__.rpartition(".")[2]
        names = [
            *ON_CLUSTER,
            LOCAL_SHELL,
            *([LOCAL_PBS] if module in LOCAL_PBS_MODULES else []),
            *([OWN] if OWN_SITE else []),
        ]
        metafunc.parametrize("target", [_param(name) for name in names], indirect=True, scope="session")


def _param(name: str) -> ParameterSet:
    marks = [pytest.mark.cluster] if name in ON_CLUSTER else []
    if name == OWN:
        marks = [pytest.mark.timeout(3600)]  # jobs wait in a real queue
    return pytest.param(name, id=name.replace(" ", "-"), marks=marks)


@pytest.fixture(scope="session", autouse=True)
def _local_work_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCHEDULER_TEST_WORK", str(tmp_path_factory.mktemp('work that\'s "local" é')))
        patch.delenv("SSH_AUTH_SOCK", raising=False)
        yield


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Target:
    """A site, and what a test may expect of it."""
    cluster: Cluster | None = request.getfixturevalue("cluster") if request.param in ON_CLUSTER else None
    if request.param == LOCAL_PBS:
        request.getfixturevalue("local_pbs")
    return target_named(request.param, cluster)


@pytest.fixture(scope="session")
def local_pbs() -> Iterator[LocalFakePbs]:
    """A fake PBS on this machine, of the newer build and without a job history. Its commands are on PATH."""
    with tempfile.TemporaryDirectory(prefix="pbs-") as folder, pytest.MonkeyPatch.context() as patch:
        pbs = LocalFakePbs.started(Path(folder), master=True)
        (pbs.home / "nohistory").touch()
        patch.setenv("PATH", pbs.path)
        yield pbs
        pbs.stop()


@pytest.fixture(scope="module")
def run_jobs(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[], Jobs]], FinishedJobs]:
    """Submits jobs together, and returns them once all are finished and collected."""
    return lambda make: run_to_the_end(target, tmp_path_factory.mktemp("jobs"), make)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A current directory whose name needs quoting."""
    with in_hostile_folder(tmp_path) as inside:
        yield inside
