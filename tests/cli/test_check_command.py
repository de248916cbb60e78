"""``scheduler check`` as a process: what it prints, and how it ends."""

from __future__ import annotations

import json

import pytest

from tests.testcluster import Cluster

from .desk import Desk


def test_this_machine_is_checked_with_its_jobs_and_they_are_in_no_list(desk: Desk) -> None:
    done = desk.scheduler("check", "local", "--job")
    assert [line.split()[0] for line in done.lines if not line.startswith(" ")].count("failed") == 0
    assert "ok      job: script: submitted, completed and collected" in done.out
    assert "local: all checks passed" in done.err
    assert desk.scheduler("status", "--json").json == []
    assert sorted(path.name for path in desk.folder.iterdir()) == ["site_configs"]


def test_a_site_that_cannot_be_reached_ends_with_1_and_with_what_to_do(desk: Desk) -> None:
    keys = {"transport": "ssh", "host": "127.0.0.1", "ssh": {"port": 1}, "scheduler": "slurm", "work_dir": "/w"}
    desk.write("site_configs/far.yaml", json.dumps(keys))
    done = desk.scheduler("check", "far", "--job", code=1)
    assert done.lines[0].startswith("failed  connection: ") and "connection refused" in done.lines[0]
    assert "→ " in done.lines[1]
    assert "far: 1 check failed" in done.err and "trial jobs" not in done.err
    assert "did you mean 'perlmutter'?" in desk.scheduler("check", "perlmuter", code=1).err


@pytest.mark.cluster
def test_a_real_cluster_is_checked_with_a_job_of_each_type(desk: Desk, cluster: Cluster) -> None:
    desk.write("site_configs/far.yaml", json.dumps(cluster.site("far").to_json()["settings"]))
    done = desk.scheduler("check", "far", "--job", "--image", "/opt/images/small.sif", "--json")
    found = {one["name"]: one["state"] for one in done.json["findings"]}
    assert done.json["ok"] and {found[f"job: {kind}"] for kind in ("script", "function", "container")} == {"ok"}
