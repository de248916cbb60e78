"""Hostile values in every field of a job: refused with a message, or passed unchanged through real shells."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler import Job, JobType, Resources, SchedulerError, Site
from scheduler.batch.base import find
from scheduler.batch.request import BatchRequest
from scheduler.render.bundle import Bundle, render
from tests.end_to_end.hostile import CANARY, VALUES
from tests.unpacked import LOCAL_SLURM, SHELLS, installed, unpack

from .values import LARGE, carried, hostile

Tried = Callable[[int], None]
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
FEW = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
SH = [shell for shell in ("dash", "bash", "busybox") if installed(shell)]
RECORD = """\
printf '%s\\0' "$@" >words
env -0 >environment
"""
RUNTIME = """#!/bin/sh
while [ "$1" != "$IMAGE" ]; do shift; done
shift
exec "$@"
"""
"""Replaces apptainer: runs the arguments after the image."""


class Room:
    """A folder with everything that a job's script needs: any other file in it was made by an injected command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cwd = folder / "home"
        (folder / "bin").mkdir()
        self.cwd.mkdir()
        (folder / "record.sh").write_text(RECORD)
        (folder / "bin/apptainer").write_text(RUNTIME)
        (folder / "bin/apptainer").chmod(0o755)
        self.number = 0

    def job(self, **fields: Any) -> Job:
        """A job with these fields, in a new folder."""
        self.number += 1
        kind = JobType.CONTAINER if "container_image" in fields else JobType.SCRIPT
        script = {} if kind is JobType.CONTAINER else {"script_path": self.folder / "record.sh"}
        values: dict[str, Any] = {"working_dir": self.folder / f"out/{self.number}", **script, **fields}
        return Job(values.pop("job_id", "b0"), kind, **values)

    def run(self, job: Job, shell: str, site: Site = LOCAL_SLURM) -> Path:
        """Run a job's script to its end, and check that no value was executed and no file is in a wrong place."""
        bundle = unpack(render([job], site), self.folder / f"bundle/{self.number}")
        check_script(bundle / "0/script.sh")
        environment = {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "HOME": str(self.cwd), "SLURM_JOB_ID": "7"}
        environment |= {"SLURM_SUBMIT_DIR": str(bundle), "IMAGE": job.container_image or ""}
        command = [*SHELLS[shell], str(bundle / "0/script.sh")]
        subprocess.run(command, env=environment, cwd=self.cwd, capture_output=True, timeout=600, check=False)
        self.look()
        return Path(job.working_dir)

    def look(self) -> None:
        """Check that no injected command has run."""
        assert list(self.folder.rglob(CANARY)) == []
        assert list(self.cwd.iterdir()) == []
        assert {path.name for path in self.folder.iterdir()} <= {"bin", "home", "record.sh", "bundle", "out", "inputs"}


def check_script(path: Path) -> None:
    """Check that bash can parse it, and that its directives are the expected lines."""
    subprocess.run(["bash", "-n", str(path)], check=True, capture_output=True)
    check_directives(path.read_text().splitlines()[1:])


def check_directives(lines: list[str]) -> None:
    header = list(takewhile_directives(lines))
    assert all(line.split()[0] == "#SBATCH" and line.split()[1].startswith("--") for line in header if line)


def takewhile_directives(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if line and not line.startswith("#SBATCH"):
            return
        yield line


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    return Room(tmp_path_factory.mktemp("room"))


def inputs(room: Room, text: str) -> dict[str, Any]:
    return {"input_files": {text: room.folder / "record.sh"}}


FIELDS: dict[str, Callable[[Room, str], dict[str, Any]]] = {
    "job_id": lambda room, text: {"job_id": text},
    "a param": lambda room, text: {"params": {"v": text}, "arguments": ["{{ v }}"]},
    "a param's name": lambda room, text: {"params": {text: 1}},
    "a param in a list": lambda room, text: {"params": {"v": [text, {"k": text}]}},
    "an argument": lambda room, text: {"arguments": [text]},
    "a variable": lambda room, text: {"env_vars": {"V": text}},
    "a variable's name": lambda room, text: {"env_vars": {text: "1"}},
    "output_files": lambda room, text: {"output_files": [text]},
    "input_files": inputs,
    "working_dir": lambda room, text: {"working_dir": f"{room.folder}/out/{text.replace('..', '')}"},
    "container_image": lambda room, text: {"container_image": text, "container_command": "true"},
    "a run script": lambda room, text: {"container_image": "a.sif", "arguments": [text], "env_vars": {"V": text}},
    "a command's param": lambda room, text: {
        "container_image": "a.sif", "params": {"v": text}, "container_command": "set -- {{ v }} \"{{ v }}\" '{{ v }}'",
    },
    "a command": lambda room, text: {
        "container_image": "a.sif", "container_command": f"true {{{{ v }}}} # {text}", "params": {"v": 1},
    },
    "queue": lambda room, text: {"resources": Resources(queue=text)},
    "account": lambda room, text: {"resources": Resources(account=text)},
    "qos": lambda room, text: {"resources": Resources(qos=text)},
    "constraint": lambda room, text: {"resources": Resources(constraint=text)},
    "native": lambda room, text: {"resources": Resources(native=[text])},
    "memory": lambda room, text: {"resources": Resources(memory=text)},
    "walltime": lambda room, text: {"resources": Resources(walltime=text)},
    "script_path": lambda room, text: {"script_path": room.folder / "inputs" / text.replace("/", "_")},
    "template": lambda room, text: {"template": room.folder / "inputs" / text.replace("/", "_")},
}  # fmt: skip
PROGRAMS = ("a command",)
"""Fields that are programs of the user: the test checks their scripts and does not run them."""


@pytest.mark.parametrize("field", FIELDS)
def test_any_value_in_any_field_is_refused_with_a_message_or_stays_data(field: str, room: Room, tried: Tried) -> None:
    runs = 0

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(text=hostile, shell=st.sampled_from(SH))
    def attack(text: str, shell: str) -> None:
        nonlocal runs
        tried(1)
        try:
            job = room.job(**FIELDS[field](room, text))
            bundle = render([job], LOCAL_SLURM)
        except SchedulerError as refused:
            assert str(refused).strip()
            room.look()
            return
        except (ValueError, OSError) as refused:  # pathlib's own words for a NUL
            assert field in ("script_path", "template", "working_dir", "input_files"), refused
            return
        check_directives(script_of(bundle).splitlines()[1:])
        if field not in PROGRAMS and runs < 10:
            runs += 1
            room.run(job, shell)

    attack()


def script_of(bundle: Bundle) -> str:
    content = bundle.files["0/script.sh"]
    assert isinstance(content, bytes)
    return content.decode()


@pytest.mark.parametrize("shell", SH)
def test_literal_arguments_arrive_byte_for_byte(shell: str, room: Room, tried: Tried) -> None:
    literals = ["a\rb", "\r", "\r\n", "\n\r", "a\r\r\nb\r", "'\r\n'", "\r{}", *(v for v in VALUES if "{" not in v)]
    tried(len(literals))
    ran_in = room.run(room.job(arguments=literals), shell)
    assert (ran_in / "words").read_bytes().decode().split("\0")[:-1] == literals


@FEW
@given(values=st.lists(carried, min_size=20, max_size=40), shell=st.sampled_from(SH))
def test_many_values_at_once_arrive_byte_for_byte(values: list[str], shell: str, room: Room, tried: Tried) -> None:
    tried(2 * len(values))
    names = [f"v{number}" for number in range(len(values))]
    variables = dict(zip(names, values, strict=True))
    job = room.job(params=variables, env_vars=variables, arguments=[f"{{{{ {name} }}}}" for name in names])
    ran_in = room.run(job, shell)
    assert (ran_in / "words").read_bytes().decode().split("\0")[:-1] == values
    pairs = (ran_in / "environment").read_bytes().decode().split("\0")[:-1]
    assert dict(pair.partition("=")[::2] for pair in pairs).items() >= variables.items()


@pytest.mark.parametrize("text", LARGE, ids=["letters", "commands", "quotes"])
def test_a_megabyte_is_refused_or_arrives_as_a_param(text: str, room: Room, tried: Tried) -> None:
    tried(1)
    job = room.job(params={"v": text})
    ran_in = room.run(job, "bash")
    assert (ran_in / "words").read_bytes() == b"\0"
    for field in ("job_id", "output_files", "queue", "native", "memory"):
        tried(1)
        try:
            render([room.job(**FIELDS[field](room, text))], LOCAL_SLURM)
        except SchedulerError as refused:
            assert len(str(refused)) < 2000, "a message does not repeat a megabyte"
            continue
        assert field == "output_files"


@pytest.mark.parametrize("system", ["slurm", "pbs"])
def test_no_resource_makes_a_directive_of_its_own(system: str, tried: Tried) -> None:
    prefix = {"slurm": "#SBATCH", "pbs": "#PBS"}[system]

    @QUICK
    @given(
        name=st.sampled_from(["queue", "account", "qos", "constraint", "native", "memory", "walltime"]), text=hostile
    )
    def attack(name: str, text: str) -> None:
        tried(1)
        try:
            resources = Resources.from_json({name: [text] if name == "native" else text})
            header = find(system).directives(BatchRequest("b0.aaaaaaaaaa-0", 1, 0, resources))
        except SchedulerError as refused:
            assert str(refused).strip()
            return
        lines = header.splitlines()
        assert all(line.startswith(prefix) and line.isprintable() for line in lines if line)

    attack()
