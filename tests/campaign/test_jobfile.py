"""Job files: the jobs that they make, the messages when they are wrong, and that values in patterns stay text."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.campaign.jobfile import JobFile, read_job_file
from scheduler.campaign.sweep import combinations, listed_values
from scheduler.errors import ConfigError
from scheduler.job.job import Job, JobType
from scheduler.job.resources import Retry
from tests import ROOT

EXAMPLES = ROOT / "examples"
Write = Callable[[str], JobFile]

SCRIPT = """\
job:
  type: script
  script_path: run.sh
"""


@pytest.fixture
def job_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes ``files/scan.yaml`` beside a script, while the current directory is another."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files/run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def write(text: str) -> JobFile:
        path = tmp_path / "files/scan.yaml"
        path.write_text(text, encoding="utf-8")
        return read_job_file(path)

    return write


def ids(jobs: list[Job]) -> list[str]:
    return [job.job_id for job in jobs]


# The jobs


def test_a_single_job_and_its_folder_have_the_name_of_the_file(job_file: Write, tmp_path: Path) -> None:
    [job] = job_file(SCRIPT).jobs()
    assert (job.job_id, job.job_type) == ("scan", JobType.SCRIPT)
    assert job.working_dir == str(tmp_path / "here/scan")
    assert job.script_path == str(tmp_path / "files/run.sh")


def test_a_job_file_has_a_key_for_every_argument_of_job(job_file: Write, tmp_path: Path) -> None:
    (tmp_path / "files/geo.xml").touch()
    (tmp_path / "files/own.j2").touch()
    [job] = job_file("""\
campaign: b0
job:
  type: container
  container_image: /cvmfs/image.sif
  container_command: npsim -N {{ events }}
  params: {events: 500, shape: {layers: [1, 2]}, nothing: null}
  env_vars: {DETECTOR: "epic-{{ events }}", THREADS: 1}
  working_dir: out/{{ job_id }}
  output_files: ["sim-{{ events }}.root"]
  input_files: {geometry.xml: geo.xml}
  resources: {cpus: 2, memory: 3 GB, walltime: 2:00:00}
  retry: {times: 2}
  template: own.j2
""").jobs()
    assert job.container_command == "npsim -N {{ events }}"  # rendered later, with quoting
    assert job.params == {"events": 500, "shape": {"layers": [1, 2]}, "nothing": None}
    assert job.env_vars == {"DETECTOR": "epic-500", "THREADS": "1"}
    assert job.working_dir == str(tmp_path / "here/out/scan")
    assert job.output_files == ["sim-500.root"]
    assert job.input_files == {"geometry.xml": tmp_path / "files/geo.xml"}
    assert (job.resources.cpus, job.resources.memory_mib) == (2, 3072)
    assert job.resources.walltime == timedelta(hours=2)
    assert job.retry == Retry(times=2)
    assert job.template == str(tmp_path / "files/own.j2")


def test_arguments_of_a_script_are_not_rendered_yet(job_file: Write) -> None:
    [job] = job_file(SCRIPT + "  arguments: [--seed, '{{ seed }}', 3]\n  params: {seed: 1}\n").jobs()
    assert job.arguments == ["--seed", "{{ seed }}", "3"]


def test_a_matrix_makes_the_product_in_the_order_of_the_file(job_file: Write) -> None:
    jobs = job_file('id: "dz{{ dz }}-s{{ seed }}"\nmatrix: {dz: [10, 20], seed: "range(1, 4)"}\n' + SCRIPT).jobs()
    assert ids(jobs) == ["dz10-s1", "dz10-s2", "dz10-s3", "dz20-s1", "dz20-s2", "dz20-s3"]
    assert jobs[1].params == {"dz": 10, "seed": 2}


def test_lists_of_a_zip_are_combined_by_position_inside_the_matrix(job_file: Write) -> None:
    text = "id: '{{ p }}-{{ e }}-{{ n }}'\nmatrix: {p: [pi, K]}\nzip: {e: [1, 10], n: [500, 50]}\n"
    assert ids(job_file(text + SCRIPT).jobs()) == ["pi-1-500", "pi-10-50", "K-1-500", "K-10-50"]


def test_jobs_of_a_sweep_without_id_are_numbered(job_file: Write) -> None:
    jobs = job_file("matrix: {seed: range(3)}\n" + SCRIPT).jobs()
    assert ids(jobs) == ["scan-0001", "scan-0002", "scan-0003"]


def test_values_of_a_sweep_override_the_params_of_the_job(job_file: Write) -> None:
    [job] = job_file("matrix: {seed: [7]}\n" + SCRIPT + "  params: {seed: 1, z: 2}\n").jobs()
    assert job.params == {"seed": 7, "z": 2}


def test_an_entry_of_jobs_overrides_only_its_own_keys(job_file: Write) -> None:
    jobs = job_file(
        SCRIPT
        + """\
  params: {n: 10, z: 1}
  output_files: [a.root]
  resources: {cpus: 1, memory: 1 GB, native: [--x]}
jobs:
  - id: small
  - {id: "large-{{ n }}", params: {n: 1000}, resources: {memory: 8 GB}, output_files: [b.root]}
  - {params: {n: 5}}
"""
    ).jobs()
    assert ids(jobs) == ["small", "large-1000", "scan-0003"]
    assert [job.params["n"] for job in jobs] == [10, 1000, 5]
    assert [job.resources.memory_mib for job in jobs] == [1024, 8192, 1024]
    assert jobs[1].resources.native == ("--x",)
    assert jobs[1].output_files == ["b.root"]


def test_entries_of_jobs_are_combined_with_the_sweep(job_file: Write) -> None:
    text = SCRIPT + "jobs: [{id: 'a{{ s }}'}, {id: 'b{{ s }}'}]\nmatrix: {s: [1, 2]}\n"
    assert ids(job_file(text).jobs()) == ["a1", "a2", "b1", "b2"]


def test_a_function_is_given_by_module_or_by_file(job_file: Write, tmp_path: Path) -> None:
    (tmp_path / "files/physics_of_a_test.py").write_text(
        "from neighbour_of_a_test import f\ndef g(x):\n    return f(x)\n"
    )
    (tmp_path / "files/neighbour_of_a_test.py").write_text("def f(x):\n    return x\n")
    [job] = job_file("job: {type: function, function: 'physics_of_a_test.py:g', params: {x: 1}}").jobs()
    assert job.function is not None
    assert job.function(3) == 3
    [job] = job_file("job: {type: function, function: 'json:dumps', params: {obj: 1}}").jobs()
    assert job.function is json.dumps


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("**/*.yaml")), ids=lambda path: path.stem)
def test_every_example_makes_its_jobs(path: Path) -> None:
    assert read_job_file(path).jobs()


def test_each_call_makes_new_jobs(job_file: Write) -> None:
    file = job_file(SCRIPT)
    assert file.jobs()[0] is not file.jobs()[0]
    assert file.campaign is None


# Messages about wrong files


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jop: {}", r"jop: no such key; did you mean 'job'\?"),
        ("job: {script: x}", r"job\.script: no such key; did you mean 'script_path'\?"),
        ("job: {resources: {cpu: 1}}", r"job\.resources\.cpu: no such key; did you mean 'cpus'\?"),
        ("job: {resources: {memory: 3}}", r"job\.resources\.memory: must be text with a unit"),
        ("job: {retry: {time: 1}}", r"job\.retry\.time: no such key; did you mean 'times'\?"),
        ("jobs: [{type: script}, {pramas: {}}]", r"jobs\[1\]\.pramas: no such key; did you mean 'params'\?"),
        ("jobs: []", "jobs: must not be empty"),
        ("job: {id: x}", r"job\.id: no such key"),
        ("job: {type: scirpt}", r"job\.type: must be one of 'function', 'script' or 'container'"),
        ("job: {function: f}", r"job\.function: must be 'module:name' or 'path\.py:name'"),
        ("job: {output_files: '*.root'}", r"job\.output_files: must be a list"),
        ("job: {input_files: x}", r"job\.input_files: must be a list of local paths, or a mapping"),
        ("job: {env_vars: {A: true}}", r"job\.env_vars\.A: must be text or a number"),
        ("job: {arguments: [[1]]}", r"job\.arguments\[0\]: must be text or a number"),
        ("matrix: {a: 3}", "matrix: a must be a list, or text such as 'range"),
        ("matrix: {a: []}", "matrix: a has no values"),
        ("matrix:\n  a: range(3, 1)", "matrix: a has no values"),
        ("matrix: {a: range(3, 1)}", r"matrix: a is incomplete: inside \{ \} a range with a comma needs quotes"),
        ("matrix: {a: 'range(1, 2, 0)'}", "the step of .* must not be 0"),
        ("matrix: {a: 'range(0, 1000000000000)'}", "more than 100000 values"),
        ("matrix: {a: 'range(__import__)'}", "must be a list, or text such as 'range"),
        ("matrix: {a b: [1]}", "matrix: 'a b' cannot be the name of a parameter"),
        ("matrix: {job_id: [1]}", "matrix: 'job_id' cannot be the name of a parameter"),
        ("zip: {a: [1, 2], b: [1]}", "zip: all lists must have the same length: a has 2, b has 1"),
        ("matrix: {a: [1]}\nzip: {a: [1]}", "zip: a is also in matrix; delete one of them"),
        ("campaign: ''", "campaign: must not be empty"),
        ("a: 1\na: 2", "line 2, column 1: the key 'a' is given twice"),
        ("[]", "must be a mapping"),
    ],
)
def test_a_wrong_job_file_names_the_file_and_the_key(job_file: Write, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"scan\.yaml: .*{message}"):
        job_file(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("job: {}", r"job\.type: is missing"),
        ("job: {type: script, script_path: none.sh}", r"job 'scan': script_path .*files/none\.sh"),
        ("job: {type: container}", "needs container_image"),
        ("job: {type: function, function: 'nowhere.py:f'}", "the file .*files/nowhere.py does not exist"),
        ("job: {type: function, function: 'no_such_module:f'}", "cannot import 'no_such_module'"),
        (
            "job: {type: function, function: 'json:dump_s'}",
            r"has no function 'dump_s'; did you mean 'dumps'\?",
        ),
        ("id: '{{ sed }}'\nmatrix: {seed: [1]}\n" + SCRIPT, r"id: 'sed' is undefined; did you mean 'seed'\?"),
        ("id: '{{ seed'\n" + SCRIPT, r"id: '\{\{ seed': "),
        ("id: '{{ 1 / n }}'\nmatrix: {n: [0]}\n" + SCRIPT, "division by zero"),
        ("id: '{{ [].__class__.__base__.__subclasses__() }}'\n" + SCRIPT, "id: .*unsafe"),
        ("id: 'a/{{ n }}'\nmatrix: {n: [0]}\n" + SCRIPT, "job_id 'a/0' cannot be the name of a folder"),
        ("working_dir: 'out/{{ n }}'\nmatrix: {n: [../../x]}\n" + SCRIPT, "working_dir: .* is not a folder"),
        ("working_dir: '{{ n }}'\nmatrix: {n: [/etc]}\n" + SCRIPT, "working_dir: .* a leading '/'"),
        ("working_dir: '{{ n }}/out'\nmatrix: {n: ['']}\n" + SCRIPT, "working_dir: .* a leading '/'"),
        ("working_dir: 'a/{{ n }}'\nmatrix: {n: [.git/hooks]}\n" + SCRIPT, r"working_dir .* is in a \.git folder"),
        ("id: '{{ n }}'\nmatrix: {n: [.GIT]}\n" + SCRIPT, r"working_dir .* is in a \.git folder"),
        ("working_dir: ''\n" + SCRIPT, "working_dir: '' is not a folder"),
        ("matrix: {a: range(1000), b: range(1000)}\n" + SCRIPT, "more than 100000 combinations"),
    ],
)
def test_a_value_that_makes_an_impossible_job_is_named_with_the_file(job_file: Write, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"scan\.yaml: .*{message}"):
        job_file(text).jobs()


def test_two_jobs_with_the_same_id_are_refused_and_both_named(job_file: Write) -> None:
    file = job_file('id: "s{{ seed }}"\nmatrix: {dz: [10, 20], seed: [1]}\n' + SCRIPT)
    with pytest.raises(ConfigError, match=r"id: 's1' would be the id of two jobs: .*0001 .dz, seed. and .*0002 .dz"):
        file.jobs()


def test_two_jobs_with_the_same_folder_are_refused_and_both_named(job_file: Write) -> None:
    file = job_file("working_dir: out\nmatrix: {seed: [1, 2]}\n" + SCRIPT)
    with pytest.raises(ConfigError, match="working_dir: 'scan-0001' and 'scan-0002' would have the same folder"):
        file.jobs()


def test_a_file_with_the_name_of_an_imported_module_is_refused(job_file: Write, tmp_path: Path) -> None:
    (tmp_path / "files/json.py").write_text("def dumps(): pass\n")
    file = job_file("job: {type: function, function: 'json.py:dumps'}")
    with pytest.raises(ConfigError, match="another module with the name 'json' is already imported; rename"):
        file.jobs()


def test_values_in_patterns_are_not_rendered_as_patterns(job_file: Write) -> None:
    file = job_file("id: '{{ x }}'\nmatrix: {x: ['{{ 7 * 7 }}', '$(id)', \"a'b\"]}\n" + SCRIPT)
    assert ids(file.jobs()) == ["{{ 7 * 7 }}", "$(id)", "a'b"]


# The sweep alone

axes = st.dictionaries(st.sampled_from("abcd"), st.lists(st.integers(), min_size=1, max_size=4), max_size=4)


@given(axes)
def test_a_product_has_every_combination_once_and_in_order(matrix: dict[str, list[int]]) -> None:
    expected: list[dict[str, int]] = [{}]
    for name, values in matrix.items():
        expected = [{**point, name: value} for point in expected for value in values]
    assert combinations(matrix, {}) == expected


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(-5, 5).filter(bool))
def test_a_range_has_the_values_of_python(start: int, stop: int, step: int) -> None:
    expected = list(range(start, stop, step))
    text = f"range({start}, {stop},{step})"
    if expected:
        assert listed_values(text) == expected
    else:
        with pytest.raises(ValueError, match="has no values"):
            listed_values(text)
