"""The ``#PBS`` directives of a batch: the requested resources as options of qsub.

A directive cannot be quoted, so a value that cannot be written plainly is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from scheduler.batch.request import BatchRequest
from scheduler.errors import ConfigError

if TYPE_CHECKING:
    from scheduler.job.resources import Resources

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]{0,229}\Z")
"""The names that qsub accepts. Only older servers insist on a letter as the first character."""
_CHUNK = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=[A-Za-z0-9_.+-]+(:[A-Za-z_][A-Za-z0-9_]*=[A-Za-z0-9_.+-]+)*\Z")
_NATIVE = re.compile(r"-([A-Za-z])(?: *([A-Za-z0-9_.,:+@=/^%()\[\]-]+))?\Z")
_ITEM = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*(=[^,]*)?\Z")

OWN_KEY = {"A": "account", "q": "queue", "l select": "cpus, memory, gpus, nodes, tasks, constraint",
           "l walltime": "walltime", "l ncpus": "cpus", "l mem": "memory", "l ngpus": "gpus", "l nodes": "nodes",
           "l mpiprocs": "tasks", "l nodect": "nodes"}  # fmt: skip
"""Directives that we write from a key of the site or job → that key."""
MANAGED = frozenset([*"NoejJkRrSVvzIXCf", "W block", "W umask", "W sandbox", *OWN_KEY])
"""Directives that we write, and those with which a job would have no id, no log or no end of qsub."""
PASSED_ON = frozenset("achlmMpPW")
"""Options of qsub that a native directive may set."""


def header(request: BatchRequest) -> str:
    """The directives of one batch, one per line.

    Raises:
        ConfigError: a value cannot be written as a directive, PBS does not support it, or a native directive is unknown
            or sets what `scheduler` sets itself.
    """
    return "\n".join(f"#PBS {line}" for line in _lines(request))


def _lines(request: BatchRequest) -> Iterator[str]:
    want, array = request.resources, request.count > 1
    if not _NAME.match(request.name):
        raise ConfigError(f"#PBS -N: {request.name!r} is not a name that qsub accepts")
    if want.qos:
        raise ConfigError(f"qos: PBS has none ({want.qos!r}); use a queue or a native directive instead")
    yield f"-N {request.name}"
    yield "-j oe"
    yield f"-o batches/{request.first}/log.{'^array_index^' if array else '0'}"
    # qsub refuses an array that is not rerunable. A single job is not: only our own retries start it once more.
    yield from (f"-J 0-{request.count - 1}", "-r y") if array else ("-r n",)
    native = [_native(text) for text in want.native]
    yield f"-l select={select(want, memory=request.memory_style != 'omit')}"
    if (want.nodes or 1) > 1 and not any(name == "l place" for names, _ in native for name in names):
        yield "-l place=scatter"
    if want.walltime is not None:
        yield f"-l walltime={walltime(want.walltime)}"
    yield from (f"-{letter} {value}" for letter, value in (("A", want.account), ("q", want.queue)) if value)
    yield from (text for _, text in native)


def select(want: Resources, *, memory: bool) -> str:
    """One chunk for each node: ``2:ncpus=4:mpiprocs=2:mem=8192mb:ngpus=1:system=polaris``.

    Args:
        want: the requested resources. ``ncpus`` is the number of cores of all tasks on a node; without it a chunk gets
            the site's default.
        memory: whether memory is requested.

    Raises:
        ConfigError: the constraint is not a list of ``name=value``.
    """
    if want.constraint and not _CHUNK.match(want.constraint):
        raise ConfigError(f"constraint: {want.constraint!r} must be in the form of select, such as system=polaris")
    nodes, tasks = want.nodes or 1, want.tasks
    if tasks is not None and tasks % nodes:
        more, few = tasks % nodes, tasks // nodes
        parts = [_chunk(want, more, few + 1, memory=memory)]
        return "+".join(parts + ([_chunk(want, nodes - more, few, memory=memory)] if few else []))
    return _chunk(want, nodes, tasks and tasks // nodes, memory=memory)


def _chunk(want: Resources, count: int, tasks: int | None, *, memory: bool) -> str:
    cores = (want.cpus or 1) * (tasks or 1) if want.cpus or tasks else None
    pairs = {
        "ncpus": cores,
        "mpiprocs": tasks,
        "mem": f"{want.memory_mib}mb" if memory and want.memory_mib is not None else None,
        "ngpus": want.gpus or None,
    }
    parts = [f"{key}={value}" for key, value in pairs.items() if value is not None]
    return ":".join([str(count), *parts, *([want.constraint] if want.constraint else [])])


def walltime(time: timedelta) -> str:
    """``HH:MM:SS``: qsub accepts no days."""
    minutes, seconds = divmod(int(time.total_seconds()), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


def _native(text: str) -> tuple[list[str], str]:
    """What a native directive sets (``l place``, ``m``), and the directive in the form that qsub reads."""
    match = _NATIVE.match(text)
    if match is None:
        raise ConfigError(f"native: {text!r} is not a directive of qsub, such as '-l filesystems=home:eagle'")
    letter, value = match[1], match[2] or ""
    names = [letter]
    if letter in "lW":
        items = value.split(",")
        names = [f"{letter} {item.partition('=')[0]}" for item in items]
        if not all(_ITEM.match(item) for item in items):
            raise ConfigError(f"native: {text!r} must be '-{letter} name=value'; separate several with commas")
    for name in names:
        if name in MANAGED:
            own = f"use the key {OWN_KEY[name]}" if name in OWN_KEY else "it cannot be changed"
            raise ConfigError(f"native: {text!r} sets -{name}, which scheduler sets itself; {own}")
    if letter not in PASSED_ON:
        raise ConfigError(f"native: qsub has no option -{letter}, or it is not allowed here ({text!r})")
    return names, f"-{letter} {value}".rstrip()
