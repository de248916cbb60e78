"""Progress of waiting for jobs and collecting them: a bar on a terminal, else a line now and then. All on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from scheduler.cli.screen import console, format
from scheduler.ledger.rows import JobRow

ReadJobs = Callable[[], Sequence[JobRow]]
"""Returns the jobs as the ledger has them now."""
_LINE_SECONDS = 2.0
"""Without a terminal: the shortest time between two lines with counts."""
_DOWNLOAD_LINE_SECONDS = 30.0
"""Without a terminal: the time between two lines about a download."""
_REDRAW_SECONDS = 0.2
"""On a terminal: the shortest time between two updates during a download."""
_SPEED_SECONDS = 10.0
"""The download speed is the average over this time."""
_LONGEST_TITLE = 32


def _summary(jobs: Sequence[JobRow]) -> str:
    return " · ".join(f"{number} {word}" for word, number in format.counts(jobs).items())


def byte_text(count: int) -> str:
    """``812 kB``, ``1.2 MB``, ``3.4 GB``, with powers of ten."""
    for size, unit in ((1e9, "GB"), (1e6, "MB")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{max(1, round(count / 1000))} kB"


class Speed:
    """The speed of a download over the last seconds, and the time that the rest will take.

    Args:
        clock: returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._marks: list[tuple[float, int]] = []

    def text(self, done: int, total: int) -> str:
        """``1.2 GB of 3.4 GB, 45.0 MB/s, 0:49 left``; until the speed is known, without speed and time left.

        Args:
            done: bytes downloaded so far.
            total: bytes to download.
        """
        now, amount = self._clock(), f"{byte_text(done)} of {byte_text(total)}"
        if self._marks and done < self._marks[-1][1]:  # a new download has begun
            self._marks.clear()
        self._marks = [mark for mark in self._marks if now - mark[0] < _SPEED_SECONDS] + [(now, done)]
        seconds, count = now - self._marks[0][0], done - self._marks[0][1]
        if seconds < 1 or count <= 0:
            return amount
        left = format.clock((total - done) * seconds / count)
        return f"{amount}, {byte_text(round(count / seconds))}/s, {left} left"


class ProgressLines:
    """Progress without a terminal: a line when counts have changed, and now and then during a long download.

    Args:
        title: the beginning of each line.
        read_jobs: called at each update.
    """

    def __init__(self, title: str, read_jobs: ReadJobs) -> None:
        self._title, self._read_jobs = title, read_jobs
        self._printed, self._printed_at, self._bytes = "", 0.0, 0
        self._speed, self._download_printed_at = Speed(), time.monotonic()

    def __enter__(self) -> ProgressLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def update(self) -> None:
        """Read the jobs after a poll, and print a line if counts have changed."""
        jobs = self._read_jobs()
        summary, done = _summary(jobs), sum(map(format.finished_and_collected, jobs))
        due = done == len(jobs) or time.monotonic() - self._printed_at >= _LINE_SECONDS
        if summary != self._printed and due:
            self._printed, self._printed_at = summary, time.monotonic()
            downloaded = f" · {byte_text(self._bytes)} downloaded" if self._bytes else ""
            console.print_message(f"{self._title}: {done} of {len(jobs)} done: {summary}{downloaded}")

    def downloaded(self, done: int, total: int) -> None:
        """Called with the bytes downloaded so far and in all."""
        if done == total:
            self._bytes += total
        if time.monotonic() - self._download_printed_at >= _DOWNLOAD_LINE_SECONDS:
            self._download_printed_at = time.monotonic()
            console.print_message(f"{self._title}: downloading: {self._speed.text(done, total)}")


class ProgressBar:
    """Progress on a terminal: one line, which is removed at the end.

    Args:
        title: the beginning of the line; a long one is cut.
        read_jobs: called at each update.
    """

    def __init__(self, title: str, read_jobs: ReadJobs) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        short = title if len(title) <= _LONGEST_TITLE else title[: _LONGEST_TITLE - 1] + "…"
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.completed:.0f}/{task.total:.0f}", markup=False),
            TextColumn("{task.fields[summary]}", markup=False),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=console.stderr_console(), transient=True)
        self._task = self._progress.add_task(console.printable(short), total=max(1, len(read_jobs())), summary="")
        self._read_jobs, self._drawn_at, self._speed, self._summary = read_jobs, 0.0, Speed(), ""

    def __enter__(self) -> ProgressBar:
        self._animation = console.animation(self._progress.start, self._progress.stop)
        self._animation.__enter__()
        self.update()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._animation.__exit__(kind, error, trace)

    def update(self) -> None:
        """Read the jobs after a poll, and draw the bar."""
        jobs = self._read_jobs()
        self._summary = _summary(jobs)
        done = sum(map(format.finished_and_collected, jobs))
        self._progress.update(self._task, completed=done, summary=self._summary)

    def downloaded(self, done: int, total: int) -> None:
        """Called with the bytes downloaded so far and in all."""
        if time.monotonic() - self._drawn_at >= _REDRAW_SECONDS:
            self._drawn_at = time.monotonic()
            self._progress.update(self._task, summary=f"{self._summary} · {self._speed.text(done, total)}")


def progress_display(title: str, read_jobs: ReadJobs) -> ProgressBar | ProgressLines:
    """A bar if stderr is a terminal, else lines."""
    if console.is_plain(sys.stderr) or not console.stderr_console().is_terminal:
        return ProgressLines(title, read_jobs)
    return ProgressBar(title, read_jobs)
