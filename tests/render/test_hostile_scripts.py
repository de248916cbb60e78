"""Rendered scripts run by real shells: every value arrives byte for byte, and none is executed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler import Job, JobError, JobType, Site
from scheduler.render.bundle import render
from tests.end_to_end.hostile import CANARY, JOB_IDS, VALUES
from tests.unpacked import LOCAL_SLURM, SHELLS, installed, unpack

PARAMS = {f"v{n}": value for n, value in enumerate(VALUES)}
ENVIRONMENT = {f"V{n}": value for n, value in enumerate(VALUES)}
RECORDER = """\
printf '%s\\0' "$JOB_ID" "$@" >words
printf '%s' "$PWD" >folder
cat "$JOB_PARAMS_FILE" >params
env -0 >environment
"""
CONTAINER = """#!/bin/sh
# Takes the place of apptainer: runs what comes after the image.
while [ "$1" != "$IMAGE" ]; do shift; done
shift
[ "$1" = sh ] || set -- sh "$RECORDER" "$@"
exec "$@"
"""


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    if not installed(request.param):
        pytest.skip(f"{request.param} is not installed")
    return SHELLS[request.param]


def run(job: Job, folder: Path, shell: list[str], site: Site = LOCAL_SLURM) -> Path:
    """Run the job's script to its end. Returns the folder in which it ran."""
    bundle = unpack(render([job], site), folder / "bundle")
    (folder / "recorder").write_text(RECORDER)
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin/apptainer").write_text(CONTAINER)
    (folder / "bin/apptainer").chmod(0o755)
    environment = {**os.environ, "SLURM_SUBMIT_DIR": str(bundle), "SLURM_JOB_ID": "7"}
    environment |= {"PATH": f"{folder}/bin:{os.environ['PATH']}", "IMAGE": str(job.container_image)}
    environment |= {"RECORDER": str(folder / "recorder")}
    command = [*shell, str(bundle / "0/script.sh")]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=600)
    said = (bundle / "0/stderr.0").read_text(errors="replace")
    assert (done.returncode, done.stdout, done.stderr, said) == (0, "", "", ""), done
    assert list(folder.rglob(CANARY)) == []
    return Path(job.working_dir)


def words(ran_in: Path) -> list[str]:
    return (ran_in / "words").read_bytes().decode().split("\0")[:-1]


def environment(ran_in: Path) -> dict[str, str]:
    pairs = (ran_in / "environment").read_bytes().decode().split("\0")[:-1]
    return dict(pair.partition("=")[::2] for pair in pairs)


def script(folder: Path, **more: Any) -> Job:
    (folder / "recorder.sh").write_text(RECORDER)
    return Job(
        more.pop("job_id", "b0"), JobType.SCRIPT, script_path=folder / "recorder.sh", working_dir=folder / "out", **more
    )


def test_a_scripts_values_arrive_and_none_is_executed(tmp_path: Path, shell: list[str]) -> None:
    arguments = [f"{{{{ {name} }}}}" for name in PARAMS]
    job = script(tmp_path, params=PARAMS, env_vars=ENVIRONMENT, arguments=[*arguments, "<{{ v3 }}>", "$HOME `id`"])
    ran_in = run(job, tmp_path, shell)
    assert words(ran_in) == ["b0", *VALUES, f"<{VALUES[3]}>", "$HOME `id`"]
    assert json.loads((ran_in / "params").read_text()) == PARAMS
    assert environment(ran_in).items() >= ENVIRONMENT.items()


def container(folder: Path, **more: Any) -> Job:
    image = folder / "it's an `image`.sif"
    image.touch()
    return Job("b0", JobType.CONTAINER, container_image=str(image), working_dir=folder / "out", **more)


def test_a_containers_values_arrive_in_every_kind_of_quotes(tmp_path: Path, shell: list[str]) -> None:
    places = " ".join(f"{{{{ {name} }}}} \"<{{{{ {name} }}}}>\" '<{{{{ {name} }}}}>'" for name in PARAMS)
    command = f"set -- {places}\n{RECORDER}"
    job = container(tmp_path, container_command=command, params=PARAMS, env_vars=ENVIRONMENT)
    ran_in = run(job, tmp_path, shell)
    assert words(ran_in) == ["b0", *(word for value in VALUES for word in (value, f"<{value}>", f"<{value}>"))]
    assert environment(ran_in).items() >= ENVIRONMENT.items()


def test_an_image_gets_its_arguments_unchanged(tmp_path: Path, shell: list[str]) -> None:
    arguments = [f"{{{{ {name} }}}}" for name in PARAMS]
    passable = {name: value for name, value in ENVIRONMENT.items() if "\r\n" not in value}
    ran_in = run(container(tmp_path, arguments=arguments, params=PARAMS, env_vars=passable), tmp_path, shell)
    assert words(ran_in) == ["b0", *VALUES]
    inside = environment(ran_in)
    assert {name: inside[f"APPTAINERENV_{name}"] for name in passable} == passable


def test_a_sites_values_arrive_too(tmp_path: Path, shell: list[str]) -> None:
    keys = {"transport": "local", "scheduler": "slurm", "work_dir": "/tmp", "environment": ENVIRONMENT}
    site = Site.from_mapping(keys, name="here")
    assert environment(run(script(tmp_path), tmp_path, shell, site)).items() >= ENVIRONMENT.items()


@pytest.mark.parametrize("job_id", [JOB_IDS[0], "-rf", "a\nb\n", "\\", "x" * 200], ids=range(5))
def test_any_job_id_and_folder_arrives(tmp_path: Path, job_id: str) -> None:
    (tmp_path / "recorder.sh").write_text(RECORDER)
    (tmp_path / "out" / job_id).mkdir(parents=True)  # `$HOME` in the name of a folder is refused unless it exists
    job = Job(job_id, JobType.SCRIPT, script_path=tmp_path / "recorder.sh", working_dir=tmp_path / "out" / job_id)
    ran_in = run(job, tmp_path, SHELLS["bash"])
    assert words(ran_in) == [job_id]
    assert (ran_in / "folder").read_text() == str(ran_in)
    assert environment(ran_in)["JOB_DIR"] == str(ran_in)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(values=st.lists(TEXT, min_size=10, max_size=30))
def test_any_text_arrives(tmp_path_factory: pytest.TempPathFactory, values: list[str]) -> None:
    folder, names = tmp_path_factory.mktemp("any"), [f"v{n}" for n in range(len(values))]
    variables = dict(zip(names, values, strict=True))
    job = script(folder, params=variables, arguments=[f"{{{{ {name} }}}}" for name in names], env_vars=variables)
    ran_in = run(job, folder, SHELLS["bash"])
    assert words(ran_in)[1:] == values
    assert environment(ran_in).items() >= variables.items()


@pytest.mark.parametrize(
    "more",
    [
        {"params": {"v": "a\0b"}, "arguments": ["{{ v }}"]},
        {"params": {"v": "\ud800"}, "arguments": ["{{ v }}"]},
        {"arguments": ["{{ w }}"], "params": {"v": 1}},
        {"arguments": ["{{ v"], "params": {"v": 1}},
    ],
)
def test_an_argument_that_cannot_be_passed_is_refused_by_job_and_number(tmp_path: Path, more: dict[str, Any]) -> None:
    with pytest.raises(JobError, match=r"^job 'b0': arguments\[0\]: "):
        render([script(tmp_path, **more)], LOCAL_SLURM)


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_a_value_that_no_command_can_hold_is_refused_by_job(tmp_path: Path, value: str) -> None:
    with pytest.raises(JobError, match=r"^job 'b0': container_command: "):
        render([container(tmp_path, container_command="echo {{ v }}", params={"v": value})], LOCAL_SLURM)
