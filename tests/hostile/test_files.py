"""Hostile values at every key of a site file and a job file, and files and templates from another user."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler import Job, JobType, SchedulerError, Site
from scheduler.campaign.jobfile import read_job_file
from scheduler.render.bundle import render
from scheduler.site.catalog import find_site
from tests.end_to_end.hostile import CANARY
from tests.unpacked import SHELLS

from .test_jobs import SH, Room, check_directives, script_of
from .values import HARD, hostile

Tried = Callable[[int], None]
SITE: dict[str, Any] = {"transport": "ssh", "host": "far", "scheduler": "slurm", "work_dir": "/w"}
KEYS = [
    "description", "transport", "host", "scheduler", "work_dir", "account", "queue", "qos", "constraint",
    "memory_style", "python", "template", "ssh.user", "ssh.identity_file", "ssh.proxy_jump", "ssh.known_hosts",
    "defaults.memory",
    "defaults.walltime", "limits.walltime", "container.runtime", "container.binds[]", "container.options[]",
    "container.modules[]", "modules[]", "native[]", "environment.V", "environment.*", "prologue",
]  # fmt: skip
PROGRAMS = ("prologue",)
"""Shell text of the site file, which is meant to run on the cluster."""
FIELDS = [
    "campaign", "id", "working_dir", "job.script_path", "job.arguments[]", "job.params.v", "job.params.*",
    "job.env_vars.V", "job.env_vars.*", "job.output_files[]", "job.resources.queue", "job.resources.native[]",
    "job.input_files[]", "job.container_image", "job.container_command", "job.template", "job.retry.on[]",
    "matrix.n[]",
]  # fmt: skip
CODE = ("{{ cycler.__init__.__globals__.os.popen('touch %s').read() }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ self._TemplateReference__context.environment }}", "{{ job.run() }}", "{{ job.set_runner(1) }}",
        "{{ lipsum.__globals__['os'].system('touch %s') }}", "{{ namespace.__init__.__globals__ }}",
        "{{ joiner.__init__.__globals__.os.system('touch %s') }}", "{{ params.__class__ }}",
        "{{ job.resources.parse_raw('x', proto='pickle', allow_pickle=true) }}", "{{ job.function() }}",
        "{{ job.input_files.values() | first | attr('write_text') }}", "{{ params.update({'a': 1}) }}",
        "{{ '{0.__class__.__init__}'.format(job_id) }}", "{{ 'x' * 10 ** 10 }}", "{{ range(10 ** 9) | list }}",
        "{{ [params.pop] | map('string') | list }}", "{{ job_id.__init__ }}", "{{ 9 ** (9 ** 9) }}")  # fmt: skip


def placed(values: Mapping[str, Any], key: str, text: str) -> dict[str, Any]:
    """`values` with `text` at a key: ``a.b``, ``a.b[]`` for an item of a list, ``a.*`` for the name of a key."""
    head, dot, rest = key.partition(".")
    if dot:
        return {**values, head: placed(values.get(head, {}), rest, text)}
    if head == "*":
        return {**values, text: 1}
    return {**values, head.removesuffix("[]"): [text] if head.endswith("[]") else text}


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    return Room(tmp_path_factory.mktemp("room"))


@pytest.mark.parametrize("key", KEYS)
def test_any_value_at_any_key_of_a_site_is_refused_with_a_message_or_stays_data(
    key: str, room: Room, tried: Tried
) -> None:
    runs = 0

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(text=hostile, shell=st.sampled_from(SH))
    def attack(text: str, shell: str) -> None:
        nonlocal runs
        tried(1)
        try:
            site = Site.from_mapping(placed(SITE, key, text), name="far")
            image = {"container_image": "a.sif", "container_command": "true"} if key.startswith("container") else {}
            job = room.job(**image)
            script = script_of(render([job], site))
        except SchedulerError as refused:
            assert str(refused).strip()
            return
        check_directives(script.splitlines()[1:])
        assert Site.from_json(site.to_json()) == site
        if key not in PROGRAMS and runs < 5 and site.scheduler == "slurm":
            runs += 1
            room.run(job, shell, site)

    attack()
    room.look()


def job_file(room: Room, values: Mapping[str, Any]) -> Path:
    path = room.folder / "inputs" / "job.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8", errors="surrogatepass")
    return path


@pytest.mark.parametrize("field", FIELDS)
def test_any_value_at_any_key_of_a_job_file_is_refused_with_a_message_or_stays_data(
    field: str, room: Room, tried: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(room.cwd)
    values: dict[str, Any] = {"job": {"type": "script", "script_path": str(room.folder / "record.sh")}}

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(text=hostile)
    def attack(text: str) -> None:
        tried(1)
        try:
            jobs = read_job_file(job_file(room, placed(values, field, text))).jobs()
            folders = [Path(job.working_dir) for job in jobs]
            scripts = [script_of(render([job], Site.from_mapping(SITE, name="far"))) for job in jobs]
        except SchedulerError as refused:
            assert str(refused).strip()
            return
        if field in ("job.params.v", "matrix.n[]", "id"):  # no parameter leads out of the folder
            assert all(folder.is_relative_to(room.cwd) for folder in folders)
        for script in scripts:
            check_directives(script.splitlines()[1:])

    attack()
    room.look()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(pieces=st.lists(st.sampled_from([*HARD, "a: ", "- ", "&a ", "*a", "!!python/object/apply:os.system ", "<<: "])))
def test_any_text_as_a_file_is_refused_with_a_message(pieces: list[str], room: Room, tried: Tried) -> None:
    tried(1)
    path = room.folder / "inputs" / "any.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(pieces), encoding="utf-8", errors="surrogatepass")
    with pytest.raises(SchedulerError):
        find_site(path)
    with contextlib.suppress(SchedulerError):
        read_job_file(path).jobs()
    room.look()


@pytest.mark.parametrize("code", [text.replace("%s", CANARY) for text in CODE])
def test_a_template_or_pattern_of_someone_else_runs_no_python(
    code: str, room: Room, tried: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(room.cwd)
    template = room.folder / "inputs" / "theirs.sh.j2"
    template.parent.mkdir(exist_ok=True)
    template.write_text("{% extends 'slurm.sh.j2' %}\n{% block prologue %}\n# " + code + "\n{% endblock %}\n")
    script = {"type": "script", "script_path": str(room.folder / "record.sh")}
    files: list[dict[str, Any]] = [
        {"job": script, "id": f"x{code}"}, {"job": {**script, "arguments": [code]}},
        {"job": script, "working_dir": code},
        {"job": {**script, "output_files": [code]}}, {"job": {**script, "params": {"a": 1}, "env_vars": {"V": code}}},
        {"job": {"type": "container", "container_image": "a.sif", "container_command": f"echo {code}"}},
    ]  # fmt: skip
    site = Site.from_mapping({**SITE, "template": str(template)}, name="far")
    plain = Site.from_mapping(SITE, name="far")
    job = Job("b0", JobType.SCRIPT, script_path=room.folder / "record.sh", working_dir=room.folder / "out/template")
    tried(1 + len(files))
    with pytest.raises(SchedulerError):
        render([job], site)
    for values in files:
        with pytest.raises(SchedulerError):
            render(read_job_file(job_file(room, values)).jobs(), plain)
    room.look()
    assert list(room.cwd.rglob("*")) == []


@pytest.mark.parametrize("shell", SH)
def test_a_work_folder_expands_variables_and_nothing_else(shell: str, room: Room, tried: Tried) -> None:
    from scheduler.quoting import quote_path

    for text in HARD:
        tried(1)
        try:
            site = Site.from_mapping({**SITE, "work_dir": f"/w/{text}"}, name="far")
        except SchedulerError:
            continue
        word = quote_path(site.work_dir, what="work_dir")
        done = subprocess.run([*SHELLS[shell], "-c", f"printf '%s\\0' {word}"], cwd=room.cwd, capture_output=True)
        assert done.returncode != 0 or done.stdout.count(b"\0") == 1
    room.look()
