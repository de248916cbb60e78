"""Jobs to retry become a bundle that contains headers only. Everything else is remote already, and is copied there.

Therefore neither the Job objects nor their functions and input files need to exist on this machine any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from scheduler.batch.base import BatchSystem
from scheduler.batch.request import BatchRequest
from scheduler.errors import ConfigError
from scheduler.job.resources import Resources
from scheduler.job.retry_policy import Again
from scheduler.ledger.rows import JobRow
from scheduler.render.frame import batch_files, batch_list, common_files, dispatch_files, dispatch_script, label
from scheduler.render.grouping import Group, groups
from scheduler.render.template import template_for
from scheduler.site.site import Site


@dataclass(frozen=True)
class RetryRequest:
    """A job to retry.

    Attributes:
        row: the job as it was when the retry was decided.
        again: the resources of the next attempt, and the nodes to avoid.
        why: the reason, for the job's history.
    """

    row: JobRow
    again: Again
    why: str

    @property
    def template(self) -> str | None:
        """The path of the job's own template, or None."""
        return self.row.template


@dataclass(frozen=True)
class NextBatch:
    """Jobs that are submitted to the batch system at once: jobs `first`, `first` + 1, … of the bundle.

    Attributes:
        requests: one for each job.
        packed: the jobs share a node.
    """

    first: int
    name: str
    requests: tuple[RetryRequest, ...]
    packed: bool


@dataclass(frozen=True)
class NextBundle:
    """Everything that one submission of retried jobs sends. `files`: path in the bundle → content."""

    token: str
    batches: tuple[NextBatch, ...]
    files: dict[str, bytes] = field(repr=False)


def render_retries(requests: Sequence[RetryRequest], site: Site, system: BatchSystem, *, token: str) -> NextBundle:
    """Make the bundle of these jobs' next attempts.

    Raises:
        ConfigError: the template or a directive is wrong by now; the message names the job.
    """
    functions = any(one.row.type == "function" for one in requests)
    files = common_files(token, system, functions=functions)
    batches: list[NextBatch] = []
    first = 0
    for exclude, group in _groups(requests, site, system):
        request = _batch_request(group, exclude, site, token, first)
        files |= batch_files(request, group) | dispatch_files(system, packed=group.packed)
        files[_script_path(first)] = _script(group, site, system, request)
        batches.append(NextBatch(first, request.name, tuple(group.jobs), group.packed))
        first += len(group.jobs)
    files["batches/list"] = batch_list(
        (one.first, 1 if one.packed else len(one.requests), _script_path(one.first)) for one in batches
    )
    files["copies"] = "".join(line for one in batches for line in _copies(one)).encode()
    return NextBundle(token, tuple(batches), files)


def _script_path(first: int) -> str:
    return f"batches/{first}/script.sh"


def _groups(
    requests: Sequence[RetryRequest], site: Site, system: BatchSystem
) -> Iterator[tuple[tuple[str, ...], Group[RetryRequest]]]:
    """Jobs that can share an array or a node. They come from one bundle, whose remote folder exists or does not."""
    kinds: dict[tuple[str, tuple[str, ...]], list[tuple[RetryRequest, Resources]]] = {}
    for one in requests:
        kinds.setdefault((one.row.bundle, one.again.exclude), []).append((one, one.again.resources))
    for (_, exclude), alike in kinds.items():
        for group in groups(alike, site.limits, arrays=system.arrays):
            yield exclude, group


def _batch_request(
    group: Group[RetryRequest], exclude: tuple[str, ...], site: Site, token: str, first: int
) -> BatchRequest:
    row = group.jobs[0].row
    name = f"{label(row.campaign or row.job_id)}.{token}-{first}"
    count = 1 if group.packed else len(group.jobs)
    return BatchRequest(name, count, first, group.resources, site.memory_style, exclude, site.native_options)


def _script(group: Group[RetryRequest], site: Site, system: BatchSystem, request: BatchRequest) -> bytes:
    row = group.jobs[0].row
    try:
        return dispatch_script(template_for(row, site), system.directives(request), request, row, packed=group.packed)
    except ConfigError as error:
        raise ConfigError(f"job {row.job_id!r} on site {site.name!r}: {error}") from None


def _copies(batch: NextBatch) -> Iterator[str]:
    """For each job: its number in this bundle; then folder, number and first job of its batch in the one before."""
    for element, one in enumerate(batch.requests, start=batch.first):
        yield f"{element}\t{one.row.folder}\t{one.row.element}\t{one.row.first}\n"
