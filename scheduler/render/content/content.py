"""The content of a job: what it is the same job by. It has named parts, each as text or a digest.

Parts are type, params, arguments, command, script, function, image, variables, inputs, outputs and template. Site,
resources and working_dir are not content: the same job may run elsewhere, with more memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import PurePath
from typing import Any

from scheduler.job.job import Job, JobType
from scheduler.job.validation import params_as_json
from scheduler.render.content.closure import needed_source
from scheduler.render.content.file_digests import FileDigests
from scheduler.render.function import Unfit
from scheduler.render.function.pack import Packer
from scheduler.render.function.params import plain_params

_SIGN = "#"
"""Begins a digest, and no text of a value."""
CANNOT_TELL = "function: it is sent by cloudpickle, so that it cannot be told whether it is the same"

_as_json = json.JSONEncoder(sort_keys=True).encode
Part = str | None | Mapping[str, str]
"""A value as JSON, a digest, several of them by name, or None: it cannot be told."""


@dataclass(frozen=True)
class Content:
    """The content of a job.

    Attributes:
        parts: name → part. A part that is empty is left out.
        paths: local path of a file of the user → its digest among the parts. Where a file is, is not content.
    """

    parts: Mapping[str, Part] = field(repr=False)
    paths: Mapping[str, str] = field(default_factory=dict, repr=False)

    @cached_property
    def text(self) -> str:
        """The parts as one line."""
        return _as_json(self.parts)

    @cached_property
    def digest(self) -> str:
        """The digest of all parts."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def is_certain(self) -> bool:
        """Whether an equal digest proves that the content is the same."""
        return None not in self.parts.values()


class Contents:
    """Finds the contents of the jobs of one submission. What they share is examined once.

    Make a new one for each submission: it keeps functions and files as they were when they were examined first.

    Args:
        files: digests of files.

    Attributes:
        files: the same.
        packer: of the functions: the bundle must be made with it, so that it has the sources that were examined.
    """

    def __init__(self, files: FileDigests) -> None:
        self.files, self.packer = files, Packer()
        self._functions: dict[int, tuple[object, str | None]] = {}  # by id, with the function: so its id stays its own

    def of(self, job: Job) -> Content:
        """The content of a job as it is now.

        Raises:
            JobError: one of its files cannot be read, its params are not possible, or its function cannot be sent.
        """
        what = f"job {job.job_id!r}"
        parts: dict[str, Part] = {"type": job.job_type.value, "params": self._params(job)}
        parts["arguments"] = _shown(job.arguments) if job.arguments else ""
        parts["outputs"] = _as_json(job.output_files) if job.output_files else ""
        parts["variables"] = {name: _digest(value) for name, value in job.env_vars.items()}
        parts["inputs"] = {
            name: _SIGN + self.files.of(path, what=f"{what}: input_files") for name, path in job.input_files.items()
        }
        if job.template is not None:
            parts["template"] = _SIGN + self.files.of(job.template, what=f"{what}: template")
        if job.container_image is not None:
            parts["image"] = _as_json(job.container_image)
        kept = {name: part for name, part in parts.items() if part or part is None}
        return Content(kept | self._payload(job, what), self._paths(job))

    def _paths(self, job: Job) -> Mapping[str, str]:
        named = [job.template, job.script_path if job.job_type is JobType.SCRIPT else None]
        paths = [*(one for one in named if one is not None), *map(str, job.input_files.values())]
        return {path: self.files.of(path, what=f"job {job.job_id!r}") for path in paths}

    def _payload(self, job: Job, what: str) -> dict[str, Part]:
        if job.job_type is JobType.FUNCTION and job.function is not None:
            return {"function": self._function(job, job.function)}
        if job.job_type is JobType.SCRIPT and job.script_path is not None:
            digest = self.files.of(job.script_path, what=f"{what}: script_path")
            return {"script": f"{_SIGN}{PurePath(job.script_path).suffix} {digest}"}
        return {} if job.container_command is None else {"command": _digest(job.container_command)}

    def _params(self, job: Job) -> dict[str, str]:
        if job.job_type is JobType.FUNCTION:
            try:
                return {name: _shown(value) for name, value in plain_params(job.params).items()}
            except Unfit:
                return {name: _shown_if_plain(name, value) for name, value in job.params.items()}
        plain = json.loads(params_as_json(job)) if _has_own_types(job.params) else job.params
        return {name: _shown(value) for name, value in plain.items()}

    def _function(self, job: Job, function: Callable[..., Any]) -> str | None:
        inner = getattr(function, "__qualname__", "<locals>")
        if "<" in inner or not _is_plain(job.params):  # a lambda, or a function in a function
            return None
        if id(function) not in self._functions:
            self._functions[id(function)] = (function, self._packed(job, function))
        return self._functions[id(function)][1]

    def _packed(self, job: Job, function: Callable[..., Any]) -> str | None:
        packed = self.packer.pack(function, job.params, job_id=job.job_id)
        if packed.how != "source":
            return None
        call = json.loads(packed.files["function/call.json"])
        source = needed_source(packed.whole, call["module"], call["qualname"].partition(".")[0])
        module = "" if packed.whole else call["module"]
        return _digest(_as_json([module, call["qualname"], call["values"], source]))


def differences(here: Content, recorded: Mapping[str, Part]) -> Iterator[str]:
    """What differs between the content of a job and the recorded parts of another one, part by part."""
    for name in sorted({*here.parts, *recorded}):
        ours, theirs = here.parts.get(name, ""), recorded.get(name, "")
        if ours is None or theirs is None:
            yield CANNOT_TELL
        elif isinstance(ours, Mapping) or isinstance(theirs, Mapping):
            yield from _differences_by_name(name, ours or {}, theirs or {})
        elif ours != theirs:
            yield f"{name}{_difference(ours, theirs)}"


def _differences_by_name(part: str, ours: object, theirs: object) -> Iterator[str]:
    if not isinstance(ours, Mapping) or not isinstance(theirs, Mapping):
        yield f"{part} differs"
        return
    for name in sorted({*ours, *theirs}):
        one, other = ours.get(name, ""), theirs.get(name, "")
        if one != other:
            yield f"{part}: {name}{_difference(one, other)}"


def _difference(ours: str, theirs: str) -> str:
    if not ours or not theirs:
        return " is only here" if ours else " is only in the record"
    if _SIGN in (ours[0], theirs[0]):
        return " differs"
    return f" {ours} here, {theirs} in the record"


def _shown(value: object) -> str:
    """A value that no secret can be, as text; any other as its digest: it is recorded in the ledger."""
    text = _as_json(value)
    return text if isinstance(value, int | float | None) else _digest(text)


@lru_cache(maxsize=1 << 10)
def _digest(text: str) -> str:
    return _SIGN + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _has_own_types(params: Mapping[str, Any]) -> bool:
    return any(type(value) not in (int, float, str, bool, type(None)) for value in params.values())


def _is_plain(params: Mapping[str, Any]) -> bool:
    try:
        plain_params(params)
    except Unfit:
        return False
    return True


def _shown_if_plain(name: str, value: object) -> str:
    """A param of a function that is sent by cloudpickle: it is compared only if JSON can hold it."""
    try:
        return _shown(plain_params({name: value})[name])
    except Unfit:
        return _SIGN
