"""A client is killed with SIGKILL at each step of each operation, and a later process finishes its work.

`make test` kills at every third step of submit, poll and collect, `make soak` at each.

killed_client.py defines the steps, and starts and kills the clients.
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
from tests.amount import amount
from tests.testcluster import Cluster

from .campaign import Counts, local_site
from .conftest import Check

_MOST = 400


def _killed_clients(folder: Path, site: Site, way: str, *, stride: int, starts: Sequence[int]) -> Counts:
    """Run several series of clients concurrently, each until a client survives all its operations."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.killed_client", str(folder), json.dumps(site.to_json()), way,
             str(start), str(stride), str(_MOST)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for start in starts
    ]  # fmt: skip
    total, survived = Counts(), 0
    outputs = [process.communicate() for process in processes]
    for process, (out, err) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, err
        for fields in (json.loads(line) for line in out.splitlines() if line.startswith("{")):
            step, killed = fields.pop("step"), fields.pop("killed")
            counts = Counts(**fields)
            assert counts.clean, f"killed at step {step}: {counts}\n{out}"
            total, survived = total + counts, survived + (not killed)
    assert survived == len(processes), "no client survived its operations: are there more steps?"
    return total


@pytest.mark.slow
def test_a_client_killed_at_any_step_of_submit_poll_and_collect_loses_and_repeats_nothing(
    tmp_path: Path, check_counts: Check
) -> None:
    counts = _killed_clients(
        tmp_path, local_site(tmp_path), "run", stride=amount(6, soak=2), starts=(1, amount(4, soak=2))
    )
    assert counts.faults > amount(30, soak=90)
    check_counts(counts)


def test_a_client_killed_at_any_step_of_cancel_leaves_jobs_that_can_be_cancelled_again(
    tmp_path: Path, check_counts: Check
) -> None:
    counts = _killed_clients(tmp_path, local_site(tmp_path), "cancel", stride=4, starts=(1, 2, 3, 4))
    assert counts.faults > 9
    check_counts(counts)


@pytest.mark.cluster
@pytest.mark.slow
def test_a_client_killed_over_ssh_leaves_its_jobs_on_slurm_to_a_later_one(
    cluster: Cluster, tmp_path: Path, check_counts: Check
) -> None:
    site = cluster.site("killed", limits={"poll_seconds": 0.3})
    check_counts(_killed_clients(tmp_path, site, "run", stride=amount(32, soak=16), starts=(2, 7, 11, 15)))
    check_counts(_killed_clients(tmp_path / "cancel", site, "cancel", stride=8, starts=(2, 5)))
