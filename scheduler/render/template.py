"""The template of a job's script: which one it is, what it may use, and what is wrong with it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NoReturn, Protocol

import jinja2

from scheduler.errors import ConfigError, JobError
from scheduler.job.job import Job
from scheduler.job.resources import Resources
from scheduler.quoting import quote
from scheduler.render.container import image_assignment
from scheduler.render.payload import Payload
from scheduler.schema.plain_values import plain, plain_params
from scheduler.schema.sandbox import Sandbox
from scheduler.schema.template_errors import FAULTS, explained, line_of
from scheduler.schema.template_folder import TemplateFolder
from scheduler.site.packaged import packaged_folder
from scheduler.site.site import Site
from scheduler.site.trust import require_recorded


class JobTemplate(Protocol):
    """A job, or a row of the ledger: its id and its own template."""

    @property
    def job_id(self) -> str:
        """The job's id, for messages."""

    @property
    def template(self) -> str | None:
        """The path of the job's own template, or None."""


def template_for(job: JobTemplate, site: Site) -> jinja2.Template:
    """The job's own template, else the site's, else that of the batch system.

    Raises:
        ConfigError: the template does not exist, or its syntax is wrong.
    """
    own = job.template or (str(site.template) if site.template else None)
    if job.template is None and own and site.guarded:
        require_recorded(Path(own))
    name = f"{_OWN}/{Path(own).name}" if own else f"{site.scheduler}.sh.j2"
    try:
        return _environment(str(Path(own).parent) if own else None).loaded(name)
    except jinja2.TemplateNotFound:
        raise ConfigError(f"template {own or name} does not exist") from None
    except FAULTS as error:
        _refuse(error, file=own or name)


def context_of(
    job: Job, site: Site, payload: Payload, *, batch_name: str, element: int, directives: str
) -> dict[str, Any]:
    """What a template may use for the script of one job."""
    return {
        "name": batch_name,
        "array_first": None,
        "array": False,
        "element": element,
        "directives": directives,
        "job_id": job.job_id,
        "job": _job_values(job),
        "params": plain_params(job.params),
        "environment": [list(pair) for pair in sorted({**site.environment, **job.env_vars}.items())],
        "modules": [*site.modules, *(site.container.modules if payload.image else [])],
        "prologue": (site.prologue or "").rstrip("\n"),
        "command": payload.command,
        "image": payload.image,
        "image_assignment": image_assignment(payload.image) if payload.image else "",
        "image_is_a_path": payload.image is not None and "://" not in payload.image,
        "runtime": site.container.runtime,
    }


def rendered(template: jinja2.Template, context: Mapping[str, Any], job: JobTemplate) -> str:
    """The text of a script.

    Raises:
        ConfigError: the template fails; the message names the template, its line and the job.
        JobError: a value cannot be written into a script.
    """
    file = template.filename or template.name or ""
    environment = template.environment
    assert isinstance(environment, Sandbox)  # noqa: S101  (`template_for` makes no others)
    try:
        return environment.render(template, context)
    except JobError:
        raise
    except jinja2.TemplateNotFound as error:
        raise ConfigError(
            f"template {file}, job {job.job_id!r}: it extends or includes {error}, which does not exist"
        ) from None
    except FAULTS as error:
        _refuse(error, file=file, where=f", job {job.job_id!r}")


def _refuse(error: BaseException, *, file: str, where: str = "") -> NoReturn:
    """Raise a ConfigError that names the template, the line, and what is wrong. It contains no value of the job."""
    try:
        source = Path(file).read_text(encoding="utf-8")[: 1 << 20]
    except (OSError, ValueError):
        source = ""
    line = line_of(error, file)
    at = f", line {line}" if line else ""
    raise ConfigError(f"template {file}{at}{where}: {explained(error, source=source)}") from None


def _job_values(job: Job) -> dict[str, Any]:
    """What a template sees of a job, as plain values. There is no way from them to an object or to a function."""
    function = job.function
    return {
        "job_id": job.job_id,
        "job_type": job.job_type.value,
        "function": None if function is None else str(getattr(function, "__qualname__", "")),
        "script_path": job.script_path,
        "container_image": job.container_image,
        "container_command": job.container_command,
        "params": plain_params(job.params),
        "env_vars": plain(job.env_vars),
        "working_dir": job.working_dir,
        "output_files": plain(list(job.output_files)),
        "resources": dict(_resource_values(job.resources)),
        "input_files": plain({name: str(path) for name, path in job.input_files.items()}),
        "arguments": plain(list(job.arguments)),
        "retry": None if job.retry is None else plain(job.retry.model_dump(mode="json")),
        "template": job.template,
    }


def check_includes(template: jinja2.Template, script: str, line: str) -> None:
    """Check that a script has the line with which our own templates end. Without it a job would not prove its end.

    Raises:
        ConfigError: the line is missing.
    """
    if line not in script:
        name = f"template {template.filename}"
        raise ConfigError(f"{name}: it does not extend a packaged template, as it must ({line!r} is missing)")


_OWN = secrets.token_hex(8)
"""The folder of the user's template in an environment: it may have the same name as the one that it extends. No
template can include a file under this name."""


@lru_cache(maxsize=64)
def _resource_values(resources: Resources) -> Mapping[str, Any]:
    return {**plain(resources.model_dump(mode="json")), "memory_mib": resources.memory_mib}


@cache
def _environment(folder: str | None) -> Sandbox:
    loaders: list[jinja2.BaseLoader] = [TemplateFolder(packaged_folder("templates"))]
    if folder is not None:
        loaders += [jinja2.PrefixLoader({_OWN: TemplateFolder(folder, links=True)}), TemplateFolder(folder)]
    environment = Sandbox(loader=jinja2.ChoiceLoader(loaders), trim_blocks=True, lstrip_blocks=True)
    environment.add_filter("quote", quote)
    return environment
