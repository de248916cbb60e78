"""No value of params, env_vars or a site's environment is in an error, with its causes, or in a repr."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scheduler import Job, JobType, SchedulerError, Site
from scheduler.campaign.jobfile import JobFile, read_job_file
from scheduler.render.bundle import Bundle, render

Tried = Callable[[int], None]
SECRET = "hunter2-correct-horse"
BASE = "job:\n  type: script\n  script_path: a.sh\n"
SITE: dict[str, Any] = {"transport": "ssh", "host": "h", "scheduler": "slurm", "work_dir": "/w"}
AS_VALUE = [
    "§",
    "[§]",
    "{A: [§]}",
    "{A: {B: §}}",
    "{1a: §}",
    "{PATH: §, A-B: §}",
    '{A: "§\\0"}',
    "{A: *§}",
    "{A: !§ x}",
    "{A: '§",
    "{A: §, A: §}",
    '{A: "\\q§"}',
    "{A: §: §}",
    "{A: @§}",
    "{A: '§{{'}",
    "{A: '{{ h§ }}'}",
    "{A: '{{ 1 + \"§\" }}'}",
    '{A: "§\\ud800"}',
    "&§ {A: *§x}",
    "{A: '{% § %}'}",
    "{A: '{{ \"§\"[9] }}'}",
    "{A: '{{ {}[\"§\"] }}'}",
    "{A: '{{ \"§\" | nosuch }}'}",
    "{A: ['§', {§: §}]}",
    "{A: - §}",
    "{A: §, B}",
]
OTHER_KEYS = [
    "  params: {t: §}\n  env_vars: {A: '{{ t + 1 }}'}\n",
    "  params: {t: §}\n  env_vars: {A: '{{ t.x }}'}\n",
    "  params: {t: §}\n  env_vars: {A: '{{ {}[t] }}'}\n",
    "  params: {t: '../§'}\n  working_dir: '{{ t }}'\n",
    "  params: {t: '../§'}\n  output_files: ['{{ t }}']\n",
    "  params: {t: §}\n  output_files: ['{{ [1][t] }}']\n",
    "  arguments: [[§]]\n",
    "  arguments: §\n",
    "  env_var: {A: §}\n",
    "  parms: {A: §}\n",
    "  params: {t: §}\n  output_files: ['{{ t | int + t }}']\n",
]
TOP = [
    "matrix: {t: §}\n",
    "matrix: §\n",
    "zip: {t: [§], u: [1, 2]}\n",
    "matrix: {t: [§, §]}\nid: same\n",
    "matrix: {t: {a: §}}\n",
    "matrix: {job_id: [§]}\n",
    "matrix: [§]\n",
    "jobs: [§]\n",
    "jobs: [{env_vars: §}]\n",
    "jobs: [{params: [§]}]\n",
    "zip: {t: [§, §]}\nworking_dir: same\n",
]
COMMANDS = [
    "sh -c '{{ a }}'",
    "echo `{{ a }}`",
    "{{ a + 1 }}",
    "cat <<E\n{{ a }}\nE",
    "eval {{ a }}",
    "{{ a.b }}",
    "{{ {}[a] }}",
    "{{ a | int(a) + a }}",
]


class Telling:
    """An object that tells its secret in its repr and when it is pickled."""

    def __repr__(self) -> str:
        return SECRET

    def __reduce__(self) -> Any:
        raise TypeError(SECRET)


def f(a: object) -> object:
    return a


@pytest.fixture
def refused(tmp_path: Path, tried: Tried) -> Callable[[Callable[[], object]], None]:
    """Called with what is tried: neither the repr of its result nor its error, with printed causes, has the secret."""

    def check(act: Callable[[], object]) -> None:
        tried(1)
        try:
            shown = repr(act())
        except SchedulerError as error:
            found = traceback.TracebackException.from_exception(error)
            shown = "".join(line for line in found.format() if not line.startswith("  File "))
        assert SECRET not in shown, shown

    return check


@pytest.mark.parametrize("key", ["params", "env_vars"])
def test_no_message_about_a_job_file_has_a_value(tmp_path: Path, key: str, refused: Callable[..., None]) -> None:
    (tmp_path / "a.sh").write_text("true\n")

    def read(text: str) -> tuple[JobFile, Bundle]:
        (tmp_path / "j.yaml").write_text(text.replace("§", SECRET))
        file = read_job_file(tmp_path / "j.yaml")
        return file, render(file.jobs(), Site.from_mapping(SITE, name="s"))

    texts = [
        *(f"{BASE}  {key}: {value}\n" for value in AS_VALUE),
        *(BASE + more for more in OTHER_KEYS),
        *(more + BASE for more in TOP),
    ]
    for text in texts:
        refused(lambda text=text: read(text))


def test_no_message_about_a_site_has_a_value_of_its_environment(refused: Callable[..., None]) -> None:
    for found in (
        SECRET,
        [SECRET],
        {"A": [SECRET]},
        {"A": SECRET + "\0"},
        {"1": SECRET},
        {"A": {"b": SECRET}},
        {"A": SECRET},
        {"PATH": SECRET},
        {"A": None, "B": {SECRET}},
    ):
        refused(lambda found=found: Site.from_mapping({**SITE, "environment": found}, name="s"))


def test_no_message_about_a_job_has_a_value(tmp_path: Path, refused: Callable[..., None]) -> None:
    (tmp_path / "a.sh").write_text("true\n")
    site = Site.from_mapping({**SITE, "environment": {"A": SECRET}}, name="s")
    around: list[Any] = [SECRET]
    around.append(around)
    fields: list[dict[str, Any]] = [
        {"params": {"a": {SECRET}}},
        {"params": {"a": around}},
        {"params": {"a": Telling()}},
        {"params": SECRET},
        {"env_vars": SECRET},
        {"env_vars": {"A": SECRET + "\0"}},
        {"env_vars": {"A": [SECRET]}},
        {"env_vars": {"A": SECRET + "\ud800"}},
        {"params": {"a": SECRET}},
        *(
            {"params": {"a": SECRET + end}, "arguments": [text]}
            for end in ("\0", "\ud800", "")
            for text in ("{{ a }}", "{{ a + 1 }}", "{{ a.b }}", "{{ {}[a] }}", "{{ [a][9] }}")
        ),
    ]
    for field in fields:
        refused(lambda field=field: render([Job("b", JobType.SCRIPT, script_path=tmp_path / "a.sh", **field)], site))
    for text in COMMANDS:
        container = {"container_image": "a.sif", "container_command": text, "params": {"a": SECRET + " ;"}}
        refused(lambda container=container: render([Job("b", JobType.CONTAINER, **container)], site))
    for params in ({"a": threading.Lock()}, {"a": Telling()}, {"b": SECRET}, {"a": {Telling(): 1}}, {"a": SECRET}):
        refused(lambda params=params: render([Job("b", function=f, params=params)], site))
    old = Site.from_mapping({**SITE, "container": {"runtime": "singularity"}}, name="s")
    refused(lambda: render([Job("b", JobType.CONTAINER, container_image="a.sif", env_vars={"A": SECRET + "$"})], old))
