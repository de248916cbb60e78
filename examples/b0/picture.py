#!/usr/bin/env python3
"""The plot of the example: momentum resolution against plane spacing, from the result.json files of a sweep.

    picture.py demo-output/acts --scan scan.yaml --output b0.png

Prints a table and plots the same numbers; the seeds of one spacing are averaged into one point. Missing results are
listed below the table and counted in the title. Exit code: 0 complete, 1 nothing to plot, 3 plotted but incomplete.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, GREY, BLUE, RED = "#22262b", "#666d77", "#1f5fa8", "#b3261e"


class Cell(NamedTuple):
    """One job of the sweep: the distance between planes in cm, and the seed."""

    spacing: float
    seed: int

    def __str__(self) -> str:
        return f"spacing {self.spacing:g} cm, seed {self.seed}"


class Setting(NamedTuple):
    """What all jobs of a sweep have in common. z1, the position of the first plane, in cm; momentum in GeV."""

    engine: str
    momentum: float
    z1: float

    def __str__(self) -> str:
        engine = {"acts": "ACTS", "toy": "Toy"}.get(self.engine, self.engine)
        return f"{engine} simulation, {self.momentum:g} GeV protons, first plane at {self.z1:g} cm"


@dataclass(frozen=True)
class Result:
    """The values of one result.json that are plotted. Resolution and its error are fractions."""

    cell: Cell
    setting: Setting
    resolution: float
    error: float
    events: int
    tracks: int


@dataclass(frozen=True)
class Point:
    """The average over the seeds of one spacing. Resolution, its error and the acceptance in percent."""

    spacing: float
    resolution: float
    error: float
    acceptance: float
    tracks: int
    seeds: int

    @classmethod
    def of(cls, results: Sequence[Result]) -> Point:
        """The average, weighted by tracks. Weights from the errors would favour seeds with a small resolution."""
        tracks = sum(r.tracks for r in results)
        return cls(
            spacing=results[0].cell.spacing,
            resolution=100 * sum(r.tracks * r.resolution for r in results) / tracks,
            error=100 * math.hypot(*(r.tracks * r.error for r in results)) / tracks,
            acceptance=100 * tracks / sum(r.events for r in results),
            tracks=tracks,
            seeds=len(results),
        )


@dataclass(frozen=True)
class Sweep:
    """The valid results, why the other folders have none (folder → reason), and the expected cells."""

    results: Mapping[Cell, Result]
    invalid: Mapping[str, str]
    expected: frozenset[Cell]

    @property
    def missing(self) -> list[Cell]:
        """Expected cells without a result."""
        return sorted(self.expected - self.results.keys())

    @property
    def points(self) -> list[Point]:
        """One point for each spacing that has results, in order."""
        spacings = sorted({cell.spacing for cell in self.results})
        return [Point.of([r for cell, r in self.results.items() if cell.spacing == s]) for s in spacings]


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the results, print the table, draw the plot; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="the folder that contains the jobs' folders")
    parser.add_argument("--output", type=Path, default=Path("b0.png"), help="the plot, a PNG (default: %(default)s)")
    parser.add_argument("--scan", type=Path, help="the sweep's job file, which defines the expected points")
    options = parser.parse_args(arguments)
    try:
        sweep = read_sweep(options.folder, expected=expected_cells(options.scan) if options.scan else frozenset())
        print("\n".join([*table(sweep), *problems(sweep)]))
        draw(sweep, options.output)
    except (OSError, ValueError) as error:
        print(f"picture: {error}", file=sys.stderr)
        return 1
    print(f"\nPlot: {options.output}")
    return 3 if sweep.missing or sweep.invalid else 0


def expected_cells(scan: Path) -> frozenset[Cell]:
    """The cells of the sweep in a job file."""
    from scheduler import SchedulerError  # only --scan needs the scheduler
    from scheduler.campaign.jobfile import read_job_file

    try:
        jobs = read_job_file(scan).jobs()
        return frozenset(Cell(float(job.params["dz"]), int(job.params["seed"])) for job in jobs)
    except SchedulerError as error:
        raise ValueError(error) from error
    except KeyError as error:
        raise ValueError(f"{scan} does not scan {error}") from None


def read_sweep(folder: Path, *, expected: frozenset[Cell]) -> Sweep:
    """Read every job's folder; without `expected`, every seed that was found is expected for every spacing."""
    results: dict[Cell, Result] = {}
    settings: set[Setting] = set()
    invalid = {path.name: "no result.json" for path in _folders_without_result(folder)}
    for path in _result_files(folder):
        name = str(path.parent.relative_to(folder))
        try:
            result = read_result(path)
        except (ValueError, TypeError, KeyError) as error:
            invalid[name] = f"result.json is not valid, {type(error).__name__}: {error}"
            continue
        settings.add(result.setting)
        if results.setdefault(result.cell, result) is not result:
            invalid[name] = f"a second result for {result.cell}"
    if not results:
        raise ValueError("\n  ".join([f"no results in {folder}", *(f"{k}: {v}" for k, v in invalid.items())]))
    if len(settings) > 1:
        raise ValueError(f"{folder} holds more than one sweep: " + "; ".join(sorted(map(str, settings))))
    grid = product({cell.spacing for cell in results}, {cell.seed for cell in results})
    return Sweep(results, invalid, expected or frozenset(Cell(*pair) for pair in grid))


def read_result(path: Path) -> Result:
    """Read one result.json; ValueError, TypeError or KeyError if it was not written by this example."""
    found = json.loads(path.read_text(encoding="utf-8"))
    params = found["params"]
    if len(spacings := {float(params[name]) for name in ("dz2", "dz3", "dz4")}) > 1:
        raise ValueError("the planes are not evenly spaced")
    return Result(
        cell=Cell(spacings.pop(), int(found["seed"])),
        setting=Setting(str(found["engine"]), float(params["momentum"]), float(params["z1"])),
        resolution=float(found["p_resolution"]),
        error=float(found["p_resolution_err"]),
        events=int(found["events"]),
        tracks=int(found["tracks"]),
    )


def _result_files(folder: Path) -> Iterator[Path]:
    """Every job's result.json; one inside the folder of another job is a copy."""
    taken: set[Path] = set()
    for path in sorted(folder.rglob("result.json"), key=lambda path: (len(path.parts), path)):
        if taken.isdisjoint(path.parent.parents):
            taken.add(path.parent)
            yield path


def _folders_without_result(folder: Path) -> list[Path]:
    folders = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return [path for path in folders if next(path.rglob("result.json"), None) is None]


def table(sweep: Sweep) -> list[str]:
    """The points as lines of text; a spacing without results has a line too."""
    points = {point.spacing: point for point in sweep.points}
    lines = [str(next(iter(sweep.results.values())).setting), ""]
    lines.append("spacing/cm  resolution/%  error/%  acceptance/%  tracks  seeds")
    for spacing in sorted({cell.spacing for cell in sweep.expected} | points.keys()):
        seeds = sum(cell.spacing == spacing for cell in sweep.expected | sweep.results.keys())
        if p := points.get(spacing):
            values = f"{p.resolution:12.3f}  {p.error:7.3f}  {p.acceptance:12.1f}  {p.tracks:6}  {p.seeds}/{seeds}"
        else:
            values = f"{'missing':>12}  {'':7}  {'':12}  {0:6}  0/{seeds}"
        lines.append(f"{spacing:10g}  {values}")
    return lines


def problems(sweep: Sweep) -> list[str]:
    """Missing and invalid results, line by line; empty if the sweep is complete."""
    lines = []
    if sweep.missing:
        lines += ["", f"MISSING: {len(sweep.missing)} of {len(sweep.expected)} points"]
        lines += [f"  {cell}" for cell in sweep.missing]
    if sweep.invalid:
        lines += ["", "Folders without a valid result:"]
        lines += [f"  {name}: {why}" for name, why in sorted(sweep.invalid.items())]
    return lines


def draw(sweep: Sweep, output: Path) -> None:
    """Plot resolution against spacing, both axes logarithmic, as a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import NullFormatter, NullLocator

    with mpl.rc_context({"font.size": 11, "axes.edgecolor": GREY, "text.color": INK}):
        figure, axes = plt.subplots(figsize=(7.2, 5.0), layout="constrained")
        axes.set(xscale="log", yscale="log", xlabel="Distance between planes (cm)")
        axes.set_ylabel(r"Momentum resolution $\sigma_p/p$ (%)")
        plot(axes, sweep)
        low, high = axes.get_ylim()
        ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low < tick < high]
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.yaxis.set_minor_formatter(NullFormatter())
        spacings = sorted({cell.spacing for cell in sweep.expected | sweep.results.keys()})
        axes.set_xticks(spacings, [f"{spacing:g}" for spacing in spacings])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(alpha=0.2)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="upper right")
        title, *rest = titles(sweep)
        figure.suptitle(title, x=0.02, ha="left", size=14, weight="bold")
        axes.set_title("\n".join(rest), loc="left", size=10.5, color=RED if sweep.missing else GREY, pad=12)
        figure.savefig(output, dpi=160)
        plt.close(figure)


def plot(axes: Axes, sweep: Sweep) -> None:
    """The points with errors and values, the single jobs beside them, and the power law for hit errors alone."""
    points = sweep.points
    spacings, values = [point.spacing for point in points], [point.resolution for point in points]
    guide = [values[-1] * (spacings[-1] / spacing) ** 2 for spacing in spacings]
    axes.plot(spacings, guide, "--", color=GREY, lw=1, label=r"$\propto 1/\mathrm{distance}^2$, through the last point")
    beside = [cell.spacing * 0.975 for cell in sweep.results]
    seeds = [100 * result.resolution for result in sweep.results.values()]
    axes.plot(beside, seeds, "o", color=BLUE, ms=4, mew=0, alpha=0.4, label="single jobs (shifted left)")
    errors = [point.error for point in points]
    axes.errorbar(spacings, values, errors, fmt="o", color=BLUE, ms=4, capsize=4, label="average of all seeds")
    for point in points:
        axes.annotate(
            f"{point.resolution:.2f} %",
            (point.spacing, point.resolution),
            (-12, -7),
            textcoords="offset points",
            ha="right",
            va="top",
            color=BLUE,
            size=10,
        )
    axes.margins(x=0.12, y=0.14)


def titles(sweep: Sweep) -> list[str]:
    """The title and subtitles; the last line shows whether the sweep is incomplete."""
    events = " or ".join(str(events) for events in sorted({r.events for r in sweep.results.values()}))
    lines = [str(next(iter(sweep.results.values())).setting), f"{len(sweep.results)} jobs of {events} events"]
    if sweep.missing:
        lines[1] += f"; INCOMPLETE: {len(sweep.missing)} of {len(sweep.expected)} points are missing"
    return ["Momentum resolution of a B0-like telescope", *lines]


if __name__ == "__main__":
    sys.exit(main())
