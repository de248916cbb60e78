"""``outputs.sh`` of one job: the folder it runs in and the outputs it declares, as sh text.

The job's script reads it, and so does the program that lists the outputs of finished jobs.
"""

from __future__ import annotations

import re

from scheduler.job.job import Job
from scheduler.quoting import quote
from scheduler.site.site import Site

_DEEPEST = 10
"""The most nested folders that ``**`` matches."""


def outputs_script(job: Job, site: Site) -> str:
    """Sets ``dir``, the job's folder, and defines ``outputs``, which calls ``output NUMBER PATTERN FILE…``."""
    folder = quote(job.working_dir) if site.is_local else '"$control/dir"'
    lines = [f"dir={folder}", "outputs() {", "  :"]
    for number, pattern in enumerate(job.output_files):
        lines.append(f"  output {number} {quote(pattern)} {' '.join(_globs(pattern))}")
    return "\n".join([*lines, "}", ""])


def _globs(pattern: str) -> list[str]:
    """The shell patterns for a pattern; ``**`` becomes no folder, one folder, two nested ones, …"""
    head, found, tail = pattern.partition("**")
    if not found:
        return [_glob("./" + pattern)]
    if not tail:
        return [_glob("./" + head.rstrip("/"))]
    return [_glob(f"./{head}{'*/' * depth}{tail.lstrip('/')}") for depth in range(_DEEPEST + 1)]


def _glob(pattern: str) -> str:
    """One shell word in which only ``*``, ``?`` and ``[…]`` are special."""
    parts = re.split(r"(\*|\?|\[[!^]?\]?[A-Za-z0-9_.:-]*\])", pattern)
    return "".join(part if n % 2 else quote(part) if part else "" for n, part in enumerate(parts))
