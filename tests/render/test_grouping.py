"""Which jobs share a node, which resources a pack requests, and which files it has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scheduler import ConfigError, Job, JobType, Resources, Retry, Runner, Site
from scheduler.ledger.ledger import Ledger
from scheduler.render.bundle import Bundle, render
from scheduler.render.grouping import Group, groups
from tests.unpacked import until

Make = Callable[..., Job]


def whole_nodes(scheduler: str = "slurm", **limits: Any) -> Site:
    keys = {"transport": "ssh", "host": "h", "scheduler": scheduler, "work_dir": "/work"}
    return Site.from_mapping({**keys, "limits": {"whole_node": True, "cores_per_node": 64, **limits}}, name="whole")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a script job that requests these resources."""
    script = tmp_path / "s.sh"
    script.write_text("true\n")

    def job(job_id: str, **resources: Any) -> Job:
        return Job(job_id, JobType.SCRIPT, script_path=script, resources=Resources(**resources))

    return job


def grouped(jobs: list[Job], site: Site) -> list[Group[Job]]:
    return list(groups([(job, site.resources_for(job.resources)) for job in jobs], site.limits, arrays=True))


def ids(group: Group[Job]) -> list[str]:
    return [job.job_id for job in group.jobs]


@pytest.mark.parametrize("scheduler", ["slurm", "pbs", "shell"])
def test_128_jobs_of_one_core_fill_two_nodes_of_64_cores(make: Make, scheduler: str) -> None:
    bundle = render([make(f"j{n}", cpus=1, walltime="1h") for n in range(128)], whole_nodes(scheduler), token="t" * 10)
    assert [(one.packed, one.first, len(one.jobs)) for one in bundle.batches] == [(True, 0, 64), (True, 64, 64)]
    assert _text(bundle, "batches/list") == "0\t1\tbatches/0/script.sh\n64\t1\tbatches/64/script.sh\n"
    assert _text(bundle, "batches/64/members").splitlines()[0] == "64\t3600\t1"


def test_on_a_site_without_whole_nodes_they_are_an_array(make: Make) -> None:
    site = whole_nodes(whole_node=False)
    (group,) = grouped([make(f"j{n}") for n in range(128)], site)
    assert not group.packed
    assert len(group.jobs) == 128


def test_different_jobs_share_a_node_and_the_longest_comes_first(make: Make) -> None:
    jobs = [make("short", cpus=32, walltime="10m"), make("long", cpus=16, walltime="2h"), make("more", cpus=17)]
    jobs += [make("mid", cpus=16, walltime="1h")]
    first, second = grouped(jobs, whole_nodes())
    assert (ids(first), [want.cpus for want in first.each]) == (["more", "long", "mid"], [17, 16, 16])
    assert (ids(second), second.packed) == (["short"], False)


def test_a_pack_requests_the_whole_node_for_the_longest_walltime(make: Make) -> None:
    jobs = [make("a", cpus=2, walltime="10m", memory="3 GB"), make("b", cpus=1, walltime="2h", memory="1 GB")]
    (group,) = grouped(jobs, whole_nodes())
    assert group.resources == Resources(cpus=64, memory="4 GB", walltime="2h")


def test_a_pack_requests_no_memory_if_one_of_its_jobs_requests_none(make: Make) -> None:
    (group,) = grouped([make("a", cpus=2, memory="3 GB"), make("b", cpus=1)], whole_nodes())
    assert group.resources == Resources(cpus=64)


def test_memory_limits_the_number_of_jobs_on_a_node(make: Make) -> None:
    found = grouped([make(f"j{n}", cpus=1, memory="100 GB") for n in range(7)], whole_nodes(memory="256 GB"))
    assert [(ids(one), one.packed) for one in found] == [
        (["j0", "j1"], True), (["j2", "j3"], True), (["j4", "j5"], True), (["j6"], False),
    ]  # fmt: skip


@pytest.mark.parametrize("alone", [{"cpus": 64}, {"nodes": 2}, {"tasks": 4}, {"gpus": 1}])
def test_a_job_that_needs_a_node_alone_gets_one(make: Make, alone: dict[str, Any]) -> None:
    one, two = grouped([make("a", **alone), make("b", **alone)], whole_nodes(array_size=1))
    assert not one.packed
    assert not two.packed


def test_jobs_of_different_queues_do_not_share_a_node(make: Make) -> None:
    found = grouped([make(f"{queue}{n}", cpus=1, queue=queue) for queue in ("x", "y") for n in range(2)], whole_nodes())
    assert [(ids(one), one.resources.queue) for one in found] == [(["x0", "x1"], "x"), (["y0", "y1"], "y")]


def test_a_site_of_whole_nodes_must_give_their_number_of_cores() -> None:
    keys = {"transport": "local", "scheduler": "shell", "work_dir": "/w", "limits": {"whole_node": True}}
    with pytest.raises(ConfigError, match="limits: cores_per_node: is missing; with whole_node"):
        Site.from_mapping(keys, name="x")


def _text(bundle: Bundle, path: str) -> str:
    content = bundle.files[path]
    assert isinstance(content, bytes)
    return content.decode()


def test_retried_jobs_share_nodes_too(tmp_path: Path) -> None:
    script = tmp_path / "s.sh"
    script.write_text("echo x >>ran; [ $(wc -l <ran) -gt 1 ] || exit 7\n")
    keys = {"transport": "local", "scheduler": "shell", "work_dir": str(tmp_path / "work")}
    limits = {"whole_node": True, "cores_per_node": 4, "poll_seconds": 0.05, "running": 4}
    jobs = [
        Job(f"j{n}", JobType.SCRIPT, script_path=script, working_dir=tmp_path / f"j{n}", resources=Resources(cpus=1),
            retry=Retry(times=1, exit_codes=[7]))
        for n in range(8)
    ]  # fmt: skip
    with Runner(Site.from_mapping({**keys, "limits": limits}, name="x"), ledger=Ledger(tmp_path / "state")) as runner:
        runner.submit(jobs)
        until(lambda: len(list((tmp_path / "work").glob("*/ends/[0-9]*"))) == 8)  # so that one poll sees all of them
        runner.wait(jobs, timeout=600)
        rows = runner.ledger.chosen()
    assert all(job.is_completed() and job.status.retries == 1 for job in jobs), [str(job.status) for job in jobs]
    assert all(row.packed for row in rows)
    assert len({row.batch_id for row in rows}) <= 4
