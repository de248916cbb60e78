"""The checks of a Job's fields, made when the Job is created. They look whether files exist; they run nothing."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from scheduler.errors import ConfigError, JobError
from scheduler.job import declared_outputs, patterns
from scheduler.job.interface import JobType
from scheduler.quoting import quote_path

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_OURS = ("JOB_ID", "JOB_DIR", "JOB_PARAMS_FILE", "bundle", "element", "control", "shared", "dir", "image")
_OF_THE_SHELL = ("UID", "EUID", "PPID", "SHELLOPTS", "BASHOPTS", "BASH_VERSINFO")
RESERVED_NAMES = (*_OURS, *_OF_THE_SHELL)
"""Variables that the job's script sets itself, or that a shell does not allow to be set."""
NAME_BYTES, PATH_BYTES = 255, 4000
VARIABLE_BYTES = 128 << 10  # Linux: MAX_ARG_STRLEN, with the NUL
JOB_ID_BYTES = 200  # file systems allow 255 bytes; the rest is for our suffixes


class Job(Protocol):
    """The fields of a `scheduler.Job` that are read here: that class uses this module."""

    job_id: str
    job_type: JobType
    function: Callable[..., Any] | None
    script_path: str | None
    container_image: str | None
    container_command: str | None
    params: dict[str, Any]
    working_dir: str
    arguments: list[str]
    template: str | None


def checked_job_id(job_id: object) -> str:
    """`job_id`, if it can be the name of a folder.

    Raises:
        JobError: it cannot.
    """
    if not isinstance(job_id, str):
        raise JobError(f"job_id must be a string, not {type(job_id).__name__}: {job_id!r}")
    if job_id in ("", ".", "..") or "/" in job_id or "\0" in job_id:
        raise JobError(
            f"job_id {job_id!r} cannot be the name of a folder: it must not be empty, '.' or '..', or have a '/' or NUL"
        )
    _refuse_surrogates(job_id, "job_id")
    length = len(job_id.encode())
    if length > JOB_ID_BYTES:
        raise JobError(f"job_id {job_id[:40]!r}… has {length} bytes; at most {JOB_ID_BYTES} are allowed")
    return job_id


def checked_params(params: object, job_id: str) -> dict[str, Any]:
    """The params as a new mapping.

    Raises:
        JobError: they are no mapping of names to values.
    """
    if not isinstance(params, Mapping):
        kind = type(params).__name__
        raise JobError(f"job {job_id!r}: params must be a mapping of names to values, not a {kind}")
    return dict(params)


def checked_environment(variables: Mapping[str, Any], job_id: str) -> dict[str, str]:
    """The variables, with numbers as text.

    Raises:
        JobError: a name that a shell cannot export or that is reserved, or a value with a NUL.
    """
    if not isinstance(variables, Mapping):
        kind = type(variables).__name__
        raise JobError(f"job {job_id!r}: env_vars must be a mapping of names to values, not a {kind}")
    for name, value in variables.items():
        if not isinstance(name, str) or not _NAME.match(name):
            raise JobError(
                f"job {job_id!r}: env_vars: {name!r} is not a valid name of a variable; use letters, digits and '_'"
            )
        if name in RESERVED_NAMES:
            whose = "the shell" if name in _OF_THE_SHELL else "the job's own script"
            raise JobError(f"job {job_id!r}: env_vars: {name} is set by {whose}; choose another name")
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise JobError(f"job {job_id!r}: env_vars: {name} must be text or a number, not a {type(value).__name__}")
        if "\0" in str(value):
            raise JobError(f"job {job_id!r}: env_vars: {name} contains a NUL, which is not possible in an environment")
        _refuse_surrogates(str(value), f"job {job_id!r}: env_vars: {name}")
        if len(f"{name}={value}".encode()) >= VARIABLE_BYTES:
            most = VARIABLE_BYTES >> 10
            raise JobError(f"job {job_id!r}: env_vars: {name} is larger than {most} kB, which no program can get")
    return {name: str(value) for name, value in variables.items()}


def checked_patterns(patterns: Iterable[str], job_id: str) -> list[str]:
    """The output patterns, with their braces expanded.

    Raises:
        JobError: a pattern that is absolute, leads out of the job's folder, or holds what only a shell would expand.
    """
    if isinstance(patterns, (str, bytes)):
        raise JobError(f"job {job_id!r}: output_files must be a list of patterns, not one string: {patterns!r}")
    return list(dict.fromkeys(one for pattern in patterns for one in _checked_pattern(pattern, job_id)))


def _checked_pattern(pattern: object, job_id: str) -> list[str]:
    text = _inside(pattern, job_id, field="output_files")
    try:
        return declared_outputs.expanded(text)
    except ValueError as error:
        raise JobError(f"job {job_id!r}: output_files: {text[:200]!r}: {error}") from None


def checked_inputs(
    inputs: Iterable[str | os.PathLike[str]] | Mapping[str, str | os.PathLike[str]], job_id: str
) -> dict[str, Path]:
    """The inputs: name in the job's folder → absolute local path.

    Raises:
        JobError: a path that does not exist, or a name that is given twice or leads out of the job's folder.
    """
    if isinstance(inputs, (str, bytes, os.PathLike)):
        raise JobError(f"job {job_id!r}: input_files must be a list or a mapping, not one path: {inputs!r}")
    pairs = inputs.items() if isinstance(inputs, Mapping) else [(Path(p).name, p) for p in inputs]
    checked: dict[str, Path] = {}
    for name, path in pairs:
        name = str(PurePosixPath(_inside(name, job_id, field="input_files")))
        if name in checked:
            raise JobError(
                f"job {job_id!r}: input_files: {name!r} is the name of two of them; give a mapping with other names"
            )
        _refuse_no_path(os.fsdecode(path), f"job {job_id!r}: input_files")
        if not Path(path).exists():
            raise JobError(f"job {job_id!r}: input_files: {str(path)!r} does not exist")
        checked[name] = Path(path).absolute()
    return checked


def _inside(name: object, job_id: str, *, field: str) -> str:
    text = os.fspath(name) if isinstance(name, (str, os.PathLike)) else None
    if not isinstance(text, str) or text in ("", ".") or "\0" in text:
        raise JobError(f"job {job_id!r}: {field}: {name!r} is not a relative path")
    _refuse_surrogates(text, f"job {job_id!r}: {field}")
    if text.startswith("/") or ".." in text.split("/"):
        raise JobError(f"job {job_id!r}: {field}: {text!r} leads out of the job's folder")
    return text


def _refuse_surrogates(text: str, where: str) -> None:
    """Names of files and variables may contain any bytes, but scripts and the ledger are UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise JobError(f"{where}: it is not valid Unicode text") from None


def _refuse_no_path(path: str, where: str) -> None:
    """Reject what no file system accepts as a path, with a short message."""
    _refuse_surrogates(path, where)
    if "\0" in path or any(len(part.encode()) > NAME_BYTES for part in path.split("/")) or len(path) > PATH_BYTES:
        raise JobError(
            f"{where}: {path!r:.80} cannot be a path: it contains a NUL or a name of more than {NAME_BYTES} bytes"
        )


def check(job: Job) -> None:
    """Check the fields together.

    Raises:
        JobError: a field is missing, names a file that does not exist, or does not belong to this type of job.
    """
    for path, field in [(job.working_dir, "working_dir"), (job.script_path, "script_path"), (job.template, "template")]:
        if path is not None:
            _refuse_no_path(path, f"job {job.job_id!r}: {field}")
    _CHECKS[job.job_type](job)
    if job.container_image:
        _check_image(job.container_image, f"job {job.job_id!r}: container_image")
    if job.template is not None and not Path(job.template).is_file():
        raise JobError(f"job {job.job_id!r}: template {job.template!r} does not exist")
    if any("\0" in a for a in job.arguments):
        raise JobError(f"job {job.job_id!r}: arguments: an argument of a program cannot contain a NUL")
    for text in job.arguments:
        _refuse_surrogates(text, f"job {job.job_id!r}: arguments")
    folder = Path(job.working_dir)
    if patterns.leads_into_git(job.working_dir):
        raise JobError(
            f"job {job.job_id!r}: working_dir {job.working_dir!r} is in a .git folder; no output is written into one"
        )
    if folder.exists() and not folder.is_dir():
        raise JobError(
            f"job {job.job_id!r}: working_dir {job.working_dir!r} is not a folder; outputs are downloaded to it"
        )


def _check_function(job: Job) -> None:
    if not callable(job.function):
        raise JobError(f"job {job.job_id!r}: a FUNCTION job needs function=, a callable")
    if any(not isinstance(name, str) for name in job.params):
        raise JobError(f"job {job.job_id!r}: params: the names of a function's arguments must be strings")
    if job.arguments:
        raise JobError(f"job {job.job_id!r}: arguments belong to scripts and containers; a function has params")


def _check_script(job: Job) -> None:
    if job.script_path is None:
        raise JobError(f"job {job.job_id!r}: a SCRIPT job needs script_path=")
    path = Path(job.script_path)
    if not path.is_file():
        raise JobError(f"job {job.job_id!r}: script_path {job.script_path!r} is not a local file")
    if path.suffix not in (".sh", ".py") and not _has_interpreter(path):
        raise JobError(
            f"job {job.job_id!r}: script_path {job.script_path!r} has no interpreter: "
            "its name must end in .sh or .py, or its first line must begin with '#!'"
        )
    params_as_json(job)


def _has_interpreter(path: Path) -> bool:
    with path.open("rb") as script:
        return script.read(2) == b"#!"


def _check_container(job: Job) -> None:
    if not job.container_image:
        raise JobError(f"job {job.job_id!r}: a CONTAINER job needs container_image=")
    if job.container_command is not None and job.arguments:
        raise JobError(
            f"job {job.job_id!r}: arguments are for the image's own run script; write them into container_command"
        )
    params_as_json(job)


def _check_image(image: str, what: str) -> None:
    if any(ord(c) < 32 or ord(c) == 127 for c in image) or image.startswith("-"):
        raise JobError(f"{what} {image!r} is not a path or address of an image")
    try:
        quote_path(image, what=what)
    except ConfigError as error:
        raise JobError(str(error)) from None


_CHECKS = {JobType.FUNCTION: _check_function, JobType.SCRIPT: _check_script, JobType.CONTAINER: _check_container}


def params_as_json(job: Job) -> bytes:
    """The content of the job's params file. numpy's scalars and arrays become numbers and lists.

    Raises:
        JobError: JSON cannot hold a param; the message names it.
    """
    for name, value in job.params.items():
        try:
            json.dumps({name: value}, default=_plain)
        except (TypeError, ValueError, RecursionError) as error:
            raise JobError(f"job {job.job_id!r}: params: JSON cannot hold {name!r}: {_why(value, error)}") from None
    return json.dumps(job.params, default=_plain).encode()


def _why(value: object, error: Exception) -> str:
    """What is wrong with a param, without its value."""
    return str(error) if isinstance(error, TypeError) else f"a {type(value).__name__} that contains itself or no number"


_TABLES = ("pandas", "polars", "xarray", "pyarrow")
"""Packages whose objects have an index, names or types of columns, which ``tolist`` would lose."""


def _plain(value: object) -> object:
    if not {kind.__module__.partition(".")[0] for kind in type(value).__mro__}.isdisjoint(_TABLES):
        raise TypeError(f"a {type(value).__name__} has an index, names or types that it would lose; give its contents")
    for method in ("tolist", "item"):  # numpy's arrays and scalars, without importing numpy
        convert = getattr(value, method, None)
        if callable(convert):
            return convert()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"a {type(value).__name__} is not a number, text, list or mapping")
