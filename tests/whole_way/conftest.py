"""Every test of the whole way runs on each site in turn; what is sent together is sent once a site and module."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pretended_pbs import Here
from testcluster import Cluster

from .sites import HERE, ON_CLUSTER, OWN, OWN_SITE, PBS_HERE, Place, place_called
from .voyage import Jobs, Voyage, in_folder, travel

_ON_CLUSTER = [pytest.param(name, id=name.replace(" ", "-"), marks=pytest.mark.cluster) for name in ON_CLUSTER]
_OTHERS = [pytest.param(name, id=name.replace(" ", "-")) for name in (HERE, PBS_HERE, *([OWN] if OWN_SITE else []))]


@pytest.fixture(scope="session", autouse=True)
def _work_folder_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCHEDULER_TEST_WORK", str(tmp_path_factory.mktemp('work that\'s "here" é')))
        patch.delenv("SSH_AUTH_SOCK", raising=False)
        yield


@pytest.fixture(scope="session", params=[*_ON_CLUSTER, *_OTHERS])
def place(request: pytest.FixtureRequest) -> Place:
    """A site, and what may be expected of it."""
    cluster: Cluster | None = request.getfixturevalue("cluster") if request.param in ON_CLUSTER else None
    if request.param == PBS_HERE:
        request.getfixturevalue("pbs_here")
    return place_called(request.param, cluster)


@pytest.fixture(scope="session")
def pbs_here() -> Iterator[Here]:
    """A pretended PBS on this machine, whose commands are on PATH."""
    with tempfile.TemporaryDirectory(prefix="pbs-") as folder, pytest.MonkeyPatch.context() as patch:
        pbs = Here.started(Path(folder))
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
