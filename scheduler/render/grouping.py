"""Which jobs are submitted together: as an array, or as a pack (side by side on one node). Pure.

Where jobs get whole nodes, a job of one core is charged for all cores of its node. Therefore jobs of few cores that are
submitted together share a node: one job of the batch system runs them side by side.

    for each job: if it fits beside others on a whole node: it is packed with jobs that differ only in cores, memory and
                  walltime; a pack of one is treated as a job alone
    jobs alone, with equal resources and equal template: arrays, as long as the site allows
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

from scheduler.job.resources import Resources
from scheduler.site.settings import Limits


class Templated(Protocol):
    """A job, or a request to retry one: here only its template matters."""

    @property
    def template(self) -> str | None:
        """The path of the job's own template, or None."""


One = TypeVar("One", bound=Templated)
WithResources = tuple[One, Resources]
"""A job and its complete resources, the site's defaults included."""


@dataclass(frozen=True)
class Group(Generic[One]):
    """The jobs of one batch.

    Attributes:
        resources: that the batch requests: those of each array task, or of the whole node.
        jobs: in the order of their numbers.
        each: the resources of each job.
        packed: whether the jobs share a node.
    """

    resources: Resources
    jobs: list[One]
    each: list[Resources]
    packed: bool = False


def groups(jobs: Iterable[WithResources[One]], limits: Limits, *, arrays: bool) -> Iterator[Group[One]]:
    """Group jobs into batches.

    Args:
        jobs: each with its complete resources.
        limits: of the site.
        arrays: whether the batch system has job arrays.
    """
    jobs = list(jobs)
    alone: dict[tuple[Resources, str | None], list[One]] = {}
    together: dict[tuple[Resources, str | None], list[WithResources[One]]] = {}
    kinds: dict[Resources, Resources | None] = {}
    for job, want in jobs:
        if want not in kinds:
            kinds[want] = _without_size(want) if fits_beside_others(want, limits) else None
        kind = kinds[want]
        if kind is not None:
            together.setdefault((kind, job.template), []).append((job, want))
        else:
            alone.setdefault((want, job.template), []).append(job)
    for neighbours in together.values():
        for members in packs(neighbours, limits):
            if len(members) > 1:
                yield _pack(members, limits)
            else:
                job, want = members[0]
                alone.setdefault((want, job.template), []).append(job)
    most = _longest_array(len(jobs), limits) if arrays else 1
    for (resources, _), equal in alone.items():
        for start in range(0, len(equal), most):
            part = equal[start : start + most]
            yield Group(resources, part, [resources] * len(part))


def _longest_array(number: int, limits: Limits) -> int:
    """The most tasks of an array. If there are more jobs than the queue limit, an array is at most a quarter of the
    limit, so that the next one can be submitted when a few jobs have finished."""
    longest = limits.array_size or 1000
    if limits.queued is None or number <= limits.queued:
        return longest
    return max(1, min(longest, limits.queued // 4))


def fits_beside_others(want: Resources, limits: Limits) -> bool:
    """Whether a job leaves room for others on a whole node. A job with several tasks or with GPUs gets a node alone: on
    a shared one it would use the cores and GPUs of the other jobs."""
    cores = limits.cores_per_node
    if not limits.whole_node or cores is None:
        return False
    return want.nodes in (None, 1) and want.tasks in (None, 1) and not want.gpus and (want.cpus or 1) < cores


def packs(jobs: Iterable[WithResources[One]], limits: Limits) -> list[list[WithResources[One]]]:
    """Distribute jobs over nodes. The longest jobs come first, so that the jobs of a node end at about the same time;
    each job goes to the first node with room for it.

    Returns:
        The jobs of each node.
    """
    cores = limits.cores_per_node or 1
    nodes: list[_Node[One]] = []
    full = 0  # the number of nodes at the beginning that have no core left
    for job, want in sorted(jobs, key=lambda one: _length(one[1]), reverse=True):
        need, memory = want.cpus or 1, want.memory_mib or 0
        for node in nodes[full:]:
            if node.cores + need <= cores and not (limits.memory_mib and node.memory + memory > limits.memory_mib):
                break
        else:
            node = _Node[One]()
            nodes.append(node)
        node.add((job, want))
        while full < len(nodes) and nodes[full].cores >= cores:
            full += 1
    return [node.jobs for node in nodes]


@dataclass
class _Node(Generic[One]):
    cores: int = 0
    memory: int = 0
    jobs: list[WithResources[One]] = field(default_factory=list)

    def add(self, one: WithResources[One]) -> None:
        self.cores += one[1].cpus or 1
        self.memory += one[1].memory_mib or 0
        self.jobs.append(one)


def _length(want: Resources) -> timedelta:
    return want.walltime if want.walltime is not None else timedelta.max


def _without_size(want: Resources) -> Resources:
    """The resources without those in which jobs of one node may differ."""
    return Resources.from_json({k: v for k, v in want.to_json().items() if k not in ("cpus", "memory", "walltime")})


def _pack(members: list[WithResources[One]], limits: Limits) -> Group[One]:
    """The jobs of one node. The batch requests the whole node for the longest walltime of its jobs."""
    wants = [want for _, want in members]
    memories = [want.memory_mib for want in wants]
    whole = {
        "cpus": limits.cores_per_node,
        "memory": None if None in memories else f"{sum(m or 0 for m in memories)} MiB",
        "walltime": None if any(w.walltime is None for w in wants) else max(_length(want) for want in wants),
    }
    resources = Resources.from_json({**_without_size(wants[0]).to_json(), **{k: v for k, v in whole.items() if v}})
    return Group(resources, [job for job, _ in members], wants, packed=True)


def members_file(group: Group[One], first: int) -> bytes:
    """The file that pack.sh reads: for each job its number, its walltime in seconds (0: no limit) and its cores."""
    return "".join(
        f"{element}\t{int(want.walltime.total_seconds()) if want.walltime is not None else 0}\t{want.cpus or 1}\n"
        for element, want in enumerate(group.each, start=first)
    ).encode()
