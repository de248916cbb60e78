"""How far jobs are, while they are waited for: a bar on a terminal, a line now and then elsewhere. All on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from scheduler.cli.screen import console, format
from scheduler.ledger.rows import JobRow

_LINE_SECONDS = 2.0
"""Where there is no terminal, lines come no faster than this."""
_BLINK_SECONDS = 0.2
_LONGEST_TITLE = 32
_SPEED_SECONDS = 10.0
"""The speed is that of so many seconds."""
_LONG_SECONDS = 30.0
"""Where there is no terminal, bytes that come for longer are told this often."""


def _summary(jobs: Sequence[JobRow]) -> str:
    return " · ".join(f"{number} {word}" for word, number in format.counts(jobs).items())


def megabytes(count: int) -> str:
    """``812 kB``, ``1.2 MB``, ``3.4 GB``; powers of ten, as disks are sold."""
    for size, unit in ((1e9, "GB"), (1e6, "MB")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{max(1, round(count / 1000))} kB"


class Speed:
    """How fast bytes come, over the last seconds, and how long the rest will take.

    Args:
        clock: tells seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._marks: list[tuple[float, int]] = []

    def shown(self, done: int, total: int) -> str:
        """``1.2 GB of 3.4 GB, 45.0 MB/s, 0:49 left``; without a speed, until there is one."""
        now, here = self._clock(), f"{megabytes(done)} of {megabytes(total)}"
        if self._marks and done < self._marks[-1][1]:  # another collection
            self._marks.clear()
        self._marks = [mark for mark in self._marks if now - mark[0] < _SPEED_SECONDS] + [(now, done)]
        seconds, count = now - self._marks[0][0], done - self._marks[0][1]
        if seconds < 1 or count <= 0:
            return here
        left = format.clock((total - done) * seconds / count)
        return f"{here}, {megabytes(round(count / seconds))}/s, {left} left"


class Lines:
    """Progress where there is no terminal: a line when counts have changed."""

    def __init__(self, title: str, fresh: Callable[[], Sequence[JobRow]]) -> None:
        self._title, self._fresh = title, fresh
        self._said, self._at, self._bytes = "", 0.0, 0
        self._speed, self._told = Speed(), time.monotonic()

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def look(self) -> None:
        """Jobs were asked after."""
        jobs = self._fresh()
        now, done = _summary(jobs), sum(map(format.done_with, jobs))
        if now != self._said and (done == len(jobs) or time.monotonic() - self._at >= _LINE_SECONDS):
            self._said, self._at = now, time.monotonic()
            home = f" · {megabytes(self._bytes)} came home" if self._bytes else ""
            console.say(f"{self._title}: {done} of {len(jobs)} done: {now}{home}")

    def fetched(self, done: int, total: int) -> None:
        """Bytes came home; the next line tells how many by now. What takes long has lines of its own."""
        if done == total:
            self._bytes += total
        if time.monotonic() - self._told >= _LONG_SECONDS:
            self._told = time.monotonic()
            console.say(f"{self._title}: {self._speed.shown(done, total)}")


class Bar:
    """Progress on a terminal: one line, gone when it is done."""

    def __init__(self, title: str, fresh: Callable[[], Sequence[JobRow]]) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        short = title if len(title) <= _LONGEST_TITLE else title[: _LONGEST_TITLE - 1] + "…"
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.completed:.0f}/{task.total:.0f}", markup=False),
            TextColumn("{task.fields[said]}", markup=False),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=console.talk(), transient=True)
        self._task = self._progress.add_task(console.visible(short), total=max(1, len(fresh())), said="")
        self._fresh, self._at, self._speed, self._jobs = fresh, 0.0, Speed(), ""

    def __enter__(self) -> Bar:
        self._shown = console.moving(self._progress.start, self._progress.stop)
        self._shown.__enter__()
        self.look()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.__exit__(kind, error, trace)

    def look(self) -> None:
        """Jobs were asked after."""
        jobs = self._fresh()
        self._jobs = _summary(jobs)
        self._progress.update(self._task, completed=sum(map(format.done_with, jobs)), said=self._jobs)

    def fetched(self, done: int, total: int) -> None:
        """Bytes came home; this is told with every piece of a file."""
        if time.monotonic() - self._at >= _BLINK_SECONDS:
            self._at = time.monotonic()
            self._progress.update(self._task, said=f"{self._jobs} · {self._speed.shown(done, total)}")


def meter(title: str, fresh: Callable[[], Sequence[JobRow]]) -> Bar | Lines:
    """What fits the place that stderr goes to. `fresh` gives the jobs as they are now."""
    if console.is_plain(sys.stderr) or not console.talk().is_terminal:
        return Lines(title, fresh)
    return Bar(title, fresh)
