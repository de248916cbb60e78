"""Jobs and a site become a Bundle: the scripts and files of one submission. Pure but for reading the user's files.

Every value that reaches a shell passes the one quoting filter. Equal jobs share an array; each keeps its own script.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

from scheduler.batch.base import Ask, BatchSystem, find, text_of
from scheduler.errors import ConfigError, JobError
from scheduler.job.job import Job, JobType
from scheduler.job.resources import Resources
from scheduler.job.validation import params_as_json
from scheduler.quoting import quote
from scheduler.render.grouping import Group, One, groups, members_file
from scheduler.render.payload import Payload, Shared, input_paths, payload_of, python_of
from scheduler.render.runtime.files import text
from scheduler.render.template import OfAJob, expect_ours, rendered, template_for
from scheduler.site.site import Site

MARKER = ".scheduler"
"""The file that makes a folder over there ours; nothing without it is ever deleted."""


@dataclass(frozen=True)
class Batch:
    """One thing to hand to the batch system: `jobs` are elements `first`, `first` + 1, … of the bundle.

    If `packed`, they share a node; else they are an array, if there are several. `resources`: of each of them.
    """

    name: str
    first: int
    jobs: tuple[Job, ...]
    script: str
    resources: tuple[Resources, ...]
    packed: bool = False


@dataclass(frozen=True)
class Bundle:
    """All of one submission.

    Attributes:
        token: its unique name, in the name of every batch and of its folder over there.
        batches: what is handed to the batch system, in order.
        files: path in the bundle → content, or the path here of a file or folder to copy.
        python: the minor version of Python that its pickles need, ``"3.11"``, or empty.
        python_probe: sh text that prints the version over there, or empty.
    """

    token: str
    batches: tuple[Batch, ...]
    files: Mapping[str, bytes | Path]
    python: str = ""
    python_probe: str = ""

    @property
    def together(self) -> dict[int, int]:
        """Elements whose files travel together: the first, and how many."""
        return {one.first: len(one.jobs) for one in self.batches if len(one.jobs) > 1}

    @property
    def jobs(self) -> Iterator[tuple[int, Job]]:
        """Every job with its number."""
        for one in self.batches:
            yield from enumerate(one.jobs, start=one.first)


@dataclass
class _Making:
    """A bundle while it is made."""

    site: Site
    system: BatchSystem
    token: str
    label: str
    shared: Shared
    files: dict[str, bytes | Path] = field(default_factory=dict)
    python: str = ""


def render(jobs: Sequence[Job], site: Site, *, campaign: str | None = None, token: str | None = None) -> Bundle:
    """The bundle of these jobs.

    Raises:
        JobError: a job asks for what the site or its batch system cannot give, or a file of it cannot be read.
        ConfigError: a template or directive is wrong.
    """
    system = batch_system(site)
    name = label(campaign or (jobs[0].job_id if jobs else "job"))
    making = _Making(site, system, token or new_token(), name, Shared(input_paths(jobs)))
    batches: list[Batch] = []
    first = 0
    for group in groups(_asked(jobs, site), site.limits, arrays=system.arrays):
        batches.append(_batch(making, group, first))
        first += len(group.jobs)
    _common_files(making, batches)
    probe = python_probe(site) if making.python else ""
    return Bundle(making.token, tuple(batches), making.files, making.python, probe)


def batch_system(site: Site) -> BatchSystem:
    """The site's batch system."""
    return find(site.scheduler)


def new_token() -> str:
    """Ten characters that no other submission has: 50 random bits."""
    return "".join(secrets.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(10))


def full_resources(job: Job, site: Site) -> Resources:
    """What a job asks for with the site's settings and defaults behind it.

    Raises:
        JobError: it is more than the site's limits allow.
    """
    try:
        return site.resources_for(job.resources)
    except JobError as error:
        raise JobError(f"job {job.job_id!r}: {error}") from None


def _asked(jobs: Sequence[Job], site: Site) -> Iterator[tuple[Job, Resources]]:
    """Each job with all that it asks for."""
    full: dict[Resources, Resources] = {}
    for job in jobs:
        if job.resources not in full:
            full[job.resources] = full_resources(job, site)
        yield job, full[job.resources]


def _batch(making: _Making, group: Group[Job], first: int) -> Batch:
    jobs, resources, token = group.jobs, group.resources, making.token
    count = 1 if group.packed else len(jobs)
    ask = Ask(f"{making.label}.{token}-{first}", count, first, resources, making.site.memory_style)
    try:
        directives = making.system.directives(ask)
    except ConfigError as error:
        raise ConfigError(f"job {jobs[0].job_id!r} on site {making.site.name!r}: {error}") from None
    template = template_for(jobs[0], making.site)
    making.shared.alone = len(jobs) == 1
    for element, job in enumerate(jobs, start=first):
        _element(making, job, element, ask, directives, template)
    path = f"{first}/script.sh"
    if len(jobs) > 1:
        path = f"batches/{first}/script.sh"
        making.files[path] = dispatcher(template, directives, ask, jobs[0], packed=group.packed).encode()
        making.files.update(way_to_elements(packed=group.packed))
    making.files.update(batch_files(ask, group))
    return Batch(ask.name, first, tuple(jobs), path, tuple(group.asked), group.packed)


def _element(making: _Making, job: Job, element: int, ask: Ask, directives: str, template: jinja2.Template) -> None:
    """One job's files."""
    payload = payload_of(job, making.site, making.shared)
    if payload.python:
        making.python = payload.python
    script = rendered(template, _context(making, job, element, ask, directives, payload), job)
    expect_ours(template, script, '. "$bundle/harness.sh"')
    files = making.files
    files[f"{element}/script.sh"] = script.encode()
    files[f"{element}/outputs.sh"] = _outputs(job, making.site).encode()
    if "params.json" not in payload.files:
        files[f"{element}/params.json"] = b"{}" if payload.pickled else params_as_json(job)
    files.update({f"{element}/{name}": content for name, content in payload.files.items()})


def batch_files(ask: Ask, group: Group[One]) -> dict[str, bytes]:
    """What lies beside a batch's script."""
    files, walltime = {f"batches/{ask.first}/name": f"{ask.name}\n".encode()}, ask.resources.walltime
    if walltime is not None:
        files[f"batches/{ask.first}/walltime"] = f"{int(walltime.total_seconds())}\n".encode()
    if group.packed:
        files[f"batches/{ask.first}/members"] = members_file(group, ask.first)
    return files


def way_to_elements(*, packed: bool) -> dict[str, bytes]:
    """What the script of several jobs goes on with."""
    if packed:
        return {"pack.sh": "".join(map(text, ("family.sh", "element.sh", "pack.sh"))).encode()}
    return {"element.sh": text("element.sh").encode()}


def dispatcher(template: jinja2.Template, directives: str, ask: Ask, job: OfAJob, *, packed: bool = False) -> str:
    """What several jobs submit: the header that they share, and the way to each one's own script."""
    context = {"name": ask.name, "array_first": ask.first, "directives": directives, "packed": packed}
    script = rendered(template, context, job)
    expect_ours(template, script, f'. "$bundle/{"pack" if packed else "element"}.sh"')
    return script


def _context(making: _Making, job: Job, element: int, ask: Ask, directives: str, payload: Payload) -> dict[str, Any]:
    site = making.site
    return {
        "name": ask.name,
        "array_first": None,
        "element": element,
        "directives": directives,
        "job_id": job.job_id,
        "job": job,
        "params": job.params,
        "environment": sorted({**site.environment, **job.env_vars}.items()),
        "modules": [*site.modules, *(site.container.modules if payload.image else [])],
        "prologue": (site.prologue or "").rstrip("\n"),
        "command": payload.command,
        "image": payload.image,
        "image_is_a_path": payload.image is not None and "://" not in payload.image,
        "runtime": site.container.runtime,
    }


def _outputs(job: Job, site: Site) -> str:
    """Where the job runs, and what it must leave: read by its script and, later, by whoever lists its outputs."""
    place = quote(job.working_dir) if site.is_local else '"$control/dir"'
    lines = [f"dir={place}", "outputs() {", "  :"]
    for number, pattern in enumerate(job.output_files):
        lines.append(f"  output {number} {quote(pattern)} {' '.join(_globs(pattern))}")
    return "\n".join([*lines, "}", ""])


_DEEPEST = 10
"""So many folders deep ``**`` looks."""


def _globs(pattern: str) -> list[str]:
    """The shell's words for a pattern; ``**`` becomes no folder, one, two, …"""
    head, found, tail = pattern.partition("**")
    if not found:
        return [_glob("./" + pattern)]
    if not tail:
        return [_glob("./" + head.rstrip("/"))]
    return [_glob(f"./{head}{'*/' * depth}{tail.lstrip('/')}") for depth in range(_DEEPEST + 1)]


def _glob(pattern: str) -> str:
    """One shell word in which only ``*``, ``?`` and ``[…]`` are not literal."""
    parts = re.split(r"(\*|\?|\[[!^]?\]?[A-Za-z0-9_.:-]*\])", pattern)
    return "".join(part if n % 2 else quote(part) if part else "" for n, part in enumerate(parts))


def _common_files(making: _Making, batches: Sequence[Batch]) -> None:
    files = making.files
    functions = any(job.job_type is JobType.FUNCTION for one in batches for job in one.jobs)
    files.update(frame(making.token, making.system, functions=functions))
    lines = [f"{one.first}\t{1 if one.packed else len(one.jobs)}\t{one.script}\n" for one in batches]
    files["batches/list"] = "".join(lines).encode()
    if making.python:
        files["needs-python"] = f"{making.python}\n".encode()
    files.update(making.shared.files)


def frame(token: str, system: BatchSystem, *, functions: bool) -> dict[str, bytes]:
    """What every bundle of this batch system has."""
    files = {
        MARKER: f"{token}\n".encode(),
        "harness.sh": (text("family.sh") + text("harness.sh")).encode(),
    }
    if system.name == "shell":
        files["worker.sh"] = text_of("shell", "worker.sh").encode()
    if functions:
        files["run_function.py"] = text("run_function.py").encode()
    return files | {"ends/.keep": b"", "guards/.keep": b""}


def python_probe(site: Site) -> str:
    """Prints the version of the Python that functions get on the site, with its modules and prologue."""
    load = f"command -v module >/dev/null 2>&1 || . /etc/profile; module load {' '.join(map(quote, site.modules))}\n"
    before = f"{load if site.modules else ''}{site.prologue}"
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return f"exec 3>&1 >/dev/null\n{before}\n{python_of(site)} -c {quote(code)} >&3\n"


def label(text: str) -> str:
    """The part of a batch's name that a person recognises; PBS wants a letter first."""
    slug = re.sub(r"[^A-Za-z0-9_.+-]+", "-", text).strip("-.")[:40]
    return slug if slug[:1].isalpha() else f"j{slug}"
