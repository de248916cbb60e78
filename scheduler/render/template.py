"""Which template makes a job's script, and what is said when it is wrong. What it is filled with is in `render.py`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from scheduler.errors import ConfigError, JobError
from scheduler.quoting import quote
from scheduler.site.packaged import packaged_folder
from scheduler.site.site import Site


class OfAJob(Protocol):
    """As much of a job as is needed here."""

    @property
    def job_id(self) -> str: ...
    @property
    def template(self) -> str | None: ...


def template_for(job: OfAJob, site: Site) -> jinja2.Template:
    """The job's own template, else the site's, else that of its batch system.

    Raises:
        ConfigError: it does not exist, or its syntax is wrong.
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


def rendered(template: jinja2.Template, context: Mapping[str, Any], job: OfAJob) -> str:
    """A script.

    Raises:
        ConfigError: the template fails, and where.
        JobError: a value cannot stand in a script.
    """
    try:
        return template.render(context)
    except JobError:
        raise
    except jinja2.TemplateNotFound as error:
        name = template.filename or template.name
        raise ConfigError(
            f"template {name}, job {job.job_id!r}: extends or includes {error}, which is not there"
        ) from None
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise ConfigError(f"template {template.filename or template.name}, job {job.job_id!r}: {error}") from None


def expect_ours(template: jinja2.Template, script: str, words: str) -> None:
    """Without what our templates say, a job would run and never prove its end."""
    if words not in script:
        name = f"template {template.filename}"
        raise ConfigError(f"{name}: does not extend one of ours, as a template must ({words!r} is missing)")


_OWN = "own"
"""The folder under which an environment has the user's templates: one of theirs may have the name that it extends."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """A template makes text. It cannot reach Python, and of what it is given it calls nothing of ours."""

    def is_safe_callable(self, obj: Any) -> bool:
        ours = str(getattr(obj, "__module__", "")).partition(".")[0] == __name__.partition(".")[0]
        return not ours and super().is_safe_callable(obj)


@cache
def _environment(folder: str | None) -> jinja2.Environment:
    loaders: list[jinja2.BaseLoader] = [jinja2.FileSystemLoader(packaged_folder("templates"))]
    if folder is not None:
        theirs = jinja2.FileSystemLoader(folder)
        loaders += [jinja2.PrefixLoader({_OWN: theirs}), theirs]
    environment = _Sandbox(
        loader=jinja2.ChoiceLoader(loaders),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quote"] = quote
    return environment
