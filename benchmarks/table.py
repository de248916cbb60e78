"""What was measured, and the table that is made of it. Nothing is run here."""

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
_WAYS = {"file": {"submit": "out", "collect": "home"}, "jobs": {}}


class Away(Protocol):
    """How far the cluster is."""

    @property
    def milliseconds(self) -> int: ...


@dataclass
class Measured:
    """Seconds of both sides, by round trip and by what was done; and what our side used."""

    seconds: dict[tuple[int, str], dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: {"hand": [], "ours": []})
    )
    commands: dict[tuple[int, str], str] = field(default_factory=dict)
    cpu: dict[tuple[int, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    used: dict[tuple[int, str], list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    def hand(self, far: Away, what: str, *seconds: float) -> None:
        """What the pipeline took."""
        self.seconds[far.milliseconds, what]["hand"] += seconds
        _say(far, what, "by hand", seconds[0])

    def ours(self, far: Away, name: str, said: dict[str, Any]) -> None:
        """What our side says of one step, or of itself."""
        if said["what"] == "peak":
            self.used[far.milliseconds, name].append(said)
            return
        step = _WAYS["file" if "file" in name else "jobs"].get(said["what"], said["what"])
        key = (far.milliseconds, f"{name}: {step}")
        self.seconds[key]["ours"].append(said["seconds"])
        self.cpu[key].append(said["cpu"])
        self.commands[key] = _in_words(said["commands"])
        _say(far, key[1], "ours", said["seconds"])


def as_markdown(found: Measured) -> str:
    """Two tables."""
    lines = [
        f"Measured on {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; "
        f"load {os.getloadavg()[2]:.1f} in the last quarter of an hour. Medians.",
        "",
        "| round trip | what | by hand, s | ours, s | ratio | our remote commands | our CPU, s |",
        "|--:|---|--:|--:|--:|---|--:|",
    ]
    for (away, what), both in found.seconds.items():
        if both["hand"] and both["ours"]:
            key, by_hand, ours = (away, what), median(both["hand"]), median(both["ours"])
            lines.append(
                f"| {away} ms | {what} | {by_hand:.2f} | {ours:.2f} | **{ours / by_hand:.2f}** "
                f"| {found.commands[key]} | {median(found.cpu[key]):.2f} |"
            )
    lines += [
        "",
        "| round trip | all of it, in one process | connections | CPU with start, s | peak memory, MB |",
        "|--:|---|--:|--:|--:|",
    ]
    for (away, what), used in found.used.items():
        connections = max(one["connections"] for one in used)
        cpu, memory = median(one["cpu"] for one in used), max(one["megabytes"] for one in used)
        lines.append(f"| {away} ms | {what} | {connections} | {cpu:.1f} | {memory:.0f} |")
    return "\n".join(lines) + "\n"


def write_into(page: Path, table: str) -> None:
    """Put the table between its marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{table}{END}{after}", encoding="utf-8")


def _say(far: Away, what: str, whose: str, seconds: float) -> None:
    print(f"    {far.milliseconds} ms  {what}  {whose}  {seconds:.2f} s", file=sys.stderr, flush=True)


def _in_words(commands: Sequence[str]) -> str:
    counts: dict[str, int] = defaultdict(int)
    for command in commands:
        counts[command] += 1
    return ", ".join(name if count == 1 else f"{name} × {count}" for name, count in counts.items())
