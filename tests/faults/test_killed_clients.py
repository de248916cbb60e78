"""A client is killed with SIGKILL at each step of each verb, and a later process finishes what it began.

What a step is, and how the processes are made and ended: victim.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from scheduler import Site
from tests import ROOT
from tests.testcluster import Cluster

from .campaign import Counts, site_here
from .conftest import Judge

_MOST = 400


def _victims(folder: Path, site: Site, way: str, *, stride: int, starts: Sequence[int]) -> Counts:
    """Several lines of victims at once; each goes on until one outlives its verbs."""
    lines = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.victim", str(folder), json.dumps(site.to_json()), way,
             str(start), str(stride), str(_MOST)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for start in starts
    ]  # fmt: skip
    total, outlived = Counts(), 0
    said = [line.communicate() for line in lines]
    for line, (out, err) in zip(lines, said, strict=True):
        assert line.returncode == 0, err
        for told in map(json.loads, out.splitlines()):
            step, killed = told.pop("step"), told.pop("killed")
            counts = Counts(**told)
            assert counts.clean, f"killed at step {step}: {counts}"
            total, outlived = total + counts, outlived + (not killed)
    assert outlived == len(lines), "no client outlived its verbs: are there more steps?"
    return total


@pytest.mark.slow
def test_a_client_killed_at_any_step_of_submit_poll_and_collect_loses_and_repeats_nothing(
    tmp_path: Path, judge: Judge
) -> None:
    counts = _victims(tmp_path, site_here(tmp_path), "run", stride=2, starts=(1, 2))
    assert counts.faults > 90
    judge(counts)


def test_a_client_killed_at_any_step_of_cancel_leaves_jobs_that_can_be_cancelled_again(
    tmp_path: Path, judge: Judge
) -> None:
    counts = _victims(tmp_path, site_here(tmp_path), "cancel", stride=2, starts=(1, 2))
    assert counts.faults > 9
    judge(counts)


@pytest.mark.cluster
@pytest.mark.slow
def test_a_client_killed_over_ssh_leaves_its_jobs_on_slurm_to_a_later_one(
    cluster: Cluster, tmp_path: Path, judge: Judge
) -> None:
    site = cluster.site("killed", limits={"poll_seconds": 0.3})
    judge(_victims(tmp_path, site, "run", stride=16, starts=(2, 7, 11, 15)))
    judge(_victims(tmp_path / "cancel", site, "cancel", stride=8, starts=(2, 5)))
