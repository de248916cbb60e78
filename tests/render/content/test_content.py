"""The content of a job: what counts, what does not, and how a difference is reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scheduler.errors import JobError
from scheduler.job.job import Job, JobType
from scheduler.job.resources import Resources
from scheduler.render.content.content import CANNOT_TELL, Content, Contents, differences
from scheduler.render.content.file_digests import FileDigests

from ..function.conftest import make  # noqa: F401  (a fixture)

GOLDEN = "be63b5da9ed5bd6fd054ee21eaf66d8f75a31f66ba258dc15078ee6b0301022e"


def content(job: Job) -> Content:
    return Contents(FileDigests({})).of(job)


def compared(one: Job, other: Job) -> list[str]:
    """What differs between two jobs, the second one as a ledger has it."""
    return list(differences(content(one), json.loads(content(other).text)))


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "run.sh"
    path.write_text("echo 1\n")
    return path


@pytest.fixture
def job(script: Path) -> Callable[..., Job]:
    def made(**changes: Any) -> Job:
        given: dict[str, Any] = {"script_path": script, "params": {"x": 2, "name": "b0"}, "env_vars": {"SEED": "1"}}
        given |= {"arguments": ["{{ x }}"], "output_files": ["*.root"], "input_files": {"in.txt": script}}
        return Job("j", JobType.SCRIPT, **{**given, **changes})

    return made


def test_the_same_job_has_the_same_digest_in_every_process_and_version(job: Callable[..., Job]) -> None:
    assert content(job()).digest == GOLDEN


def test_site_resources_folder_and_id_are_not_content(job: Callable[..., Job], tmp_path: Path) -> None:
    elsewhere = job(working_dir=tmp_path / "else", resources=Resources(cpus=4, memory="2 GB"))
    elsewhere.job_id = "other"
    assert content(elsewhere).digest == content(job()).digest


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"params": {"x": 3, "name": "b0"}}, "params: x 3 here, 2 in the record"),
        ({"params": {"x": 2.0, "name": "b0"}}, "params: x 2.0 here, 2 in the record"),
        ({"params": {"x": 2}}, "params: name is only in the record"),
        ({"params": {"x": 2, "name": "b0", "y": 1}}, "params: y is only here"),
        ({"params": {"x": 2, "name": "b" * 100}}, "params: name differs"),
        ({"params": {"x": True, "name": "b0"}}, "params: x true here, 2 in the record"),
        ({"env_vars": {"SEED": "2"}}, "variables: SEED differs"),
        ({"arguments": ["{{ x }}", "-v"]}, "arguments differs"),
        ({"output_files": ["*.txt"]}, 'outputs ["*.txt"] here, ["*.root"] in the record'),
        ({"input_files": {}}, "inputs: in.txt is only in the record"),
    ],
)
def test_each_part_counts_and_is_named(job: Callable[..., Job], changes: dict[str, Any], shown: str) -> None:
    assert compared(job(**changes), job()) == [shown]
    assert content(job(**changes)).digest != content(job()).digest


def test_text_that_may_be_secret_is_not_in_the_record(job: Callable[..., Job]) -> None:
    secret = job(env_vars={"PASSWORD": "hunter2"}, params={"x": ["hunter2"], "y": "hunter2"}, arguments=["hunter2"])
    assert "hunter2" not in content(secret).text


def test_scripts_templates_and_inputs_count_by_their_bytes(job: Callable[..., Job], tmp_path: Path) -> None:
    other, folder = tmp_path / "other.sh", tmp_path / "folder"
    folder.mkdir()
    other.write_text("echo 2\n")
    (folder / "a").write_text("1")
    assert compared(job(script_path=other), job()) == ["script differs"]
    assert compared(job(template=other), job()) == ["template is only here"]
    assert compared(job(input_files={"in.txt": other}), job()) == ["inputs: in.txt differs"]
    before = content(job(input_files={"in": folder}))
    (folder / "b").write_text("1")
    assert list(differences(content(job(input_files={"in": folder})), before.parts)) == ["inputs: in differs"]


def test_an_input_counts_by_whether_it_is_executable(job: Callable[..., Job], script: Path) -> None:
    before = content(job())
    script.chmod(0o755)
    assert list(differences(content(job()), before.parts)) == ["inputs: in.txt differs", "script differs"]


def test_images_and_commands_count_by_name_and_text() -> None:
    def made(image: str, command: str) -> Job:
        return Job("j", JobType.CONTAINER, container_image=image, container_command=command)

    assert compared(made("a.sif", "run"), made("b.sif", "run")) == ['image "a.sif" here, "b.sif" in the record']
    assert compared(made("a.sif", "run"), made("a.sif", "walk")) == ["command differs"]


MODULE = {"mine.py": "import theirs\ndef f(x=1): return theirs.g(x)\n", "theirs.py": "def g(x): return x\n"}


@pytest.mark.parametrize(
    ("name", "text", "same"),
    [
        ("theirs.py", "# better\ndef g(x):\n    return x\ndef h(): pass\n", True),
        ("mine.py", "import theirs\nK = 1\ndef f(x=1): return theirs.g(x)\n", True),
        ("theirs.py", "def g(x): return 2 * x\n", False),
        ("mine.py", "import theirs\ndef f(x=2): return theirs.g(x)\n", False),
    ],
)
def test_functions_count_by_what_they_need(tmp_path: Path, name: str, text: str, same: bool) -> None:
    """Each digest in a process of its own: a module is edited between two sessions."""
    program = (
        "import mine; from scheduler.job.job import Job; from scheduler.render.content.content import Contents;"
        "from scheduler.render.content.file_digests import FileDigests;"
        "print(Contents(FileDigests({})).of(Job('j', function=mine.f)).digest)"
    )

    def digest() -> str:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    for file, content in MODULE.items():
        (tmp_path / file).write_text(content)
    before = digest()
    (tmp_path / name).write_text(text)
    assert (digest() == before) is same


def test_what_a_process_has_set_in_a_module_counts(make: Callable[..., Any]) -> None:  # noqa: F811
    module = make("energies", {"energies.py": "ENERGY = 5\ndef f(): return ENERGY\n"})
    before = content(Job("j", function=module.f))
    module.ENERGY = 18
    assert list(differences(content(Job("j", function=module.f)), before.parts)) == ["function differs"]


def test_a_module_that_was_edited_since_it_was_imported_is_reported(make: Callable[..., Any]) -> None:  # noqa: F811
    module = make("edited", {"edited.py": "def f(): return 1\n"})
    Path(module.__file__).write_text("def f(): return 22\n")
    with pytest.raises(JobError, match="has been edited since it was loaded"):
        content(Job("j", function=module.f))


def test_what_can_only_be_pickled_cannot_be_told() -> None:
    value = 3
    local = content(Job("j", function=lambda: value))
    assert not local.is_certain
    assert list(differences(local, local.parts)) == [CANNOT_TELL]
    assert content(Job("j", function=json.dumps, params={"obj": 1})).is_certain
    assert not content(Job("j", function=json.dumps, params={"obj": {1, 2}})).is_certain


def test_numpy_scalars_count_as_the_numbers_that_the_job_gets(job: Callable[..., Job]) -> None:
    numpy = pytest.importorskip("numpy")
    params = {"x": numpy.int64(2), "name": "b0"}
    assert compared(job(params=params), job()) == []


def test_a_file_is_read_again_only_if_it_has_changed(tmp_path: Path) -> None:
    path, known = tmp_path / "data", dict[Any, str]()
    path.write_text("one")
    assert FileDigests(known).of(path, what="j") and not known  # so new that it may change within one tick
    os.utime(path, (1e9, 1e9))
    first = FileDigests(known).of(path, what="j")
    assert len(known) == 1
    path.write_text("two")
    assert FileDigests(known).of(path, what="j") != first


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"job 'j': input_files: .*gone' cannot be read"):
        FileDigests({}).of(tmp_path / "gone", what="job 'j': input_files")
