"""The template of a job's script: which one it is, what it may use, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from scheduler.errors import ConfigError, JobError
from scheduler.job.job import Job
from scheduler.quoting import quote
from scheduler.render.payload import Payload
from scheduler.site.packaged import packaged_folder
from scheduler.site.site import Site


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
    environment = _environment(str(Path(own).parent) if own else None)
    name = f"{_OWN}/{Path(own).name}" if own else f"{site.scheduler}.sh.j2"
    try:
        return environment.get_template(name)
    except jinja2.TemplateNotFound:
        raise ConfigError(f"template {own or name} does not exist") from None
    except jinja2.TemplateSyntaxError as error:
        raise ConfigError(f"template {own or name}, line {error.lineno}: {error.message}") from None


def context_of(
    job: Job, site: Site, payload: Payload, *, batch_name: str, element: int, directives: str
) -> dict[str, Any]:
    """What a template may use for the script of one job."""
    return {
        "name": batch_name,
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
        "image_assignment": image_assignment(payload.image) if payload.image else "",
        "image_is_a_path": payload.image is not None and "://" not in payload.image,
        "runtime": site.container.runtime,
    }


def rendered(template: jinja2.Template, context: Mapping[str, Any], job: JobTemplate) -> str:
    """The text of a script.

    Raises:
        ConfigError: the template fails; the message names the template and the job.
        JobError: a value cannot be written into a script.
    """
    try:
        return template.render(context)
    except JobError:
        raise
    except jinja2.TemplateNotFound as error:
        name = template.filename or template.name
        raise ConfigError(
            f"template {name}, job {job.job_id!r}: it extends or includes {error}, which does not exist"
        ) from None
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise ConfigError(f"template {template.filename or template.name}, job {job.job_id!r}: {error}") from None


def check_includes(template: jinja2.Template, script: str, line: str) -> None:
    """Check that a script has the line with which our own templates end. Without it a job would not prove its end.

    Raises:
        ConfigError: the line is missing.
    """
    if line not in script:
        name = f"template {template.filename}"
        raise ConfigError(f"{name}: it does not extend a packaged template, as it must ({line!r} is missing)")


_OWN = "own"
"""The folder of the user's templates in an environment: one of them may have the same name as the one it extends."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """A template only makes text: it cannot reach Python, and it calls no method of our own objects."""

    def is_safe_callable(self, obj: Any) -> bool:
        ours = str(getattr(obj, "__module__", "")).partition(".")[0] == __name__.partition(".")[0]
        return not ours and super().is_safe_callable(obj)


@cache
def _environment(folder: str | None) -> jinja2.Environment:
    loaders: list[jinja2.BaseLoader] = [jinja2.FileSystemLoader(packaged_folder("templates"))]
    if folder is not None:
        users = jinja2.FileSystemLoader(folder)
        loaders += [jinja2.PrefixLoader({_OWN: users}), users]
    environment = _Sandbox(
        loader=jinja2.ChoiceLoader(loaders),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quote"] = quote
    return environment
