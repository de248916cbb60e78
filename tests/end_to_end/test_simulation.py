"""The real simulation of the example, in a container image, on real Slurm, over SSH."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scheduler import Job, JobType, Resources, Runner
from tests.testcluster import Cluster

_SIMULATION = Path(__file__).parents[2] / "examples" / "b0" / "b0_tracking.py"


@pytest.mark.cluster
@pytest.mark.slow
def test_the_simulation_runs_in_an_image_and_its_files_are_downloaded(
    cluster: Cluster, b0_image: str, folder: Path
) -> None:
    job = Job(
        "b0",
        JobType.CONTAINER,
        container_image=b0_image,
        container_command="python3 b0_tracking.py",
        params={"dz": 30.0, "seed": 1, "events": 500},
        input_files=[_SIMULATION],
        output_files=["*.root"],
        resources=Resources(memory="2 GB", walltime="5m"),
    )
    with Runner(cluster.site("alice")) as runner:
        runner.submit([job])
        runner.wait([job], timeout=600)
    results = job.get_results()
    assert job.is_completed(), results
    assert results["engine"] == "acts"
    assert 0.01 < results["p_resolution"] < 0.02
    assert json.loads((folder / "b0" / "result.json").read_text())["events"] == 500
    assert (folder / "b0" / "b0.edm4eic.root").read_bytes()[:4] == b"root"
