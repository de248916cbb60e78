"""The benchmark runs and prints what it measured. Speed itself is not tested."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.testcluster import Cluster

ROOT = Path(__file__).parents[1]


@pytest.mark.cluster
def test_the_benchmark_measures_both_sides(cluster: Cluster) -> None:
    few = ["--jobs", "2", "--file-mb", "17", "--files", "3", "--repeat", "1", "--round-trips", "20"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *few], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    for row in (
        "2 jobs: submit",
        "2 jobs: poll",
        "2 jobs: collect",
        "17 MB: upload",
        "17 MB: download",
        "10 kB: download",
    ):
        assert f"{row} |" in done.stdout
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| 20 ms")]
    commands = {row[1]: row[5] for row in rows if len(row) > 5}
    assert commands["2 jobs: submit"] == "submit"
    assert commands["2 jobs: collect"] == "manifest, fetch"
    assert commands["one file of 17 MB: upload"].startswith("upload × ")
    assert commands["one file of 17 MB, openssh: upload"].startswith("upload × ")
    assert commands["one file of 17 MB, openssh: download"] == "manifest, fetch × 2"
