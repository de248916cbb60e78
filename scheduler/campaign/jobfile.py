"""Job files: one YAML file that describes a job, or a sweep of them, becomes `Job` objects, not submitted."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import SandboxedEnvironment
from pydantic import ValidationError

from scheduler.campaign.keys import FUNCTION, EntryKeys, FileKeys
from scheduler.campaign.sweep import combinations
from scheduler.errors import ConfigError, JobError, did_you_mean
from scheduler.job.job import Job, JobType
from scheduler.schema.model import problems
from scheduler.schema.yaml import laid_over, path_here, read_mapping

_JINJA = SandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=True)


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> jinja2.Template:
    return _JINJA.from_string(pattern)


@dataclass(frozen=True)
class _Plan:
    """One job to be: its keys, its id as a pattern and without one, and where in the sweep it stands."""

    keys: EntryKeys
    id_pattern: str | None
    default_id: str
    point: Mapping[str, Any]

    @property
    def params(self) -> dict[str, Any]:
        return {**self.keys.params, **self.point}

    def __str__(self) -> str:
        return ", ".join(f"{name}={value!r:.40}" for name, value in self.point.items()) or self.default_id


@dataclass(frozen=True)
class JobFile:
    """A job file that was read and whose keys are good.

    Attributes:
        path: the file.
        keys: what it says.
    """

    path: Path
    keys: FileKeys

    @property
    def campaign(self) -> str | None:
        """The name of the campaign that its jobs belong to, if it gives one."""
        return self.keys.campaign

    def jobs(self) -> list[Job]:
        """New jobs, one for each combination, in the order written.

        Raises:
            ConfigError: a pattern, a path or a value makes no good job, or two jobs would have one id or one
                folder; the message names the file and the key.
        """
        ids: dict[str, _Plan] = {}
        folders: dict[str, str] = {}
        jobs = []
        for plan in self._plans():
            job = self._job(plan)
            if job.job_id in ids:
                raise self._wrong(
                    f"id: {job.job_id!r} would be two jobs: {ids[job.job_id]} and {plan}; "
                    "put what differs into the pattern"
                )
            if job.working_dir in folders:
                both = f"{folders[job.working_dir]!r} and {job.job_id!r}"
                raise self._wrong(f"working_dir: {both} would come home to one folder, {job.working_dir}")
            ids[job.job_id], folders[job.working_dir] = plan, job.job_id
            jobs.append(job)
        return jobs

    def _plans(self) -> Iterator[_Plan]:
        try:
            points = combinations(self.keys.matrix, self.keys.zip)
        except ValueError as error:
            raise self._wrong(f"matrix: {error}") from None
        entries = list(self._entries())
        for number, (entry, point) in enumerate(((e, p) for e in entries for p in points), start=1):
            numbered = f"{self.path.stem}-{number:04}" if len(entries) * len(points) > 1 else self.path.stem
            yield _Plan(entry, entry.id if entry.id is not None else self.keys.id, numbered, point)

    def _entries(self) -> Iterator[EntryKeys]:
        """Each of `jobs:` over `job:`, or `job:` alone."""
        common = self.keys.job.model_dump(exclude_unset=True)
        for entry in self.keys.jobs if self.keys.jobs is not None else [EntryKeys()]:
            yield EntryKeys(**laid_over(common, entry.model_dump(exclude_unset=True)))

    def _job(self, plan: _Plan) -> Job:
        keys, params = plan.keys, plan.params
        if keys.type is None:
            raise self._wrong("job.type: is missing; it must be one of 'function', 'script' or 'container'")
        job_id = plan.default_id
        if plan.id_pattern is not None:
            job_id = self._filled(plan.id_pattern, params, key="id")
        known = {"job_id": job_id, **params}
        try:
            return Job(
                job_id,
                JobType(keys.type),
                function=self._function(keys.function),
                script_path=self._near(keys.script_path),
                container_image=keys.container_image,
                container_command=keys.container_command,
                params=params,
                env_vars={n: self._filled(v, known, key=f"env_vars.{n}") for n, v in keys.env_vars.items()},
                working_dir=self._working_dir(keys.working_dir, known),
                output_files=[self._filled(p, known, key="output_files") for p in keys.output_files],
                resources=keys.resources,
                input_files=self._inputs(keys.input_files),
                arguments=keys.arguments,
                retry=keys.retry,
                template=self._near(keys.template),
            )
        except JobError as error:
            raise self._wrong(str(error)) from error

    def _filled(self, pattern: str, params: Mapping[str, Any], *, key: str) -> str:
        try:
            return _compiled(pattern).render(params)
        except jinja2.UndefinedError as error:
            _, name, rest = f"{error}''".split("'", 2)
            near = did_you_mean(name, params) if rest.startswith(" is undefined") else pattern[:60]
            raise self._wrong(f"{key}: {error}; {near}") from None
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
            raise self._wrong(f"{key}: {pattern[:60]!r}: {error}") from None

    def _working_dir(self, own: str | None, params: Mapping[str, Any]) -> str | None:
        """Relative to the current directory; a parameter cannot lead upwards, only the pattern itself can."""
        pattern = own if own is not None else self.keys.working_dir
        if pattern is None:
            return None
        folder = self._filled(pattern, params, key="working_dir")
        if not folder or "\0" in folder or (".." in folder.split("/") and ".." not in pattern.split("/")):
            raise self._wrong(f"working_dir: {folder[:60]!r} is no folder that parameters may lead to")
        return folder

    def _near(self, path: str | None) -> Path | None:
        """A path that is relative to the job file, and not to the current directory."""
        return None if path is None else path_here(path, beside=self.path)

    def _inputs(self, inputs: list[str] | Mapping[str, str]) -> list[Path] | dict[str, Path]:
        if isinstance(inputs, Mapping):
            return {name: path_here(path, beside=self.path) for name, path in inputs.items()}
        return [path_here(path, beside=self.path) for path in inputs]

    def _function(self, text: str | None) -> Callable[..., Any] | None:
        found = FUNCTION.match(text) if text is not None else None
        if found is None:
            return None
        try:
            module = self._module(found["module"])
        except (ImportError, SyntaxError) as error:
            raise self._wrong(f"job.function: cannot import {found['module']!r}: {error}") from error
        function = getattr(module, found["name"], None)
        if not callable(function):
            known = [name for name, value in vars(module).items() if callable(value) and name[0] != "_"]
            near = did_you_mean(found["name"], known)
            raise self._wrong(f"job.function: {found['module']!r} has no function {found['name']!r}; {near}")
        return function  # type: ignore[no-any-return]

    def _module(self, name: str) -> Any:
        """A module by its name; ``path.py`` by its file, whose folder is then searched for imports, too."""
        if not name.endswith(".py"):
            return importlib.import_module(name)
        file = path_here(name, beside=self.path)
        if not file.is_file():
            raise self._wrong(f"job.function: there is no file {file}")
        folder = str(file.parent)
        if folder not in sys.path:
            sys.path.append(folder)  # last, so that it hides nothing
        module = importlib.import_module(file.stem)
        if not file.samefile(getattr(module, "__file__", None) or folder):
            raise self._wrong(f"job.function: another module is called {file.stem!r} already; rename {file}")
        return module

    def _wrong(self, problem: str) -> ConfigError:
        return ConfigError(f"{self.path}: {problem}")


def read_job_file(path: str | Path) -> JobFile:
    """The job file at `path`; its keys are checked, its jobs not made yet.

    Raises:
        ConfigError: it cannot be read, is no YAML, or has an unknown key (with the nearest known one) or a
            wrong value; the message names the file and the key.
    """
    path = path_here(path)
    try:
        return JobFile(path, FileKeys(**read_mapping(path)))
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {line}" for line in problems(error, FileKeys))) from error
