"""How far jobs are, while they are waited for: a bar on a terminal, a line now and then elsewhere. All on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType

from scheduler.cli import rows, screen
from scheduler.ledger_rows import JobRow

_LINE_SECONDS = 2.0
"""Where there is no terminal, lines come no faster than this."""
_BLINK_SECONDS = 0.2
_LONGEST_TITLE = 32


def _summary(jobs: Sequence[JobRow]) -> str:
    return " · ".join(f"{number} {word}" for word, number in rows.counts(jobs).items())


def megabytes(count: int) -> str:
    """``812 kB``, ``1.2 MB``, ``3.4 GB``; powers of ten, as disks are sold."""
    for size, unit in ((1e9, "GB"), (1e6, "MB")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{max(1, round(count / 1000))} kB"


class Lines:
    """Progress where there is no terminal: a line when counts have changed."""

    def __init__(self, title: str, fresh: Callable[[], Sequence[JobRow]]) -> None:
        self._title, self._fresh = title, fresh
        self._said, self._at, self._bytes = "", 0.0, 0

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def look(self) -> None:
        """Jobs were asked after."""
        jobs = self._fresh()
        now, done = _summary(jobs), sum(map(rows.done_with, jobs))
        if now != self._said and (done == len(jobs) or time.monotonic() - self._at >= _LINE_SECONDS):
            self._said, self._at = now, time.monotonic()
            home = f" · {megabytes(self._bytes)} came home" if self._bytes else ""
            screen.say(f"{self._title}: {done} of {len(jobs)} done: {now}{home}")

    def fetched(self, done: int, total: int) -> None:
        """Bytes came home; the next line tells how many by now."""
        if done == total:
            self._bytes += total


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
        self._progress = Progress(*columns, console=screen.talk(), transient=True)
        self._task = self._progress.add_task(screen.visible(short), total=max(1, len(fresh())), said="")
        self._fresh, self._at = fresh, 0.0

    def __enter__(self) -> Bar:
        self._shown = screen.moving(self._progress.start, self._progress.stop)
        self._shown.__enter__()
        self.look()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.__exit__(kind, error, trace)

    def look(self) -> None:
        """Jobs were asked after."""
        self._show(more="")

    def fetched(self, done: int, total: int) -> None:
        """Bytes came home; this is told with every piece of a file."""
        if time.monotonic() - self._at >= _BLINK_SECONDS:
            self._at = time.monotonic()
            self._show(more=f" · {megabytes(done)} of {megabytes(total)}")

    def _show(self, *, more: str) -> None:
        jobs = self._fresh()
        done = sum(map(rows.done_with, jobs))
        self._progress.update(self._task, completed=done, said=_summary(jobs) + more)


def meter(title: str, fresh: Callable[[], Sequence[JobRow]]) -> Bar | Lines:
    """What fits the place that stderr goes to. `fresh` gives the jobs as they are now."""
    return Bar(title, fresh) if screen.talk().is_terminal else Lines(title, fresh)
