"""The B0 example: its simulation in plain Python and with ACTS, and the plot of a sweep, run as a user runs them."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "b0"
RESULT_KEYS = {
    *("p_resolution", "p_resolution_err", "acceptance", "params", "seed", "events", "tracks", "engine"),
}
PNG = b"\x89PNG\r\n\x1a\n"

needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed (pip install matplotlib)"
)
needs_acts = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("acts", "uproot")),
    reason="pyacts and uproot are not installed (pip install --only-binary :all: 'pyacts>=48.1' uproot)",
)


def run(script: str, *arguments: object, folder: Path, params: object = None) -> subprocess.CompletedProcess[str]:
    """Run a script of the example in `folder`, with `params` in the file of JOB_PARAMS_FILE."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != "JOB_PARAMS_FILE"}
    if params is not None:
        file = folder / "params.json"
        file.write_text(json.dumps(params), encoding="utf-8")
        environment["JOB_PARAMS_FILE"] = str(file)
    command = [sys.executable, str(EXAMPLE / script), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


def simulate(folder: Path, params: dict[str, object], script: str = "b0_toy.py") -> dict[str, Any]:
    """Run a simulation, which must succeed, and return its result.json."""
    done = run(script, folder=folder, params=params)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return result


def write_result(folder: Path, *, dz: float, seed: int, **other: object) -> None:
    """Write an invented result.json of one job, in a folder of its own."""
    job = folder / f"dz{dz:g}-s{seed}"
    job.mkdir(parents=True)
    params = {"z1": 10.0, "dz2": dz, "dz3": dz, "dz4": dz, "momentum": 100.0}
    result: dict[str, object] = {"p_resolution": 10 / dz**2, "p_resolution_err": 0.3 / dz**2, "acceptance": 0.9}
    result |= {"params": params, "seed": seed, "events": 1000, "tracks": 900, "engine": "toy", **other}
    (job / "result.json").write_text(json.dumps(result), encoding="utf-8")


def write_sweep(folder: Path) -> None:
    """Write invented results of three spacings with two seeds each."""
    for dz in (10, 20, 40):
        for seed in (1, 2):
            write_result(folder, dz=dz, seed=seed)


def test_the_same_seed_gives_the_same_tracks_and_another_seed_gives_others(tmp_path: Path) -> None:
    first, second, other = (
        simulate(tmp_path / name, {"dz": 30, "seed": seed, "events": 200})
        for name, seed in (("first", 5), ("second", 5), ("other", 6))
    )
    assert first == second
    assert (tmp_path / "first/b0.csv").read_bytes() == (tmp_path / "second/b0.csv").read_bytes()
    assert first["p_resolution"] != other["p_resolution"]


def test_planes_30_cm_apart_measure_better_than_planes_10_cm_apart(tmp_path: Path) -> None:
    close, wide = (simulate(tmp_path / str(dz), {"dz": dz, "events": 400}) for dz in (10, 30))
    assert 0.06 < close["p_resolution"] < 0.10  # ACTS gives 0.082
    assert 0.012 < wide["p_resolution"] < 0.018  # ACTS gives 0.0148


def test_a_result_has_the_documented_keys_and_there_is_one_line_per_track(tmp_path: Path) -> None:
    result = simulate(tmp_path, {"z1": 12, "dz": 30, "dz4": 20, "momentum": 50, "seed": 3, "events": 100})
    assert result.keys() == RESULT_KEYS
    assert result["params"] == {"z1": 12.0, "dz2": 30.0, "dz3": 30.0, "dz4": 20.0, "momentum": 50.0}
    assert (result["seed"], result["events"], result["engine"]) == (3, 100, "toy")
    assert result["acceptance"] == result["tracks"] / 100
    lines = (tmp_path / "b0.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "eventNumber,p,theta,phi,chi2,nMeas"
    assert len(lines) == 1 + result["tracks"]


def test_a_flag_overrides_the_parameter_file(tmp_path: Path) -> None:
    done = run("b0_toy.py", "--seed", 9, folder=tmp_path, params={"seed": 1, "events": 20})
    assert json.loads(done.stdout)["seed"] == 9
    assert json.loads(done.stdout)["events"] == 20


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"momentun": 50}, "momentun"),
        ({"dz": 0}, "dz2 must be above zero"),
        ({"events": "many"}, "many"),
        ([10, 30], "not an object"),
    ],
)
def test_an_invalid_parameter_ends_the_job_and_is_named(tmp_path: Path, params: object, message: str) -> None:
    done = run("b0_toy.py", folder=tmp_path, params=params)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "result.json").exists()


def test_particles_that_miss_a_plane_have_no_track(tmp_path: Path) -> None:
    assert simulate(tmp_path / "far", {"dz": 330, "events": 200})["acceptance"] < 0.9
    assert run("b0_toy.py", "--dz", 900, folder=tmp_path / "gone").returncode == 1


@needs_acts
@pytest.mark.slow
def test_acts_writes_the_documented_keys_and_agrees_with_the_toy(tmp_path: Path) -> None:
    params: dict[str, object] = {"dz": 20, "events": 2000}
    acts = simulate(tmp_path / "acts", params, "b0_tracking.py")
    toy = simulate(tmp_path / "toy", params)
    assert acts.keys() == RESULT_KEYS
    assert acts["engine"] == "acts"
    assert (tmp_path / "acts/b0.edm4eic.root").read_bytes().startswith(b"root")
    assert abs(acts["p_resolution"] - toy["p_resolution"]) < 5 * acts["p_resolution_err"]


@needs_matplotlib
def test_a_complete_sweep_becomes_a_table_and_a_plot(tmp_path: Path) -> None:
    write_sweep(tmp_path / "sweep")
    done = run("picture.py", "sweep", "--output", "b0.png", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "missing" not in done.stdout.lower()
    rows = [line.split() for line in done.stdout.splitlines() if line.endswith("2/2")]
    assert rows[0] == ["10", "10.000", "0.212", "90.0", "1800", "2/2"]
    assert [row[0] for row in rows] == ["10", "20", "40"]
    assert (tmp_path / "b0.png").read_bytes().startswith(PNG)


@needs_matplotlib
def test_missing_points_are_named_and_the_plot_is_still_written(tmp_path: Path) -> None:
    write_sweep(tmp_path / "sweep")
    (tmp_path / "sweep/dz20-s2/result.json").unlink()
    (tmp_path / "sweep/dz40-s1/result.json").write_text("{", encoding="utf-8")
    done = run("picture.py", "sweep", folder=tmp_path)
    assert done.returncode == 3
    assert "MISSING: 2 of 6 points\n  spacing 20 cm, seed 2\n  spacing 40 cm, seed 1\n" in done.stdout
    assert "dz20-s2: no result.json" in done.stdout
    assert "dz40-s1: result.json is not valid" in done.stdout
    assert (tmp_path / "b0.png").read_bytes().startswith(PNG)


@needs_matplotlib
def test_a_spacing_without_any_result_is_known_from_the_job_file(tmp_path: Path) -> None:
    write_sweep(tmp_path / "sweep")
    scan = "id: 'dz{{ dz }}-s{{ seed }}'\njob: {type: script, script_path: b0_toy.py}\n"
    (tmp_path / "scan.yaml").write_text(scan + "matrix: {dz: [10, 15, 20, 40], seed: 'range(1, 3)'}\n")
    (tmp_path / "b0_toy.py").touch()
    done = run("picture.py", "sweep", "--scan", "scan.yaml", folder=tmp_path)
    assert done.returncode == 3, done.stderr
    assert "MISSING: 2 of 8 points\n  spacing 15 cm, seed 1\n  spacing 15 cm, seed 2\n" in done.stdout


def test_two_sweeps_in_one_folder_are_refused(tmp_path: Path) -> None:
    write_result(tmp_path / "sweep", dz=10, seed=1)
    write_result(tmp_path / "sweep", dz=20, seed=1, engine="acts")
    done = run("picture.py", "sweep", folder=tmp_path)
    assert done.returncode == 1
    assert "more than one sweep" in done.stderr


def test_a_folder_without_results_is_an_error_and_not_an_empty_plot(tmp_path: Path) -> None:
    (tmp_path / "sweep/dz10-s1").mkdir(parents=True)
    done = run("picture.py", "sweep", folder=tmp_path)
    assert done.returncode == 1
    assert "dz10-s1: no result.json" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "b0.png").exists()
