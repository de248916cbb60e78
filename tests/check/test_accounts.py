"""Every kind of account on the test cluster: a check finds nothing where all is well, and else the real trouble."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.check.finding import Finding, Mark
from scheduler.check.look import look
from scheduler.engine.connect import transport_to
from scheduler.site.site import Site
from tests.end_to_end.logins import TRANSPORTS, certified, site_of, ssh_of, transport_of
from tests.testcluster import Cluster

from .test_look import by_name, failures

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("login", ["behind a jump host", "twofactor", "password", "cert", "tess", "nosftp", "posix"])
@pytest.mark.parametrize("way", TRANSPORTS)
def test_where_all_is_well_nothing_is_found(cluster: Cluster, tmp_path: Path, way: str, login: str) -> None:
    with transport_of(cluster, way, login, tmp_path) as transport:
        found = by_name(look(site_of(cluster, way, login), transport))
    assert failures(found) == [], {name: one for name, one in found.items() if one.mark is Mark.FAILED}


def the_trouble(site: Site) -> Finding:
    """The one thing that is wrong there."""
    with transport_to(site) as transport:
        found = by_name(look(site, transport))
    (name,) = failures(found)
    return found[name]


@pytest.mark.parametrize("way", TRANSPORTS)
def test_an_account_that_wants_a_code_says_so_where_nobody_can_be_asked(cluster: Cluster, way: str) -> None:
    trouble = the_trouble(cluster.site("two", user="twofactor", transport=way))
    assert trouble.name == "login"
    assert "code" in trouble.words or "keyboard-interactive" in trouble.words, trouble


@pytest.mark.parametrize("way", TRANSPORTS)
def test_an_account_with_a_certificate_that_has_run_out_says_so(cluster: Cluster, tmp_path: Path, way: str) -> None:
    key = certified(cluster, tmp_path, valid="-3h:-2h")
    ssh = {**ssh_of(cluster, "cert"), "identity_file": str(key)}
    trouble = the_trouble(cluster.site("cert", transport=way, ssh=ssh))
    assert trouble.name == "login"
    assert "expired" in trouble.words, trouble


@pytest.mark.parametrize("way", TRANSPORTS)
def test_an_account_with_a_list_of_commands_names_what_was_rejected(cluster: Cluster, way: str) -> None:
    trouble = the_trouble(cluster.site("list", user="restricted", transport=way))
    assert "Command rejected by allowed-commands" in trouble.words, trouble


@pytest.mark.parametrize("way", TRANSPORTS)
def test_a_full_home_is_the_work_folders_trouble(cluster: Cluster, way: str) -> None:
    trouble = the_trouble(cluster.site("full", user="full", transport=way))
    assert trouble.name == "work_dir"


def test_slurm_on_a_host_without_bash_is_named(cluster: Cluster) -> None:
    with transport_to(site := cluster.site("nobash", ssh=ssh_of(cluster, "posix"))) as transport:
        found = by_name(look(site, transport))
    assert any("bash" in found[name].words for name in failures(found)), found
