"""The ``#SBATCH`` directives of a batch, written by simple-slurm. What simple-slurm does not check is checked here.

simple-slurm writes values unquoted, ends the process on an unknown option, accepts prefixes of options, and configures
logging when it is imported. Therefore we check values first, compare whole option names, turn its exit into our error,
and restore logging.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from scheduler.errors import ConfigError, did_you_mean

_PLAIN = re.compile(r"[\x21-\x7e][\x20-\x7e]*\Z")
_BARE = re.compile(r"[A-Za-z0-9_.,:;=@%+/\[\]|*()&!~^{}<>?-]+\Z")
"""A value that needs no quotes in a directive."""
MANAGED = {
    "job-name", "array", "output", "error", "open-mode", "no-requeue", "requeue", "time", "nodes", "ntasks",
    "cpus-per-task", "gpus-per-node", "partition", "account", "qos", "constraint", "mem", "mem-per-cpu", "mem-per-gpu",
    "chdir", "input", "wrap", "parsable", "wait", "test-only", "help", "version", "usage", "uid", "gid",
    "export-file", "get-user-env", "clusters",
}  # fmt: skip
"""Options that we set, and those with which a job could not be followed or started."""


def header(options: Mapping[str, object], native: Sequence[str], allowed: Sequence[str] = ()) -> str:
    """The directives of one batch, one per line.

    Args:
        options: long option of sbatch → value, or True for an option without a value.
        native: directives of the site or job, as on the command line of sbatch.
        allowed: options that native directives may use although simple-slurm does not know them.

    Raises:
        ConfigError: a native directive is unknown (the message names the nearest one) or sets what `scheduler`
            sets itself, or a value cannot be written as a directive.
    """
    return _header(tuple((k, _checked(k, v)) for k, v in options.items()), tuple(native), tuple(allowed))


@lru_cache(maxsize=64)
def _header(options: tuple[tuple[str, object], ...], native: tuple[str, ...], allowed: tuple[str, ...]) -> str:
    every = _with_one_exclude([*options, *(_native(text, allowed) for text in native)])
    newer = set(allowed) - set(_option_names().values()) if allowed else set[str]()
    lines = [_line(key, value) for key, value in every if key in newer]
    written = _written([pair for pair in every if pair[0] not in newer], options)
    return "\n".join([written, *lines]).strip("\n")


def _line(key: str, value: object) -> str:
    return f"#SBATCH --{key}" + ("" if value is True else f"={_quote(str(value))}")


def _written(pairs: Sequence[tuple[str, object]], options: tuple[tuple[str, object], ...]) -> str:
    """The directives of options that simple-slurm knows. `options`: those that are not native directives."""
    with _quiet():
        slurm = _simple_slurm()
        for key, value in pairs:
            try:
                slurm.add_arguments(key.replace("-", "_"), value)
            except SystemExit:
                raise ConfigError(f"#SBATCH --{key}: simple-slurm does not accept {value!r}") from None
        script = str(slurm.script())
    quoted = {key: value for key, value in pairs if value is not True and _is_quoted(key, str(value), options)}
    lines = [line.rstrip() for line in script.splitlines() if line.startswith("#SBATCH")]
    written = {f"--{key}": f"#SBATCH --{key}={_quote(str(value))}" for key, value in quoted.items()}
    return "\n".join(written.get(line.split()[1], line) for line in lines)


def _is_quoted(key: str, value: str, options: tuple[tuple[str, object], ...]) -> bool:
    """Whether we write the value ourselves: with "=", which options with an optional value need, and with quotes."""
    return key not in dict(options) or _BARE.match(value) is None


def _quote(value: str) -> str:
    """A value as sbatch reads it in a directive: it takes `#` for a comment, and removes quotes and backslashes."""
    if _BARE.match(value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _with_one_exclude(pairs: list[tuple[str, object]]) -> list[tuple[str, object]]:
    """sbatch uses only the last --exclude, so the nodes of all of them are joined: failed nodes and the user's own."""
    nodes = [str(value) for key, value in pairs if key == "exclude"]
    return [pair for pair in pairs if pair[0] != "exclude"] + ([("exclude", ",".join(nodes))] if nodes else [])


def _checked(key: str, value: object) -> object:
    """`value`, if it can be written without quotes, as a directive must be. `Resources` and `Site` check this too."""
    if value is True:
        return value
    text = str(value)
    if not _PLAIN.match(text) or text.startswith("-") or " " in text:
        raise ConfigError(
            f"#SBATCH --{key}: {text!r} cannot be written as a directive: it is empty, begins with '-', or contains a"
            " blank, a control character or a character that is not ASCII"
        )
    return text


def _native(text: str, allowed: Sequence[str]) -> tuple[str, object]:
    """Read ``--key=value``, ``--key value``, ``--key`` or ``-C value``: the long name of the option, and the value. It
    may have blanks.

    `allowed`: options that simple-slurm need not know.
    """
    match = re.match(r"(--[A-Za-z][A-Za-z0-9-]*|-[A-Za-z])(?:=|\s+|(?<=^-.)(?=.)|$)(.*)\Z", text)
    if match is None or not all(" " <= c <= "~" for c in text):
        raise ConfigError(f"native: {text!r} is not an option of sbatch")
    key, value = match[1].lstrip("-"), match[2].strip()
    names = _option_names()
    if key not in names and key not in allowed:
        do = f"; if the site's sbatch has it, add it to the site file: native_options: [{key}]" if len(key) > 1 else ""
        raise ConfigError(f"native: simple-slurm does not know {match[1]}; {did_you_mean(key, names)}{do}")
    key = names.get(key, key)
    if key in MANAGED or (key not in names and any(one.startswith(key) for one in MANAGED)):  # sbatch accepts prefixes
        raise ConfigError(f"native: {text!r} sets --{key}, which scheduler sets itself; use the key of the site or job")
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]  # as on a command line
    if value.startswith("-"):
        _checked(key, value)
    return (key, value) if value else (key, True)


@cache
def _option_names() -> Mapping[str, str]:
    """Every option name that simple-slurm knows, long or short → the long name."""
    lines = (files("simple_slurm") / "arguments.txt").read_text().splitlines()
    known = [[name.strip().replace("_", "-") for name in line.split(",")] for line in lines if line.strip()]
    return {name: names[0] for names in known for name in names}


def _simple_slurm() -> Any:
    from simple_slurm import Slurm

    return Slurm()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Undo what simple-slurm does to the process: it configures logging and writes to stderr."""
    root, level, handlers = logging.getLogger(), logging.getLogger().level, list(logging.getLogger().handlers)
    format_of_user = os.environ.pop("SQUEUE_FORMAT", None)  # simple-slurm fails if it cannot parse this one
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        if format_of_user is not None:
            os.environ["SQUEUE_FORMAT"] = format_of_user
        for added in set(root.handlers) - set(handlers):
            root.removeHandler(added)
        root.setLevel(level)
