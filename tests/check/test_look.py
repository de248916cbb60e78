"""Checks of the test cluster with real problems: each gives a finding with what to do about it."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scheduler.check.finding import Mark
from scheduler.check.look import inspect_site
from scheduler.check.trial import run_trial_jobs
from scheduler.engine.connect import transport_to
from scheduler.site.site import Site
from tests.testcluster import Cluster

from .inspection import Recording, by_name, failures, findings_at


def with_ssh(cluster: Cluster, **ssh: str) -> Site:
    """The site file of the cluster with other ssh settings."""
    site = cluster.site("far")
    return cluster.site("far", ssh={**site.ssh.model_dump(exclude_none=True), **ssh})


@pytest.mark.cluster
@pytest.mark.parametrize("user", ["alice", "tess"])
def test_a_working_site_is_checked_with_one_remote_command(cluster: Cluster, user: str) -> None:
    site = cluster.site("far", user=user, limits={"walltime": "2 days", "array_size": 1000})
    transport = Recording(transport_to(site))
    with transport:
        found = by_name(inspect_site(site, transport, image="/opt/images/small.sif"))
    assert [one for one in found.values() if one.mark is not Mark.OK] == []
    assert transport.ran == ["check"]
    names = ["host key", "login", "shell", "work_dir", "free space", "free inodes", "clock", "batch system", "history"]
    assert list(found) == [
        *names,
        "queue",
        "account",
        "walltime",
        "array size",
        "directives",
        "container",
        "image",
        "python",
    ]
    assert "slurm-wlm 24.11" in found["batch system"].words and "apptainer version" in found["container"].words


@pytest.mark.cluster
def test_an_unknown_host_key_is_reported_with_its_fingerprint(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_text("")
    found = findings_at(with_ssh(cluster, known_hosts=str(tmp_path / "known_hosts")))
    assert list(found) == ["host key"] == failures(found)
    assert "the host is unknown" in found["host key"].words and "SHA256:" in found["host key"].words


@pytest.mark.cluster
def test_a_changed_host_key_is_reported_in_capital_letters(cluster: Cluster, tmp_path: Path) -> None:
    name, kind, blob = (cluster.folder / "known_hosts").read_text().splitlines()[0].split()[:3]
    other = bytearray(base64.b64decode(blob))
    other[-1] ^= 1
    (tmp_path / "known_hosts").write_text(f"{name} {kind} {base64.b64encode(other).decode()}\n")
    found = findings_at(with_ssh(cluster, known_hosts=str(tmp_path / "known_hosts")))
    assert list(found) == ["host key"] == failures(found)
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in found["host key"].words


@pytest.mark.cluster
def test_a_refused_login_is_reported_after_the_good_host_key(cluster: Cluster, tmp_path: Path) -> None:
    from tests.transports.sshd import make_key

    key = make_key(tmp_path / "id_stranger")
    found = findings_at(with_ssh(cluster, identity_file=str(key)))
    assert found["host key"].mark is Mark.OK
    assert failures(found) == ["login"] and "id_stranger" in found["login"].words


def test_a_refused_connection_is_reported() -> None:
    keys = {"transport": "ssh", "host": "127.0.0.1", "ssh": {"port": 1}, "scheduler": "slurm", "work_dir": "/w"}
    found = findings_at(Site.from_mapping(keys, name="nowhere"))
    assert list(found) == ["connection"] == failures(found) and "connection refused" in found["connection"].words


@pytest.fixture
def full_disk(cluster: Cluster) -> Iterator[str]:
    """A remote directory on a disk with a few kilobytes of space."""
    folder = f"/mnt/full-{time.monotonic_ns()}"
    cluster.enter("sh", "-c", f"mkdir -p {folder} && mount -t tmpfs -o size=64k,mode=1777 tmpfs {folder}")
    try:
        yield folder
    finally:
        cluster.enter("sh", "-c", f"umount -l {folder} && rmdir {folder}")


@pytest.mark.cluster
def test_a_full_disk_is_reported_with_the_systems_message(cluster: Cluster, full_disk: str) -> None:
    found = findings_at(cluster.site("far", work_dir=full_disk))
    assert failures(found) == ["work_dir"] and "No space left on device" in found["work_dir"].words
    assert found["free space"].mark is Mark.NOTE
    assert cluster.enter("ls", "-A", full_disk) == ""


PROBLEMS: list[tuple[dict[str, Any], list[str], str]] = [
    ({"work_dir": "/root/work"}, ["work_dir"], "Permission denied"),
    ({"work_dir": "/etc/passwd"}, ["work_dir"], "/etc/passwd: "),
    ({"work_dir": "$NO_SUCH_SCRATCH/work"}, ["work_dir"], "NO_SUCH_SCRATCH: is not set"),
    ({"queue": "mian"}, ["queue", "directives"], "one of debug, main"),
    ({"account": "other"}, ["account", "directives"], "'other' is not one of your accounts"),
    ({"native": ["--reservation=nosuch"]}, ["directives"], "reservation"),
    ({"queue": "debug", "limits": {"walltime": "10:00:00"}}, ["walltime"], "debug allows 00:30:00"),
    ({"queue": "debug", "defaults": {"walltime": "1h"}}, ["walltime"], "the site file's default for jobs is 01:00:00"),
    ({"limits": {"array_size": 20000}}, ["array size"], "allows 10001 array tasks"),
    ({"python": "/nowhere/python3"}, ["python"], "/nowhere/python3: not found"),
    ({"container": {"modules": ["nosuch"]}}, [], ""),
]


@pytest.mark.cluster
@pytest.mark.parametrize(("keys", "names", "words"), PROBLEMS, ids=lambda value: str(value)[:50])
def test_each_problem_of_a_site_file_is_reported(
    cluster: Cluster, keys: dict[str, Any], names: list[str], words: str
) -> None:
    found = findings_at(cluster.site("far", **keys))
    assert failures(found) == names
    assert any(words in found[name].words + found[name].do for name in names or found)


@pytest.mark.cluster
def test_a_wrong_clock_is_reported(cluster: Cluster) -> None:
    found = findings_at(cluster.site("far"), now=lambda: time.time() - 3600)
    assert failures(found) == ["clock"] and "s ahead of this machine" in found["clock"].words


@pytest.mark.cluster
def test_disabled_accounting_is_a_note_with_slurms_message(cluster: Cluster) -> None:
    site = cluster.site("far")
    before = "SLURM_CONF=$(mktemp); export SLURM_CONF; sed '/^AccountingStorage/d' /etc/slurm/slurm.conf >$SLURM_CONF\n"
    with Recording(transport_to(site), before) as transport:
        found = by_name(inspect_site(site, transport))
    assert found["history"].mark is Mark.NOTE and "accounting storage is disabled" in found["history"].words
    assert "history" not in failures(found)


@pytest.mark.cluster
def test_missing_slurm_commands_are_reported(cluster: Cluster) -> None:
    """As on a host without Slurm: neither PATH nor the login files have its commands."""
    site = cluster.site("far")
    with Recording(
        transport_to(site), "command() { case $2 in s[bqc]*) return 127 ;; *) true ;; esac; }\n"
    ) as transport:
        found = by_name(inspect_site(site, transport))
    assert failures(found) == ["batch system"]
    assert found["batch system"].words == "slurm: sbatch, squeue, scancel: command not found"


@pytest.mark.cluster
def test_a_missing_container_runtime_is_reported(cluster: Cluster) -> None:
    site = cluster.site("far", scheduler="shell", account=None)
    with Recording(
        transport_to(site), "apptainer() { echo 'apptainer: command not found'; return 127; }\n"
    ) as transport:
        found = by_name(inspect_site(site, transport))
    assert failures(found) == ["container"] and "apptainer: command not found" in found["container"].words


@pytest.mark.cluster
def test_a_trial_job_of_each_type_completes(cluster: Cluster) -> None:
    site = cluster.site("far")
    with transport_to(site) as transport:
        found = by_name(run_trial_jobs(site, transport, image="/opt/images/small.sif", timeout=600))
    assert list(found) == ["job: script", "container", "job: function", "job: container"]
    assert failures(found) == [] and "Python 3.13" in found["job: function"].words
    assert "(on a compute node)" in found["container"].words


@pytest.mark.cluster
def test_trial_jobs_that_fail_are_reported_with_their_output(cluster: Cluster) -> None:
    site = cluster.site("far", python="/nowhere/python3", container={"runtime": "apptainer", "modules": ["nosuch"]})
    with transport_to(site) as transport:
        found = by_name(run_trial_jobs(site, transport, image="/nowhere/image.sif", timeout=600))
    assert failures(found) == ["container", "job: function", "job: container"]
    assert "/nowhere/python3" in found["job: function"].words


@pytest.mark.cluster
def test_trial_jobs_that_do_not_start_in_time_are_cancelled_and_reported(cluster: Cluster) -> None:
    site = cluster.site("far", native=["--begin=now+1hour"])
    with transport_to(site) as transport:
        found = by_name(run_trial_jobs(site, transport, image=None, timeout=2))
    assert failures(found) == ["job: script", "job: function"]
    assert "was cancelled" in found["job: script"].words
    queue = cluster.enter("squeue", "-h", "-t", "PD", "-u", "alice", "-o", "%j")
    assert not [name for name in queue.split() if name.startswith("check-")]
