"""Jobs and a site become scripts: the golden scripts in full, and which jobs form a batch.

After an intended change, ``SCHEDULER_WRITE_GOLDEN=1 pytest tests/render/test_bundle.py`` rewrites the golden files.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scheduler import ConfigError, Job, JobError, JobType, Resources, Site
from scheduler.batch.base import text_of
from scheduler.engine import programs
from scheduler.render.bundle import Bundle, render
from scheduler.render.frame import new_token
from scheduler.render.runtime.files import text
from small_functions import half

GOLDEN = Path(__file__).parent / "golden"
WRITE = bool(os.environ.get("SCHEDULER_WRITE_GOLDEN"))
TOKEN = "abcdefghjk"
SITES: dict[str, dict[str, Any]] = {
    "slurm": {
        "transport": "ssh", "host": "ifarm", "scheduler": "slurm", "work_dir": "/volatile/$USER/scheduler",
        "account": "eic", "queue": "production", "defaults": {"cpus": 1, "memory": "3 GB", "walltime": "4:00:00"},
        "modules": ["gcc/12.2"], "python": "$HOME/my python/bin/python3", "environment": {"SITE_VALUE": "it's $HOME"},
        "container": {"modules": ["apptainer"], "binds": ["/cvmfs", "$SCRATCH:/scratch"], "options": ["--cleanenv"]},
        "prologue": "ulimit -c 0\nexport MORE=1\n", "native": ["--gres=disk:4G"],
    },
    "pbs": {
        "transport": "ssh", "host": "polaris", "scheduler": "pbs", "work_dir": "/eagle/EIC/$USER/scheduler",
        "account": "EIC", "queue": "preemptable", "constraint": "system=polaris", "memory_style": "omit",
        "defaults": {"cpus": 32, "memory": "3 GB", "walltime": "1:00:00"}, "native": ["-l filesystems=home:eagle"],
        "modules": ["spack-pe-base"], "container": {"modules": ["apptainer"]},
    },
    "shell": {"transport": "local", "scheduler": "shell", "work_dir": "/tmp/work", "python": "python3"},
}  # fmt: skip
# shellcheck does not follow sourced files (SC1090, SC1091). They set variables that a script uses (SC2154), use
# variables that it sets (SC2034), and call functions that it defines (SC2317, SC2329). Nothing is meant to expand in
# single quotes (SC2016); `ls` lists files whose names are ours (SC2012); a quoted value may be between quoted words
# (SC2140).
EXCLUDED = "SC1090,SC1091,SC2154,SC2034,SC2317,SC2329,SC2016,SC2012,SC2140"


def site(name: str, **more: Any) -> Site:
    return Site.from_mapping({**SITES[name], **more}, name=name)


def script_job(folder: Path, job_id: str = "b0-1", **more: Any) -> Job:
    (folder / "sim it.sh").write_text("echo\n")
    (folder / "field.map").write_text("")
    values: dict[str, Any] = {
        "params": {"z1": 10, "what": "it's"}, "arguments": ["--z1", "{{ z1 }}", "<{{ what }}>"],
        "env_vars": {"DETECTOR": "epic $x"},
        "output_files": ["*.root", "hists/**/*.json", "it[']s [a-c].txt", "deep/**"],
        "input_files": {"maps/field.map": folder / "field.map"}, "working_dir": f"/home/me/out/{job_id}",
    }  # fmt: skip
    return Job(job_id, JobType.SCRIPT, script_path=folder / "sim it.sh", **{**values, **more})


def python_job(folder: Path) -> Job:
    (folder / "sim.py").write_text("print()\n")
    return Job("b0-2", JobType.SCRIPT, script_path=folder / "sim.py", working_dir="/home/me/b0-2")


def container_job(_: Path) -> Job:
    command = "npsim --compactFile {{ geometry }} -N {{ events }} --outputFile \"{{ name }}.root\" $(nproc) 'a b'"
    params = {"geometry": "epic craterlake.xml", "events": 500, "name": "it's $x"}
    return Job(
        "b0-3", JobType.CONTAINER, container_image="/cvmfs/eic/eic_xl:26.05", container_command=command, params=params,
        env_vars={"DETECTOR": "it's"}, working_dir="/home/me/b0-3", resources=Resources(cpus=4, gpus=1),
    )  # fmt: skip


def image_job(_: Path) -> Job:
    return Job(
        "b0-4", JobType.CONTAINER, container_image="docker://eicweb/eic_xl", arguments=["{{ n }} events"],
        params={"n": 3}, env_vars={"DETECTOR": "it's"}, working_dir="/home/me/b0-4",
    )  # fmt: skip


def function_job(_: Path) -> Job:
    return Job("b0-5", function=half, params={"z1": 1.5}, working_dir="/home/me/b0-5")


def function_in_image(_: Path) -> Job:
    return Job("b0-6", function=half, params={"z1": 1.5}, container_image="/images/b0.sif", working_dir="/home/me/b0-6")


def pack(folder: Path) -> list[Job]:
    walltimes = {"b0-0": "10m", "b0-1": "2h"}
    return [script_job(folder, name, resources=Resources(walltime=time)) for name, time in walltimes.items()]


def array(folder: Path) -> list[Job]:
    return [script_job(folder, f"b0-{n}", params={"z1": n, "what": ""}) for n in range(3)]


Maker = Callable[[Path], Job | list[Job]]
MAKERS: dict[str, Maker] = {
    "script": script_job, "python-script": python_job, "container": container_job, "container-run": image_job,
    "function": function_job, "function-in-container": function_in_image, "array": array,
    "pack": pack,
}  # fmt: skip
CASES = [(system, kind) for system in SITES for kind in MAKERS]


def bundle_of(system: str, kind: str, folder: Path) -> Bundle:
    made = MAKERS[kind](folder)
    limits = {"whole_node": kind == "pack", "cores_per_node": 64}
    return render(made if isinstance(made, list) else [made], site(system, limits=limits), token=TOKEN)


def scripts_of(bundle: Bundle) -> dict[str, str]:
    """Every sh file that is made for the jobs of a bundle."""
    made = {path: content for path, content in bundle.files.items() if path.endswith(".sh") and path[0] != "h"}
    return {path: content.decode() for path, content in made.items() if isinstance(content, bytes) and "/" in path}


def as_text(scripts: dict[str, str]) -> str:
    return "".join(f"##### {path}\n{content}" for path, content in sorted(scripts.items()))


@pytest.mark.parametrize(("system", "kind"), CASES)
def test_scripts_are_the_golden_ones(system: str, kind: str, tmp_path: Path) -> None:
    text, golden = as_text(scripts_of(bundle_of(system, kind, tmp_path))), GOLDEN / f"{system}-{kind}.sh"
    if WRITE:
        golden.write_text(text)
    assert golden.read_text() == text


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {f"{system}-{kind}" for system, kind in CASES}


@pytest.mark.parametrize(("system", "kind"), CASES)
def test_every_script_has_valid_syntax_for_bash_and_sh(system: str, kind: str, tmp_path: Path) -> None:
    for path, script in scripts_of(bundle_of(system, kind, tmp_path)).items():
        for shell in ("bash", "sh"):
            done = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, ""), path


@pytest.mark.parametrize(("system", "kind"), CASES)
def test_shellcheck_finds_nothing_in_a_script(system: str, kind: str, tmp_path: Path) -> None:
    for path, script in scripts_of(bundle_of(system, kind, tmp_path)).items():
        shellcheck(script, "bash" if script.startswith("#!") else "sh", path)


PROGRAMS: list[tuple[str, str | None]] = [
    (name, batch) for batch in ("slurm", "shell", "pbs") for name in ("submit", "poll", "cancel")
]
PROGRAMS += [("manifest", None), ("fetch", None), ("upload", None), ("tail", None)]


@pytest.mark.parametrize(("name", "batch"), PROGRAMS)
def test_shellcheck_finds_nothing_in_a_program(name: str, batch: str | None) -> None:
    shellcheck(programs.program(name, batch).text, "sh", name)


@pytest.mark.parametrize("name", ["options.sh", "family.sh", "glob.sh", "harness.sh", "pack.sh"])
def test_shellcheck_finds_nothing_in_what_runs_inside_the_job(name: str) -> None:
    shellcheck(text(name), "sh", name)


def test_shellcheck_finds_nothing_in_the_worker() -> None:
    shellcheck(text_of("shell", "worker.sh"), "sh", "worker.sh")


def shellcheck(text: str, shell: str, what: str) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    command = ["shellcheck", "-s", shell, "-S", "style", "-e", EXCLUDED, "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    assert done.returncode == 0, f"{what}:\n{done.stdout}{done.stderr}"


# Bundles


def test_equal_jobs_are_arrays_no_longer_than_the_site_allows(tmp_path: Path) -> None:
    jobs = [script_job(tmp_path, f"j{n}") for n in range(5)]
    jobs.insert(2, script_job(tmp_path, "big", resources=Resources(memory="8 GB")))
    bundle = render(jobs, site("slurm", limits={"array_size": 2}), token=TOKEN)
    assert [[job.job_id for job in one.jobs] for one in bundle.batches] == [["j0", "j1"], ["j2", "j3"], ["j4"], ["big"]]
    assert [one.first for one in bundle.batches] == [0, 2, 4, 5]
    assert [one.script for one in bundle.batches] == [
        "batches/0/script.sh", "batches/2/script.sh", "4/script.sh", "5/script.sh",
    ]  # fmt: skip
    assert len({one.name for one in bundle.batches}) == 4
    assert [number for number, _ in bundle.jobs] == list(range(6))


@pytest.mark.parametrize("job_id", ["b0", "it's $(id)\n", "-rf", "é", "9", "%A_%a", "a" * 200])
def test_a_batch_name_is_harmless_and_contains_the_token(job_id: str, tmp_path: Path) -> None:
    (one,) = render([script_job(tmp_path, job_id)], site("slurm"), token=TOKEN).batches
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_.+-]*", one.name)
    assert f".{TOKEN}-0" in one.name


def test_tokens_differ_and_are_plain() -> None:
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(re.fullmatch(r"[a-z0-9]{10}", token) for token in tokens)


def test_a_file_that_many_jobs_share_is_sent_once(tmp_path: Path) -> None:
    bundle = render([script_job(tmp_path, f"j{n}") for n in range(40)], site("slurm"))
    assert sorted(path for path in bundle.files if path.startswith("shared/")) == ["shared/0", "shared/1"]


def test_a_walltime_above_the_sites_limit_is_refused_and_the_message_names_the_job(tmp_path: Path) -> None:
    job = script_job(tmp_path, resources=Resources(walltime="100h"))
    with pytest.raises(JobError, match=r"job 'b0-1': resources: walltime"):
        render([job], site("slurm", limits={"walltime": "72:00:00"}))


def test_a_wrong_native_directive_names_job_and_site(tmp_path: Path) -> None:
    job = script_job(tmp_path, resources=Resources(native=["--partiton=x"]))
    with pytest.raises(ConfigError, match=r"job 'b0-1' on site 'slurm': native: .* did you mean 'partition'"):
        render([job], site("slurm"))


def test_a_machine_without_a_batch_system_has_no_directives(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no directives"):
        render([script_job(tmp_path, resources=Resources(native=["--x=1"]))], site("shell"))


def test_a_script_from_windows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sim it.sh").write_text("")
    job = script_job(tmp_path)
    (tmp_path / "sim it.sh").write_bytes(b"#!/bin/sh\r\necho\r\n")
    with pytest.raises(JobError, match="Windows"):
        render([job], site("slurm"))
