"""Real machines with real troubles: a check names each, and says what to do about it."""

from __future__ import annotations

import base64
import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scheduler.check.finding import Finding, Mark
from scheduler.check.look import look
from scheduler.check.trial import try_jobs
from scheduler.cli.commands.check import check
from scheduler.engine.connect import transport_to
from scheduler.site.site import Site
from scheduler.transports.base import Expanded, Program, Reply, Transport
from scheduler.transports.local.transport import LocalTransport
from tests.fakepbs_host import Here
from tests.testcluster import Cluster
from tests.unpacked import until
from tests.wrapped import Counting, Streams

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Watched(Counting):
    """The way that it is given, and how often it was taken; `before` are sh lines before each program."""

    def __init__(self, way: Transport, before: str = "") -> None:
        super().__init__(way)
        self.before = before

    def run(self, program: Program, args: Sequence[str | Expanded] = (), **streams: Unpack[Streams]) -> Reply:
        return super().run(Program(program.name, self.before + program.text), args, **streams)


def looked(site: Site, **more: Any) -> dict[str, Finding]:
    """What is found, by name."""
    with transport_to(site) as way:
        return by_name(look(site, way, **more))


def by_name(found: list[Finding]) -> dict[str, Finding]:
    assert all(one.do for one in found if one.mark is Mark.FAILED)
    return {one.name: one for one in found}


def failures(found: dict[str, Finding]) -> list[str]:
    return [name for name, one in found.items() if one.mark is Mark.FAILED]


def with_ssh(cluster: Cluster, **ssh: str) -> Site:
    """The cluster with other settings for the login."""
    site = cluster.site("far")
    return cluster.site("far", ssh={**site.ssh.model_dump(exclude_none=True), **ssh})


@pytest.mark.cluster
@pytest.mark.parametrize("user", ["alice", "tess"])
def test_a_site_where_all_is_well_is_looked_at_in_one_command(cluster: Cluster, user: str) -> None:
    site = cluster.site("far", user=user, limits={"walltime": "2 days", "array_size": 1000})
    way = Watched(transport_to(site))
    with way:
        found = by_name(look(site, way, image="/opt/images/small.sif"))
    assert [one for one in found.values() if one.mark is not Mark.OK] == []
    assert way.said == ["check"]
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
def test_an_unknown_host_key_is_named_with_its_fingerprint(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_text("")
    found = looked(with_ssh(cluster, known_hosts=str(tmp_path / "known_hosts")))
    assert list(found) == ["host key"] == failures(found)
    assert "the host is unknown" in found["host key"].words and "SHA256:" in found["host key"].words


@pytest.mark.cluster
def test_a_changed_host_key_is_named_loudly(cluster: Cluster, tmp_path: Path) -> None:
    name, kind, blob = (cluster.folder / "known_hosts").read_text().splitlines()[0].split()[:3]
    other = bytearray(base64.b64decode(blob))
    other[-1] ^= 1
    (tmp_path / "known_hosts").write_text(f"{name} {kind} {base64.b64encode(other).decode()}\n")
    found = looked(with_ssh(cluster, known_hosts=str(tmp_path / "known_hosts")))
    assert list(found) == ["host key"] == failures(found)
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in found["host key"].words


@pytest.mark.cluster
def test_a_login_that_is_refused_is_named_after_the_host_key_is_found_good(cluster: Cluster, tmp_path: Path) -> None:
    from tests.transports.sshd import make_key

    key = make_key(tmp_path / "id_stranger")
    found = looked(with_ssh(cluster, identity_file=str(key)))
    assert found["host key"].mark is Mark.OK
    assert failures(found) == ["login"] and "id_stranger" in found["login"].words


def test_a_host_that_does_not_answer_is_named() -> None:
    keys = {"transport": "ssh", "host": "127.0.0.1", "ssh": {"port": 1}, "scheduler": "slurm", "work_dir": "/w"}
    found = looked(Site.from_mapping(keys, name="nowhere"))
    assert list(found) == ["connection"] == failures(found) and "connection refused" in found["connection"].words


@pytest.fixture
def full_disk(cluster: Cluster) -> Iterator[str]:
    """A folder over there on a disk with a few kilobytes of room."""
    place = f"/mnt/full-{time.monotonic_ns()}"
    cluster.enter("sh", "-c", f"mkdir -p {place} && mount -t tmpfs -o size=64k,mode=1777 tmpfs {place}")
    try:
        yield place
    finally:
        cluster.enter("sh", "-c", f"umount -l {place} && rmdir {place}")


@pytest.mark.cluster
def test_a_full_disk_is_named_in_its_own_words(cluster: Cluster, full_disk: str) -> None:
    found = looked(cluster.site("far", work_dir=full_disk))
    assert failures(found) == ["work_dir"] and "No space left on device" in found["work_dir"].words
    assert found["free space"].mark is Mark.NOTE
    assert cluster.enter("ls", "-A", full_disk) == ""


TROUBLES: list[tuple[dict[str, Any], list[str], str]] = [
    ({"work_dir": "/root/work"}, ["work_dir"], "Permission denied"),
    ({"work_dir": "/etc/passwd"}, ["work_dir"], "/etc/passwd: "),
    ({"work_dir": "$NO_SUCH_SCRATCH/work"}, ["work_dir"], "NO_SUCH_SCRATCH: is not set over there"),
    ({"queue": "mian"}, ["queue", "directives"], "one of debug, main"),
    ({"account": "other"}, ["account", "directives"], "'other' is none of yours"),
    ({"native": ["--reservation=nosuch"]}, ["directives"], "reservation"),
    ({"queue": "debug", "limits": {"walltime": "10:00:00"}}, ["walltime"], "debug allows 00:30:00"),
    ({"queue": "debug", "defaults": {"walltime": "1h"}}, ["walltime"], "would never start"),
    ({"limits": {"array_size": 20000}}, ["array size"], "an array may have 10001"),
    ({"python": "/nowhere/python3"}, ["python"], "/nowhere/python3: not found"),
    ({"container": {"modules": ["nosuch"]}}, [], ""),
]


@pytest.mark.cluster
@pytest.mark.parametrize(("keys", "names", "words"), TROUBLES, ids=lambda value: str(value)[:50])
def test_each_trouble_of_a_site_file_is_named(
    cluster: Cluster, keys: dict[str, Any], names: list[str], words: str
) -> None:
    found = looked(cluster.site("far", **keys))
    assert failures(found) == names
    assert any(words in found[name].words + found[name].do for name in names or found)


@pytest.mark.cluster
def test_a_clock_that_is_off_is_named(cluster: Cluster) -> None:
    found = looked(cluster.site("far"), now=lambda: time.time() - 3600)
    assert failures(found) == ["clock"] and "s ahead of this machine" in found["clock"].words


@pytest.mark.cluster
def test_accounting_that_is_off_is_named_in_slurms_own_words(cluster: Cluster) -> None:
    site = cluster.site("far")
    before = "SLURM_CONF=$(mktemp); export SLURM_CONF; sed '/^AccountingStorage/d' /etc/slurm/slurm.conf >$SLURM_CONF\n"
    with Watched(transport_to(site), before) as way:
        found = by_name(look(site, way))
    assert found["history"].mark is Mark.NOTE and "accounting storage is disabled" in found["history"].words
    assert "history" not in failures(found)


@pytest.mark.cluster
def test_commands_that_are_missing_are_named(cluster: Cluster) -> None:
    """What a host without Slurm is like: it is looked for in vain, in login files too."""
    site = cluster.site("far")
    with Watched(transport_to(site), "command() { case $2 in s[bqc]*) return 127 ;; *) true ;; esac; }\n") as way:
        found = by_name(look(site, way))
    assert failures(found) == ["batch system"]
    assert found["batch system"].words == "slurm: sbatch, squeue, scancel: command not found"


@pytest.mark.cluster
def test_no_container_runtime_is_named(cluster: Cluster) -> None:
    site = cluster.site("far", scheduler="shell", account=None)
    with Watched(transport_to(site), "apptainer() { echo 'apptainer: command not found'; return 127; }\n") as way:
        found = by_name(look(site, way))
    assert failures(found) == ["container"] and "apptainer: command not found" in found["container"].words


@pytest.mark.cluster
def test_tiny_jobs_of_each_type_go_all_the_way(cluster: Cluster) -> None:
    site = cluster.site("far")
    with transport_to(site) as way:
        found = by_name(try_jobs(site, way, image="/opt/images/small.sif", timeout=120))
    assert list(found) == ["job: script", "container", "job: function", "job: container"]
    assert failures(found) == [] and "Python 3.13" in found["job: function"].words
    assert "(on a compute node)" in found["container"].words


@pytest.mark.cluster
def test_jobs_that_fail_on_the_compute_node_are_named_with_what_they_said(cluster: Cluster) -> None:
    site = cluster.site("far", python="/nowhere/python3", container={"runtime": "apptainer", "modules": ["nosuch"]})
    with transport_to(site) as way:
        found = by_name(try_jobs(site, way, image="/nowhere/image.sif", timeout=120))
    assert failures(found) == ["container", "job: function", "job: container"]
    assert "/nowhere/python3" in found["job: function"].words


@pytest.mark.cluster
def test_a_job_that_does_not_start_in_time_is_cancelled_and_named(cluster: Cluster) -> None:
    site = cluster.site("far", native=["--begin=now+1hour"])
    with transport_to(site) as way:
        found = by_name(try_jobs(site, way, image=None, timeout=2))
    assert failures(found) == ["job: script", "job: function"]
    assert "was cancelled" in found["job: script"].words
    queue = cluster.enter("squeue", "-h", "-t", "PD", "-u", "alice", "-o", "%j")
    assert not [name for name in queue.split() if name.startswith("check-")]


def here(tmp_path: Path, **keys: Any) -> Site:
    values = {
        "transport": "local",
        "scheduler": "shell",
        "work_dir": str(tmp_path / "work it's"),
        "python": sys.executable,
    }
    return Site.from_mapping({**values, **keys}, name="here")


def test_this_machine_is_looked_at_and_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    site = here(tmp_path, limits={"poll_seconds": 0.1})
    assert failures(looked(site)) == []
    assert failures(by_name(try_jobs(site, LocalTransport(), image=None, timeout=60))) == []
    assert [path.name for path in tmp_path.iterdir()] == ["work it's"]


@pytest.mark.skipif(shutil.which("sbatch") is not None, reason="this machine has Slurm")
def test_a_machine_without_slurm_is_told_so(tmp_path: Path) -> None:
    found = looked(here(tmp_path, scheduler="slurm"))
    assert failures(found) == ["batch system"] and "sbatch" in found["batch system"].words


@pytest.fixture
def pbs(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    """The pretended PBS on this machine, on PATH."""
    prefix = Path("/tmp") / f"pbs-{time.monotonic_ns()}"  # its socket needs a short name
    started = Here.started(prefix)
    monkeypatch.setenv("PATH", started.path)
    try:
        yield started
    finally:
        started.stop()
        shutil.rmtree(prefix)


def test_a_pbs_is_looked_at_too(tmp_path: Path, pbs: Here) -> None:
    site = here(tmp_path, scheduler="pbs", queue="limitq", limits={"walltime": "10m"})
    found = looked(site)
    assert failures(found) == []
    assert found["batch system"].words.startswith("PBS 23.06.06") and found["history"].mark is Mark.OK
    assert found["walltime"].words == "limitq allows 00:10:00; the site file 00:10:00"
    assert found["array size"].words == "at most 10000; the site file has 1000"


@pytest.mark.parametrize(
    ("keys", "name", "words"),
    [
        ({"queue": "nosuch"}, "queue", "there is no 'nosuch'"),
        ({"queue": "closedq"}, "queue", "'closedq' is not enabled"),
        ({"queue": "stoppedq"}, "queue", "'stoppedq' is not started"),
        ({"queue": "limitq", "limits": {"walltime": "1h"}}, "walltime", "limitq allows 00:10:00"),
    ],
)
def test_troubles_at_a_pbs_are_named(tmp_path: Path, pbs: Here, keys: dict[str, Any], name: str, words: str) -> None:
    found = looked(here(tmp_path, scheduler="pbs", **keys))
    assert failures(found) == [name] and words in found[name].words


def test_a_pbs_without_history_or_without_a_server_is_named(tmp_path: Path, pbs: Here) -> None:
    (pbs.prefix / "home" / "nohistory").touch()
    assert "job_history_enable" in looked(here(tmp_path, scheduler="pbs"))["history"].words
    (pbs.prefix / "home" / "down").touch()
    site = here(tmp_path, scheduler="pbs")
    until(lambda: failures(looked(site)))
    found = looked(site)
    assert failures(found) == ["batch system"] and "cannot connect to server" in found["batch system"].words


def test_the_command_says_it_for_programs_and_by_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "here.yaml"
    file.write_text(json.dumps(here(tmp_path).to_json()["settings"]))
    assert check(str(file), job=False, image=None, timeout=1, json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] and said["site"] == "here"
    assert list(said["findings"][0]) == ["name", "state", "words", "do"]
    file.write_text(json.dumps(here(tmp_path, python="/nowhere/python").to_json()["settings"]))
    assert check(str(file), job=False, image=None, timeout=1, json=True) == 1
    assert not json.loads(capsys.readouterr().out)["ok"]
