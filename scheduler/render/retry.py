"""Jobs that are tried again become a Bundle that brings headers only: all else is over there, and is copied there.

So neither Job objects, nor functions, nor input files need to exist here any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scheduler.batch.base import Ask, BatchSystem
from scheduler.errors import ConfigError
from scheduler.job.resources import Resources
from scheduler.job.retry_policy import Again
from scheduler.ledger.rows import JobRow
from scheduler.render.bundle import batch_files, dispatcher, frame, label, way_to_elements
from scheduler.render.grouping import Group, groups
from scheduler.render.template import template_for
from scheduler.site.site import Site


@dataclass(frozen=True)
class RetryRequest:
    """A job that is to be tried again, as it was when that was decided, and how."""

    row: JobRow
    again: Again
    why: str

    @property
    def template(self) -> str | None:
        """The job's own."""
        return self.row.template


@dataclass(frozen=True)
class NextBatch:
    """Jobs that are handed to the batch system together: elements `first`, `first` + 1, … of the bundle."""

    first: int
    name: str
    wishes: tuple[RetryRequest, ...]
    packed: bool


@dataclass(frozen=True)
class NextBundle:
    """All of one submission of jobs that are tried again. `files`: path in the bundle → content."""

    token: str
    batches: tuple[NextBatch, ...]
    files: dict[str, bytes]


def render_again(wishes: Sequence[RetryRequest], site: Site, system: BatchSystem, *, token: str) -> NextBundle:
    """The bundle of these jobs.

    Raises:
        ConfigError: the template or a directive is wrong now; the message names the job.
    """
    functions = any(wish.row.type == "function" for wish in wishes)
    files = frame(token, system, functions=functions)
    batches: list[NextBatch] = []
    first = 0
    for exclude, group in _groups(wishes, site, system):
        ask = _ask(group, exclude, site, token, first)
        files |= batch_files(ask, group) | way_to_elements(packed=group.packed)
        files[f"batches/{first}/script.sh"] = _script(group, site, system, ask)
        batches.append(NextBatch(first, ask.name, tuple(group.jobs), group.packed))
        first += len(group.jobs)
    lines = [f"{one.first}\t{1 if one.packed else len(one.wishes)}\tbatches/{one.first}/script.sh\n" for one in batches]
    files["batches/list"] = "".join(lines).encode()
    files["copies"] = "".join(line for one in batches for line in _copies(one)).encode()
    return NextBundle(token, tuple(batches), files)


def _groups(
    wishes: Sequence[RetryRequest], site: Site, system: BatchSystem
) -> Iterator[tuple[tuple[str, ...], Group[RetryRequest]]]:
    """Those that can share an array or a node come from one bundle, whose folder is there or not."""
    kinds: dict[tuple[str, tuple[str, ...]], list[tuple[RetryRequest, Resources]]] = {}
    for wish in wishes:
        kinds.setdefault((wish.row.bundle, wish.again.exclude), []).append((wish, wish.again.resources))
    for (_, exclude), asked in kinds.items():
        for group in groups(asked, site.limits, arrays=system.arrays):
            yield exclude, group


def _ask(group: Group[RetryRequest], exclude: tuple[str, ...], site: Site, token: str, first: int) -> Ask:
    row = group.jobs[0].row
    name = f"{label(row.campaign or row.job_id)}.{token}-{first}"
    count = 1 if group.packed else len(group.jobs)
    return Ask(name, count, first, group.resources, site.memory_style, exclude)


def _script(group: Group[RetryRequest], site: Site, system: BatchSystem, ask: Ask) -> bytes:
    row = group.jobs[0].row
    try:
        template = template_for(row, site)
        return dispatcher(template, system.directives(ask), ask, row, packed=group.packed).encode()
    except ConfigError as error:
        raise ConfigError(f"job {row.job_id!r} on site {site.name!r}: {error}") from None


def _copies(batch: NextBatch) -> Iterator[str]:
    for element, wish in enumerate(batch.wishes, start=batch.first):
        yield f"{element}\t{wish.row.folder}\t{wish.row.element}\t{wish.row.first}\n"
