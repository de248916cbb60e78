"""Jobs and a site become a Bundle: the scripts and files of one submission. Pure but for reading the user's files.

    the resources of each job := what the job requests, over the site's defaults; refused if above the site's limits
    groups := jobs of equal resources and template (an array), or jobs that fit on one node (a pack)
    for each group:                                  one batch, submitted at once
        directives := batch system(name, count, resources)
        for each job of the group:                   its files are in the folder NUMBER/ of the bundle
            payload := its command and files         (payload.py)
            NUMBER/script.sh  := template(directives, environment, modules, payload)
            NUMBER/outputs.sh := its folder and the outputs it declares
            NUMBER/params.json
        if the group has several jobs: batches/FIRST/script.sh, which starts their scripts
    once for the bundle: marker, harness, batches/list, input files that several jobs share

Every value that reaches a shell passes `quoting.quote`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2

from scheduler.batch.base import BatchSystem, find
from scheduler.batch.request import BatchRequest
from scheduler.errors import ConfigError, JobError
from scheduler.job.job import Job, JobType
from scheduler.job.resources import Resources
from scheduler.job.validation import params_as_json
from scheduler.render import frame
from scheduler.render.function.pack import Packer
from scheduler.render.grouping import Group, groups
from scheduler.render.outputs import outputs_script
from scheduler.render.payload import Shared, input_paths, payload_of
from scheduler.render.site_python import python_probe
from scheduler.render.template import check_includes, context_of, rendered, template_for
from scheduler.site.site import Site


@dataclass(frozen=True)
class Batch:
    """What is submitted to the batch system at once: jobs `first`, `first` + 1, … of the bundle.

    Attributes:
        name: unique; it contains the token.
        first: the number of its first job.
        jobs: one job, the tasks of an array, or (if `packed`) jobs that share a node.
        script: path of the script in the bundle.
        resources: of each job.
        packed: the jobs share a node.
    """

    name: str
    first: int
    jobs: tuple[Job, ...]
    script: str
    resources: tuple[Resources, ...]
    packed: bool = False


@dataclass(frozen=True)
class Bundle:
    """Everything that one submission sends.

    Attributes:
        token: unique; part of the name of every batch, and the name of the remote folder.
        batches: in the order in which they are submitted.
        files: path in the bundle → content, or the local path of a file or folder to copy.
        python: the minor version of Python that the pickled functions need, ``"3.11"``, a blank, and what the
            first of them is and why it is pickled; or empty.
        python_probe: sh text that prints the minor version of the site's Python, or empty.
    """

    token: str
    batches: tuple[Batch, ...]
    files: Mapping[str, bytes | Path] = field(repr=False)
    python: str = ""
    python_probe: str = ""

    @property
    def together(self) -> dict[int, int]:
        """For each batch of several jobs, whose files travel together: its first job → their number."""
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
    files: dict[str, bytes | Path] = field(default_factory=dict, repr=False)
    python: str = ""


def render(
    jobs: Sequence[Job], site: Site, *, campaign: str | None = None, token: str | None = None,
    packer: Packer | None = None,
) -> Bundle:  # fmt: skip
    """Make the bundle of these jobs.

    Args:
        jobs: in the order in which they are numbered, except that equal jobs are grouped.
        site: where they go.
        campaign: part of the batches' names; by default the id of the first job.
        token: of the submission; by default a new one.
        packer: of functions that it has examined; by default a new one.

    Raises:
        JobError: a job requests what the site or its batch system does not allow, or one of its files cannot be read.
        ConfigError: a template or directive is wrong.
    """
    system = find(site.scheduler)
    name = frame.label(campaign or (jobs[0].job_id if jobs else "job"))
    shared = Shared(input_paths(jobs), packer=packer or Packer())
    making = _Making(site, system, token or frame.new_token(), name, shared)
    batches: list[Batch] = []
    first = 0
    for group in groups(_with_resources(jobs, site), site.limits, arrays=system.arrays):
        batches.append(_batch(making, group, first))
        first += len(group.jobs)
    _files_of_bundle(making, batches)
    probe = python_probe(site) if making.python else ""
    return Bundle(making.token, tuple(batches), making.files, making.python, probe)


def _with_resources(jobs: Sequence[Job], site: Site) -> Iterator[tuple[Job, Resources]]:
    """Each job with its complete resources."""
    known: dict[Resources, Resources] = {}
    for job in jobs:
        if job.resources not in known:
            try:
                known[job.resources] = site.resources_for(job.resources)
            except JobError as error:
                raise JobError(f"job {job.job_id!r}: {error}") from None
        yield job, known[job.resources]


def _batch(making: _Making, group: Group[Job], first: int) -> Batch:
    jobs, site = group.jobs, making.site
    count = 1 if group.packed else len(jobs)
    name = f"{making.label}.{making.token}-{first}"
    options = site.native_options
    request = BatchRequest(name, count, first, group.resources, site.memory_style, native_options=options)
    try:
        directives = making.system.directives(request)
    except ConfigError as error:
        raise ConfigError(f"job {jobs[0].job_id!r} on site {site.name!r}: {error}") from None
    template = template_for(jobs[0], site)
    making.shared.alone = len(jobs) == 1
    for element, job in enumerate(jobs, start=first):
        _files_of_job(making, job, element, request, directives, template)
    path = f"{first}/script.sh"
    if len(jobs) > 1:
        path = f"batches/{first}/script.sh"
        making.files[path] = frame.dispatch_script(template, directives, request, jobs[0], packed=group.packed)
        making.files.update(frame.dispatch_files(making.system, packed=group.packed))
    making.files.update(frame.batch_files(request, group))
    return Batch(name, first, tuple(jobs), path, tuple(group.each), group.packed)


def _files_of_job(
    making: _Making, job: Job, element: int, request: BatchRequest, directives: str, template: jinja2.Template
) -> None:
    payload = payload_of(job, making.site, making.shared)
    if payload.python:
        making.python = making.python or payload.python
    context = context_of(job, making.site, payload, batch_name=request.name, element=element, directives=directives)
    script = rendered(template, context, job)
    check_includes(template, script, '. "$bundle/harness.sh"')
    files = making.files
    files[f"{element}/script.sh"] = script.encode()
    files[f"{element}/outputs.sh"] = outputs_script(job, making.site).encode()
    if "params.json" not in payload.files:
        files[f"{element}/params.json"] = b"{}" if payload.pickled else params_as_json(job)
    files.update({f"{element}/{name}": content for name, content in payload.files.items()})


def _files_of_bundle(making: _Making, batches: Sequence[Batch]) -> None:
    files = making.files
    functions = any(job.job_type is JobType.FUNCTION for one in batches for job in one.jobs)
    files.update(frame.common_files(making.token, making.system, functions=functions))
    files["batches/list"] = frame.batch_list(
        (one.first, 1 if one.packed else len(one.jobs), one.script) for one in batches
    )
    if making.python:
        files["needs-python"] = f"{making.python.split()[0]}\n".encode()
    files.update(making.shared.files)
