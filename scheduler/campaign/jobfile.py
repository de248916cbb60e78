"""Job files: a YAML file that describes a job or a sweep of jobs becomes `Job` objects. They are not submitted here."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from pydantic import ValidationError

from scheduler.campaign.keys import FUNCTION, EntryKeys, FileKeys
from scheduler.campaign.named_function import NotFound, named_function
from scheduler.campaign.sweep import combinations
from scheduler.errors import ConfigError, JobError, did_you_mean
from scheduler.job.job import Job, JobType
from scheduler.schema.model import problems
from scheduler.schema.sandbox import Sandbox
from scheduler.schema.template_errors import FAULTS, explained
from scheduler.schema.yaml import laid_over, local_path, read_mapping

_JINJA = Sandbox()
_MOST_CHARACTERS = 100 << 20
"""The ids, folders, output patterns and variables of all jobs of a file."""


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> jinja2.Template:
    return _JINJA.compiled(pattern)


@dataclass(frozen=True)
class _Plan:
    """A job that is not made yet: its keys, the pattern of its id, its id without a pattern, its point of the sweep."""

    keys: EntryKeys
    id_pattern: str | None
    default_id: str
    point: Mapping[str, Any]

    @property
    def params(self) -> dict[str, Any]:
        return {**self.keys.params, **self.point}

    def __str__(self) -> str:
        """For messages: the number, and the names of the parameters without their values."""
        return f"{self.default_id} ({', '.join(self.point)})" if self.point else self.default_id


@dataclass(frozen=True)
class JobFile:
    """A job file whose keys are checked.

    Attributes:
        path: the file.
        keys: its keys and values.
    """

    path: Path
    keys: FileKeys

    @property
    def campaign(self) -> str | None:
        """The campaign of its jobs, or None if the file names none."""
        return self.keys.campaign

    def jobs(self) -> list[Job]:
        """Make new jobs: one for each combination, in the order of the file.

        Raises:
            ConfigError: a pattern, path or value is wrong, or two jobs would have the same id or the same folder; the
                message names the file and the key.
        """
        ids: dict[str, _Plan] = {}
        folders: dict[str, str] = {}
        jobs, size = [], 0
        for plan in self._plans():
            job = self._job(plan)
            size += sum(map(len, [job.job_id, job.working_dir, *job.output_files, *job.env_vars.values()]))
            if size > _MOST_CHARACTERS:
                raise self._wrong(f"its patterns make more than {_MOST_CHARACTERS >> 20} million characters of text")
            if job.job_id in ids:
                raise self._wrong(
                    f"id: {job.job_id!r} would be the id of two jobs: {ids[job.job_id]} and {plan}; "
                    "put a parameter that differs into the pattern"
                )
            if job.working_dir in folders:
                both = f"{folders[job.working_dir]!r} and {job.job_id!r}"
                raise self._wrong(
                    f"working_dir: {both} would have the same folder {job.working_dir}; "
                    "put {{ job_id }} into the pattern"
                )
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
        """Each entry of `jobs:` merged over `job:`; without `jobs:` one entry, `job:` itself."""
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
        outputs = [self._filled(p, known, key="output_files") for p in keys.output_files]
        try:
            return Job(
                job_id,
                JobType(keys.type),
                function=self._function(keys.function),
                script_path=self._local(keys.script_path),
                container_image=keys.container_image,
                container_command=keys.container_command,
                params=params,
                env_vars={n: self._filled(v, known, key=f"env_vars.{n}") for n, v in keys.env_vars.items()},
                working_dir=self._working_dir(keys.working_dir, known),
                output_files=outputs,
                resources=keys.resources,
                input_files=self._inputs(keys.input_files),
                arguments=keys.arguments,
                retry=keys.retry,
                template=self._local(keys.template),
            )
        except JobError as error:
            message = str(error)
            for made, pattern in zip(outputs, keys.output_files, strict=True):  # which may contain a param
                message = message.replace(repr(made), repr(pattern))
            raise self._wrong(message) from None

    def _filled(self, pattern: str, params: Mapping[str, Any], *, key: str) -> str:
        try:
            return _JINJA.render(_compiled(pattern), params)
        except FAULTS as error:
            raise self._wrong(f"{key}: {_why(error, pattern, params, key)}") from None

    def _working_dir(self, own: str | None, params: Mapping[str, Any]) -> str | None:
        """The folder, relative to the current directory. Only the pattern may lead elsewhere by ``..`` or
        a leading ``/``, not a parameter."""
        pattern = own if own is not None else self.keys.working_dir
        if pattern is None:
            return None
        folder = self._filled(pattern, params, key="working_dir")
        leads_out = ".." in folder.split("/") and ".." not in pattern.split("/")
        if not folder or "\0" in folder or leads_out or (folder.startswith("/") and not pattern.startswith("/")):
            raise self._wrong(
                f"working_dir: {pattern[:60]!r} is not a folder: it is empty, or a parameter puts '..', a NUL or a"
                " leading '/' into it; write '..' and '/' into the pattern itself"
            )
        return folder if pattern.startswith("~") else folder.replace("~", "./~", 1) if folder[0] == "~" else folder

    def _local(self, path: str | None) -> Path | None:
        """A path that is relative to the job file, as an absolute path."""
        return None if path is None else local_path(path, beside=self.path)

    def _inputs(self, inputs: list[str] | Mapping[str, str]) -> list[Path] | dict[str, Path]:
        if isinstance(inputs, Mapping):
            return {name: local_path(path, beside=self.path) for name, path in inputs.items()}
        return [local_path(path, beside=self.path) for path in inputs]

    def _function(self, text: str | None) -> Callable[..., Any] | None:
        found = FUNCTION.match(text) if text is not None else None
        if found is None:
            return None
        try:
            return named_function(found["module"], found["name"], beside=self.path)
        except NotFound as problem:
            raise self._wrong(f"job.function: {problem}") from problem

    def _wrong(self, problem: str) -> ConfigError:
        return ConfigError(f"{self.path}: {problem}")


def _why(error: BaseException, pattern: str, params: Mapping[str, Any], key: str) -> str:
    """What is wrong with a pattern. The pattern of a variable is its value, and is not quoted."""
    secret = key.startswith("env_vars")
    text = explained(error, source=None if secret else pattern)
    unknown = re.match(r"'(\w+)' is undefined", str(error)) if isinstance(error, jinja2.UndefinedError) else None
    if unknown:
        return f"{unknown[0]}; {did_you_mean(unknown[1], params)}"
    return text if secret else f"{pattern[:60]!r}: {text}"


def read_job_file(path: str | Path) -> JobFile:
    """Read the job file at `path` and check its keys. `JobFile.jobs` makes the jobs.

    Raises:
        ConfigError: it cannot be read, is not valid YAML, or has an unknown key (with the nearest known one) or a wrong
            value; the message names the file and the key.
    """
    path = local_path(path)
    try:
        return JobFile(path, FileKeys(**read_mapping(path)))
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {line}" for line in problems(error, FileKeys))) from error
