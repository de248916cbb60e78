"""Every test of the whole way runs on each site in turn; what is sent together is sent once a site and module."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from tests.fakepbs_host import LocalFakePbs
from tests.testcluster import Cluster

from .sites import HERE, ON_CLUSTER, OWN, OWN_SITE, PBS_HERE, PBS_HERE_IN, Place, place_called
from .voyage import Jobs, Voyage, in_folder, travel


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that uses a place is tried on each."""
    if "place" in metafunc.fixturenames:
        module = metafunc.module.__name__.rpartition(".")[2]
        names = [*ON_CLUSTER, HERE, *([PBS_HERE] if module in PBS_HERE_IN else []), *([OWN] if OWN_SITE else [])]
        metafunc.parametrize("place", [_param(name) for name in names], indirect=True, scope="session")


def _param(name: str) -> ParameterSet:
    marks = [pytest.mark.cluster] if name in ON_CLUSTER else []
    if name == OWN:
        marks = [pytest.mark.timeout(3600)]  # a real queue takes its time
    return pytest.param(name, id=name.replace(" ", "-"), marks=marks)


@pytest.fixture(scope="session", autouse=True)
def _work_folder_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCHEDULER_TEST_WORK", str(tmp_path_factory.mktemp('work that\'s "here" é')))
        patch.delenv("SSH_AUTH_SOCK", raising=False)
        yield


@pytest.fixture(scope="session")
def place(request: pytest.FixtureRequest) -> Place:
    """A site, and what may be expected of it."""
    cluster: Cluster | None = request.getfixturevalue("cluster") if request.param in ON_CLUSTER else None
    if request.param == PBS_HERE:
        request.getfixturevalue("pbs_here")
    return place_called(request.param, cluster)


@pytest.fixture(scope="session")
def pbs_here() -> Iterator[LocalFakePbs]:
    """A pretended PBS on this machine, of the newer build, that keeps no history. Its commands are on PATH."""
    with tempfile.TemporaryDirectory(prefix="pbs-") as folder, pytest.MonkeyPatch.context() as patch:
        pbs = LocalFakePbs.started(Path(folder), master=True)
        (pbs.prefix / "home" / "nohistory").touch()
        patch.setenv("PATH", pbs.path)
        yield pbs
        pbs.stop()


@pytest.fixture(scope="module")
def send(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[], Jobs]], Voyage]:
    """Sends jobs together, and gives them when all are home."""
    return lambda make: travel(place, tmp_path_factory.mktemp("voyage"), make)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A current directory with a hostile name."""
    with in_folder(tmp_path) as inside:
        yield inside
