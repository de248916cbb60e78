"""The #PBS header: every resource in qsub's words, and what may not stand there."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from scheduler import ConfigError, Resources
from scheduler.batch.base import BatchRequest
from scheduler.batch.pbs.directives import walltime
from scheduler.batch.pbs.system import SYSTEM
from scheduler.site.catalog import find_site
from scheduler.site.packaged import packaged_folder


def header(*, count: int = 1, memory_style: str = "per_node", name: str = "b0.token-0", **resources: Any) -> list[str]:
    """The header's lines without ``#PBS``."""
    text = SYSTEM.directives(BatchRequest(name, count, 7, Resources(**resources), memory_style))
    assert all(line.startswith("#PBS -") for line in text.split("\n"))
    return [line[5:] for line in text.split("\n")]


def test_a_job_without_wishes_gets_what_the_site_gives() -> None:
    assert header() == ["-N b0.token-0", "-j oe", "-o batches/7/log.0", "-r n", "-l select=1"]


def test_everything_that_can_be_asked_for() -> None:
    lines = header(
        cpus=4, memory="3 GB", walltime="2-00:30:00", gpus=2, nodes=2, tasks=4, queue="prod", account="EIC",
        constraint="system=polaris", native=["-l filesystems=home:eagle", "-m n"],
    )  # fmt: skip
    assert lines[3:] == [
        "-r n",
        "-l select=2:ncpus=8:mpiprocs=2:mem=3072mb:ngpus=2:system=polaris",
        "-l place=scatter",
        "-l walltime=48:30:00",
        "-A EIC",
        "-q prod",
        "-l filesystems=home:eagle",
        "-m n",
    ]


SITES = {
    "polaris": ["-l select=1:system=polaris", "-l walltime=01:00:00", "-q preemptable", "-l filesystems=home:eagle"],
    "aurora": ["-l select=1", "-l walltime=01:00:00", "-q capacity", "-l filesystems=flare"],
    "improv": ["-l select=1", "-l walltime=01:00:00", "-q compute"],
    "bebop": ["-l select=1", "-l walltime=01:00:00", "-q bdwall"],
}


@pytest.mark.parametrize("name", SITES)
def test_a_job_of_a_packaged_site_asks_as_its_users_do(name: str) -> None:
    site = find_site(name, folders=[packaged_folder("site_configs")])
    want = site.resources_for(Resources(account="EIC"))
    request = BatchRequest("b0.token-0", 20, 0, want, site.memory_style)
    lines = SYSTEM.directives(request).replace("#PBS ", "").split("\n")
    assert lines[3:5] == ["-J 0-19", "-r y"]
    assert sorted(lines[5:]) == sorted([*SITES[name], "-A EIC"])
    assert site.limits.whole_node and site.limits.cores_per_node


def test_an_array_is_rerunable_and_each_element_has_a_log_of_its_own() -> None:
    lines = header(count=40, cpus=1)
    assert "-o batches/7/log.^array_index^" in lines
    assert lines[3:5] == ["-J 0-39", "-r y"]


def test_one_job_is_no_array_since_qsub_refuses_such() -> None:
    assert not [line for line in header(count=1) if line.startswith("-J")]


@pytest.mark.parametrize(
    ("resources", "chunks"),
    [
        ({"cpus": 4}, "1:ncpus=4"),
        ({"memory": "500 MB"}, "1:mem=500mb"),
        ({"tasks": 4}, "1:ncpus=4:mpiprocs=4"),
        ({"tasks": 5, "nodes": 2, "cpus": 2}, "1:ncpus=6:mpiprocs=3+1:ncpus=4:mpiprocs=2"),
        ({"tasks": 2, "nodes": 3}, "2:ncpus=1:mpiprocs=1"),
        ({"nodes": 3}, "3"),
        ({"gpus": 0}, "1"),
        ({"constraint": "system=polaris:bigdata=true"}, "1:system=polaris:bigdata=true"),
    ],
)
def test_what_is_asked_for_becomes_chunks(resources: dict[str, Any], chunks: str) -> None:
    assert f"-l select={chunks}" in header(**resources)


def test_memory_is_left_out_where_the_site_says_so() -> None:
    assert "-l select=1:ncpus=1" in header(cpus=1, memory="3 GB", memory_style="omit")
    assert "-l select=1:ncpus=1:mem=3072mb" in header(cpus=1, memory="3 GB", memory_style="per_cpu")


def test_a_place_of_ones_own_replaces_ours() -> None:
    lines = header(nodes=2, native=["-l place=pack:excl"])
    assert [line for line in lines if "place" in line] == ["-l place=pack:excl"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(1, "00:00:01"), (59, "00:00:59"), (3600, "01:00:00"), (864001, "240:00:01")]
)
def test_a_walltime_has_hours_minutes_and_seconds_and_no_days(seconds: int, text: str) -> None:
    assert walltime(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    "native",
    [
        "-l filesystems=home:eagle", "-l place=scatter", "-l cput=01:00:00,pvmem=2gb", "-m abe", "-M me@example.org",
        "-p 10", "-P project", "-W depend=afterok:12.host", "-W group_list=eic", "-h", "-a 203001010000", "-c n",
        "-lsoftware=x",
    ],
)  # fmt: skip
def test_other_directives_are_passed_on(native: str) -> None:
    letter, value = native[1], native[2:].strip()
    assert header(native=[native])[-1] == f"-{letter} {value}".rstrip()


@pytest.mark.parametrize(
    "native",
    [
        "-N other", "-o /tmp/log", "-e log", "-j n", "-J 0-3", "-k doe", "-r y", "-R oe", "-S /bin/sh", "-V",
        "-v A=1", "-z", "-I", "-X", "-f", "-C #X", "-W block=true", "-W umask=0", "-W sandbox=PRIVATE", "-q other",
        "-A other",
        "-l select=3", "-l walltime=1:00:00", "-l ncpus=3", "-l mem=1gb", "-l nodes=1:ppn=2", "-l ngpus=1",
        "-l filesystems=home,walltime=99:00:00", "-W group_list=a,block=true", "-lselect=3", "-Jx",
    ],
)  # fmt: skip
def test_what_we_set_ourselves_is_not_set_again(native: str) -> None:
    with pytest.raises(ConfigError, match="native"):
        header(native=[native])


@pytest.mark.parametrize(
    "native",
    ["--gres=disk:4G", "-l", "-l filesystems", "-y", "-u bob", "-m $(id)", "-M a b", "-l a='b'", "-P `id`", "-p 1;id"],
)
def test_what_is_no_directive_of_qsub_is_refused_by_name(native: str) -> None:
    if native in ("-l filesystems",):
        assert header(native=[native])[-1] == native  # a resource without a value is qsub's to judge
        return
    with pytest.raises(ConfigError, match=re.escape(native)):
        header(native=[native])


@pytest.mark.parametrize("constraint", ["gpu&a100", "polaris", "[a|b]", "a=b+c:d", "ncpus"])
def test_a_constraint_must_be_what_select_takes(constraint: str) -> None:
    with pytest.raises(ConfigError, match="constraint"):
        header(constraint=constraint)


def test_pbs_has_no_qos_and_says_so() -> None:
    with pytest.raises(ConfigError, match="qos: PBS has none"):
        header(qos="debug")


@pytest.mark.parametrize("name", ["", "1abc", "-abc", "a b", "a/b", "é", "n" * 231, "a\nb"])
def test_a_name_that_some_qsub_refuses_never_gets_there(name: str) -> None:
    with pytest.raises(ConfigError, match="-N"):
        header(name=name)


def test_the_longest_name_is_taken() -> None:
    assert header(name="n" * 230)[0] == f"-N {'n' * 230}"
