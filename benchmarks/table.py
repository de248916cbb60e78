"""Holds the measurements and writes them as Markdown tables. It runs nothing."""

from __future__ import annotations

import os
import platform
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Protocol

BEGIN, END = "<!-- written by make bench -->", "<!-- end of what make bench writes -->"
_LABELS = {"file": {"submit": "upload", "collect": "download"}, "jobs": {}}
"""Kind of benchmark → step → its name in the table, if it is another."""


class Distant(Protocol):
    """Something behind the relay."""

    @property
    def milliseconds(self) -> int:
        """The round trip that the relay adds."""


@dataclass
class Measured:
    """The measurements of both sides, by round trip (milliseconds) and step.

    Attributes:
        seconds: of each turn, by hand and by `scheduler`.
        commands: the remote commands of our side.
        cpu: CPU seconds of our side in that step.
        used: connections, CPU seconds and peak memory of the whole process of our side, one mapping per turn.
    """

    seconds: dict[tuple[int, str], dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: {"hand": [], "ours": []})
    )
    commands: dict[tuple[int, str], str] = field(default_factory=dict)
    cpu: dict[tuple[int, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    used: dict[tuple[int, str], list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    def hand(self, far: Distant, what: str, *seconds: float) -> None:
        """Record the seconds of a pipeline written by hand."""
        self.seconds[far.milliseconds, what]["hand"] += seconds
        _print_progress(far, what, "by hand", seconds[0])

    def ours(self, far: Distant, name: str, result: dict[str, Any]) -> None:
        """Record one line that `benchmarks.ours` printed: a step, or the totals of the process."""
        if result["what"] == "peak":
            self.used[far.milliseconds, name].append(result)
            return
        step = _LABELS["file" if "file" in name else "jobs"].get(result["what"], result["what"])
        key = (far.milliseconds, f"{name}: {step}")
        self.seconds[key]["ours"].append(result["seconds"])
        self.cpu[key].append(result["cpu"])
        self.commands[key] = _as_text(result["commands"])
        _print_progress(far, key[1], "ours", result["seconds"])


def as_markdown(found: Measured) -> str:
    """The two tables of the performance page."""
    lines = [
        f"Measured on {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; "
        f"load average (15 minutes) {os.getloadavg()[2]:.1f}. Medians.",
        "",
        "| round trip | what | by hand, s | ours, s | ratio | our remote commands | our CPU, s |",
        "|--:|---|--:|--:|--:|---|--:|",
    ]
    for (milliseconds, what), both in found.seconds.items():
        if both["hand"] and both["ours"]:
            key, by_hand, ours = (milliseconds, what), median(both["hand"]), median(both["ours"])
            lines.append(
                f"| {milliseconds} ms | {what} | {by_hand:.2f} | {ours:.2f} | **{ours / by_hand:.2f}** "
                f"| {found.commands[key]} | {median(found.cpu[key]):.2f} |"
            )
    lines += [
        "",
        "| round trip | all steps in one process | connections | CPU with start, s | peak memory, MB |",
        "|--:|---|--:|--:|--:|",
    ]
    for (milliseconds, what), used in found.used.items():
        connections = max(one["connections"] for one in used)
        cpu, memory = median(one["cpu"] for one in used), max(one["megabytes"] for one in used)
        lines.append(f"| {milliseconds} ms | {what} | {connections} | {cpu:.1f} | {memory:.0f} |")
    return "\n".join(lines) + "\n"


def write_into(page: Path, table: str) -> None:
    """Replace the text between the two marks by the tables."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{table}{END}{after}", encoding="utf-8")


def _print_progress(far: Distant, what: str, whose: str, seconds: float) -> None:
    print(f"    {far.milliseconds} ms  {what}  {whose}  {seconds:.2f} s", file=sys.stderr, flush=True)


def _as_text(commands: Sequence[str]) -> str:
    counts: dict[str, int] = defaultdict(int)
    for command in commands:
        counts[command] += 1
    return ", ".join(name if count == 1 else f"{name} × {count}" for name, count in counts.items())
