"""Which jobs go to the batch system together: as an array, or side by side on one node. Pure.

On a site that gives out whole nodes a job of one core costs as much as one of all, so jobs of fewer cores that are
submitted together share a node: one batch job runs them side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

from scheduler.job.resources import Resources
from scheduler.site.settings import Limits


class Templated(Protocol):
    """As much of a job as is needed here."""

    @property
    def template(self) -> str | None: ...


One = TypeVar("One", bound=Templated)
Asked = tuple[One, Resources]
"""A job, and all that it asks for: the site's defaults are in."""


@dataclass(frozen=True)
class Group(Generic[One]):
    """What is handed over at once.

    Attributes:
        resources: of each element of the array, or of the node.
        jobs: in the order of their elements.
        each: the resources of each job.
        packed: they share a node.
    """

    resources: Resources
    jobs: list[One]
    each: list[Resources]
    packed: bool = False


def groups(asked: Iterable[Asked[One]], limits: Limits, *, arrays: bool) -> Iterator[Group[One]]:
    """Jobs with equal resources and template as arrays no longer than the site allows; those that can, share nodes."""
    asked = list(asked)
    alone: dict[tuple[Resources, str | None], list[One]] = {}
    together: dict[tuple[Resources, str | None], list[Asked[One]]] = {}
    kinds: dict[Resources, Resources | None] = {}
    for job, want in asked:
        if want not in kinds:
            kinds[want] = _unlike(want) if fits_beside_others(want, limits) else None
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
    most = _longest_array(len(asked), limits) if arrays else 1
    for (resources, _), jobs in alone.items():
        for start in range(0, len(jobs), most):
            part = jobs[start : start + most]
            yield Group(resources, part, [resources] * len(part))


def _longest_array(number: int, limits: Limits) -> int:
    """If there are more jobs than the site takes at a time, short enough that one can go when a few have ended."""
    longest = limits.array_size or 1000
    if limits.queued is None or number <= limits.queued:
        return longest
    return max(1, min(longest, limits.queued // 4))


def fits_beside_others(want: Resources, limits: Limits) -> bool:
    """It leaves room on a node that is given out whole. What starts itself several times, or computes on graphics
    processors, has its node alone: it would find those of its neighbours."""
    cores = limits.cores_per_node
    if not limits.whole_node or cores is None:
        return False
    return want.nodes in (None, 1) and want.tasks in (None, 1) and not want.gpus and (want.cpus or 1) < cores


def packs(jobs: Iterable[Asked[One]], limits: Limits) -> list[list[Asked[One]]]:
    """Jobs node by node: the longest first, so that those of one node end at about the same time; each goes to the
    first node that has room for it."""
    cores = limits.cores_per_node or 1
    nodes: list[_Node[One]] = []
    full = 0  # so many at the beginning have no core left
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
    jobs: list[Asked[One]] = field(default_factory=list)

    def add(self, one: Asked[One]) -> None:
        self.cores += one[1].cpus or 1
        self.memory += one[1].memory_mib or 0
        self.jobs.append(one)


def _length(want: Resources) -> timedelta:
    return want.walltime if want.walltime is not None else timedelta.max


def _unlike(want: Resources) -> Resources:
    """Without that in which jobs of one node may differ."""
    return Resources.from_json({k: v for k, v in want.to_json().items() if k not in ("cpus", "memory", "walltime")})


def _pack(members: list[Asked[One]], limits: Limits) -> Group[One]:
    """The node is asked for whole, for as long as the longest takes."""
    wants = [want for _, want in members]
    memories = [want.memory_mib for want in wants]
    whole = {
        "cpus": limits.cores_per_node,
        "memory": None if None in memories else f"{sum(m or 0 for m in memories)} MiB",
        "walltime": None if any(w.walltime is None for w in wants) else max(_length(want) for want in wants),
    }
    resources = Resources.from_json({**_unlike(wants[0]).to_json(), **{k: v for k, v in whole.items() if v}})
    return Group(resources, [job for job, _ in members], wants, packed=True)


def members_file(group: Group[One], first: int) -> bytes:
    """What pack.sh reads: element, seconds that it may run (0: as long as it likes), cores."""
    return "".join(
        f"{element}\t{int(want.walltime.total_seconds()) if want.walltime is not None else 0}\t{want.cpus or 1}\n"
        for element, want in enumerate(group.each, start=first)
    ).encode()
