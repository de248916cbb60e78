"""Jobs that are tried again become a Bundle that brings headers only: all else is over there, and is copied there.

So neither Job objects, nor functions, nor input files need to exist here any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scheduler.batch.base import Ask, BatchSystem
from scheduler.errors import ConfigError
from scheduler.job.retry import Again
from scheduler.ledger_rows import JobRow
from scheduler.render import batch_files, dispatcher, frame, label
from scheduler.render_template import template_for
from scheduler.site.site import Site


@dataclass(frozen=True)
class Wish:
    """A job that is to be tried again, as it was when that was decided, and how."""

    row: JobRow
    again: Again
    why: str


@dataclass(frozen=True)
class Group:
    """Jobs that are handed to the batch system together: elements `first`, `first` + 1, … of the bundle."""

    first: int
    name: str
    wishes: tuple[Wish, ...]


@dataclass(frozen=True)
class NextBundle:
    """All of one submission of jobs that are tried again. `files`: path in the bundle → content."""

    token: str
    groups: tuple[Group, ...]
    files: dict[str, bytes]


def render_again(wishes: Sequence[Wish], site: Site, system: BatchSystem, *, token: str) -> NextBundle:
    """The bundle of these jobs.

    Raises:
        ConfigError: the template or a directive is wrong now; the message names the job.
    """
    functions = any(wish.row.type == "function" for wish in wishes)
    files = frame(token, system, functions=functions)
    groups: list[Group] = []
    first = 0
    for alike in _alike(wishes, site, system):
        ask = _ask(alike, site, token, first)
        files |= batch_files(ask) | {f"batches/{first}/script.sh": _script(alike[0], site, system, ask)}
        groups.append(Group(first, ask.name, tuple(alike)))
        first += len(alike)
    lines = [f"{one.first}\t{len(one.wishes)}\tbatches/{one.first}/script.sh\n" for one in groups]
    files["batches/list"] = "".join(lines).encode()
    files["copies"] = "".join(line for one in groups for line in _copies(one)).encode()
    return NextBundle(token, tuple(groups), files)


def _alike(wishes: Sequence[Wish], site: Site, system: BatchSystem) -> Iterator[list[Wish]]:
    """Jobs that can share an array: equal in what they ask for, and from one bundle, whose folder is there or not."""
    kinds: dict[object, list[Wish]] = {}
    for wish in wishes:
        kind = (wish.row.bundle, wish.again.resources, wish.again.exclude, wish.row.template)
        kinds.setdefault(kind, []).append(wish)
    most = (site.limits.array_size or 1000) if system.arrays else 1
    for group in kinds.values():
        for start in range(0, len(group), most):
            yield group[start : start + most]


def _ask(alike: Sequence[Wish], site: Site, token: str, first: int) -> Ask:
    one = alike[0]
    name = f"{label(one.row.campaign or one.row.job_id)}.{token}-{first}"
    return Ask(name, len(alike), first, one.again.resources, site.memory_style, one.again.exclude)


def _script(wish: Wish, site: Site, system: BatchSystem, ask: Ask) -> bytes:
    try:
        template = template_for(wish.row, site)
        return dispatcher(template, system.directives(ask), ask, wish.row).encode()
    except ConfigError as error:
        raise ConfigError(f"job {wish.row.job_id!r} on site {site.name!r}: {error}") from None


def _copies(group: Group) -> Iterator[str]:
    for element, wish in enumerate(group.wishes, start=group.first):
        yield f"{element}\t{wish.row.folder}\t{wish.row.element}\n"
