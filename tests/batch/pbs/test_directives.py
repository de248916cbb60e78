"""The ``#PBS`` directives: every resource as an option of qsub, and what is refused."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from scheduler import ConfigError, Resources
from scheduler.batch.pbs.directives import walltime
from scheduler.batch.pbs.system import SYSTEM
from scheduler.batch.request import BatchRequest
from scheduler.site.catalog import find_site
from scheduler.site.packaged import packaged_folder


def header(*, count: int = 1, memory_style: str = "per_node", name: str = "b0.token-0", **resources: Any) -> list[str]:
    """The directives without ``#PBS``."""
    text = SYSTEM.directives(BatchRequest(name, count, 7, Resources(**resources), memory_style))
    assert all(line.startswith("#PBS -") for line in text.split("\n"))
    return [line[5:] for line in text.split("\n")]


def test_a_job_that_requests_nothing_gets_the_defaults_of_the_site() -> None:
    assert header() == ["-N b0.token-0", "-j oe", "-o batches/7/log.0", "-r n", "-l select=1"]


def test_every_resource_becomes_a_directive() -> None:
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
def test_a_job_of_a_packaged_site_has_the_directives_that_its_users_write(name: str) -> None:
    site = find_site(name, folders=[packaged_folder("site_configs")])
    want = site.resources_for(Resources(account="EIC"))
    request = BatchRequest("b0.token-0", 20, 0, want, site.memory_style)
    lines = SYSTEM.directives(request).replace("#PBS ", "").split("\n")
    assert lines[3:5] == ["-J 0-19", "-r y"]
    assert sorted(lines[5:]) == sorted([*SITES[name], "-A EIC"])
    assert site.limits.whole_node and site.limits.cores_per_node


def test_an_array_is_rerunable_and_each_task_has_its_own_log() -> None:
    lines = header(count=40, cpus=1)
    assert "-o batches/7/log.^array_index^" in lines
    assert lines[3:5] == ["-J 0-39", "-r y"]


def test_a_single_job_is_not_an_array_because_qsub_refuses_that() -> None:
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
def test_requested_resources_become_chunks(resources: dict[str, Any], chunks: str) -> None:
    assert f"-l select={chunks}" in header(**resources)


def test_memory_is_not_requested_if_the_site_omits_it() -> None:
    assert "-l select=1:ncpus=1" in header(cpus=1, memory="3 GB", memory_style="omit")
    assert "-l select=1:ncpus=1:mem=3072mb" in header(cpus=1, memory="3 GB", memory_style="per_cpu")


def test_a_native_place_directive_replaces_the_default_one() -> None:
    lines = header(nodes=2, native=["-l place=pack:excl"])
    assert [line for line in lines if "place" in line] == ["-l place=pack:excl"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(1, "00:00:01"), (59, "00:00:59"), (3600, "01:00:00"), (864001, "240:00:01")]
)
def test_a_walltime_is_written_in_hours_minutes_and_seconds_without_days(seconds: int, text: str) -> None:
    assert walltime(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    "native",
    [
        "-l filesystems=home:eagle", "-l place=scatter", "-l cput=01:00:00,pvmem=2gb", "-m abe", "-M me@example.org",
        "-p 10", "-P project", "-W depend=afterok:12.host", "-W group_list=eic", "-h", "-a 203001010000", "-c n",
        "-lsoftware=x",
    ],
)  # fmt: skip
def test_native_directives_are_passed_on_to_qsub(native: str) -> None:
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
def test_a_native_directive_cannot_set_what_we_set(native: str) -> None:
    with pytest.raises(ConfigError, match="native"):
        header(native=[native])


@pytest.mark.parametrize(
    "native",
    ["--gres=disk:4G", "-l", "-l filesystems", "-y", "-u bob", "-m $(id)", "-M a b", "-l a='b'", "-P `id`", "-p 1;id"],
)
def test_a_message_names_the_native_directive_that_qsub_does_not_have(native: str) -> None:
    if native in ("-l filesystems",):
        assert header(native=[native])[-1] == native  # a resource without a value: qsub decides
        return
    with pytest.raises(ConfigError, match=re.escape(native)):
        header(native=[native])


@pytest.mark.parametrize("constraint", ["gpu&a100", "polaris", "[a|b]", "a=b+c:d", "ncpus"])
def test_a_constraint_must_have_the_form_of_select(constraint: str) -> None:
    with pytest.raises(ConfigError, match="constraint"):
        header(constraint=constraint)


def test_a_qos_is_refused_because_pbs_has_none() -> None:
    with pytest.raises(ConfigError, match="qos: PBS has none"):
        header(qos="debug")


@pytest.mark.parametrize("name", ["", "1abc", "-abc", "a b", "a/b", "é", "n" * 231, "a\nb"])
def test_a_name_that_some_qsub_refuses_is_refused_here(name: str) -> None:
    with pytest.raises(ConfigError, match="-N"):
        header(name=name)


def test_the_longest_name_is_accepted() -> None:
    assert header(name="n" * 230)[0] == f"-N {'n' * 230}"
