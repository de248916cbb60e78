"""What is submitted to a batch system at once. A value only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scheduler.job.resources import Resources


@dataclass(frozen=True)
class BatchRequest:
    """One batch to submit.

    Attributes:
        name: unique, 1 to 60 characters of ``[A-Za-z0-9._+-]``, the first a letter: every batch system accepts it.
        count: number of jobs; an array if more than one.
        first: the number of its first job in the bundle.
        resources: complete: the site's defaults are included.
        memory_style: the site's ``memory_style``: per_node, per_cpu or omit.
        native_options: options that native directives may use although we do not know them.
        exclude: nodes to avoid. Ignored where the batch system has no directive for that.
    """

    name: str
    count: int
    first: int
    resources: Resources
    memory_style: str = "per_node"
    exclude: tuple[str, ...] = ()
    native_options: tuple[str, ...] = ()
