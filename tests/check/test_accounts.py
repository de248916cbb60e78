"""Each kind of account on the test cluster: a check finds no failure if it works, else the real problem."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.check.finding import Finding, Mark
from scheduler.check.look import inspect_site
from scheduler.engine.connect import transport_to
from scheduler.site.site import Site
from tests.end_to_end.logins import TRANSPORTS, certified, site_of, ssh_of, transport_of
from tests.testcluster import Cluster

from .inspection import by_name, failures

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("login", ["behind a jump host", "twofactor", "password", "cert", "tess", "nosftp", "posix"])
@pytest.mark.parametrize("transport_name", TRANSPORTS)
def test_no_check_of_a_working_account_fails(cluster: Cluster, tmp_path: Path, transport_name: str, login: str) -> None:
    with transport_of(cluster, transport_name, login, tmp_path) as transport:
        found = by_name(inspect_site(site_of(cluster, transport_name, login), transport))
    assert failures(found) == [], {name: one for name, one in found.items() if one.mark is Mark.FAILED}


def only_failure(site: Site) -> Finding:
    """The one finding that is a failure."""
    with transport_to(site) as transport:
        found = by_name(inspect_site(site, transport))
    (name,) = failures(found)
    return found[name]


@pytest.mark.parametrize("transport_name", TRANSPORTS)
def test_a_login_that_needs_a_one_time_code_is_reported_as_that(cluster: Cluster, transport_name: str) -> None:
    failure = only_failure(cluster.site("two", user="twofactor", transport=transport_name))
    assert failure.name == "login"
    assert "code" in failure.words or "keyboard-interactive" in failure.words, failure


@pytest.mark.parametrize("transport_name", TRANSPORTS)
def test_an_expired_certificate_is_reported_as_expired(cluster: Cluster, tmp_path: Path, transport_name: str) -> None:
    key = certified(cluster, tmp_path, valid="-3h:-2h")
    ssh = {**ssh_of(cluster, "cert"), "identity_file": str(key)}
    failure = only_failure(cluster.site("cert", transport=transport_name, ssh=ssh))
    assert failure.name == "login"
    assert "expired" in failure.words, failure


@pytest.mark.parametrize("transport_name", TRANSPORTS)
def test_the_rejection_by_a_list_of_allowed_commands_is_reported(cluster: Cluster, transport_name: str) -> None:
    failure = only_failure(cluster.site("list", user="restricted", transport=transport_name))
    assert "Command rejected by allowed-commands" in failure.words, failure


@pytest.mark.parametrize("transport_name", TRANSPORTS)
def test_a_full_home_directory_is_a_failure_of_work_dir(cluster: Cluster, transport_name: str) -> None:
    failure = only_failure(cluster.site("full", user="full", transport=transport_name))
    assert failure.name == "work_dir"


def test_a_missing_bash_is_reported_for_slurm(cluster: Cluster) -> None:
    with transport_to(site := cluster.site("nobash", ssh=ssh_of(cluster, "posix"))) as transport:
        found = by_name(inspect_site(site, transport))
    assert any("bash" in found[name].words for name in failures(found)), found
