"""``scheduler check`` as a process: its output and exit code."""

from __future__ import annotations

import json

import pytest

from tests.testcluster import Cluster

from .workspace import Workspace


def test_check_of_this_machine_runs_trial_jobs_that_are_not_in_the_ledger(workspace: Workspace) -> None:
    done = workspace.scheduler("check", "local", "--job")
    assert [line.split()[0] for line in done.lines if not line.startswith(" ")].count("failed") == 0
    assert "ok      job: script: submitted, completed and collected" in done.out
    assert "local: all checks passed" in done.err
    assert workspace.scheduler("status", "--json").json == []
    assert sorted(path.name for path in workspace.folder.iterdir()) == ["site_configs"]


def test_check_of_an_unreachable_site_exits_with_1_and_prints_what_to_do(workspace: Workspace) -> None:
    keys = {"transport": "ssh", "host": "127.0.0.1", "ssh": {"port": 1}, "scheduler": "slurm", "work_dir": "/w"}
    workspace.write("site_configs/far.yaml", json.dumps(keys))
    done = workspace.scheduler("check", "far", "--job", code=1)
    assert done.lines[0].startswith("failed  connection: ") and "connection refused" in done.lines[0]
    assert "→ " in done.lines[1]
    assert "far: 1 check failed" in done.err and "trial jobs" not in done.err
    assert "did you mean 'perlmutter'?" in workspace.scheduler("check", "perlmuter", code=1).err


@pytest.mark.cluster
def test_check_of_a_real_cluster_runs_a_job_of_each_type(workspace: Workspace, cluster: Cluster) -> None:
    workspace.write("site_configs/far.yaml", json.dumps(cluster.site("far").to_json()["settings"]))
    done = workspace.scheduler("check", "far", "--job", "--image", "/opt/images/small.sif", "--json")
    found = {one["name"]: one["state"] for one in done.json["findings"]}
    assert done.json["ok"] and {found[f"job: {kind}"] for kind in ("script", "function", "container")} == {"ok"}
