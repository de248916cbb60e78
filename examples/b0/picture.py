#!/usr/bin/env python3
"""The picture of the example: momentum resolution against plane spacing, from a sweep's result.json files.

    picture.py demo-output/acts --scan scan.yaml --output b0.png

Prints a table and draws the same numbers; the seeds of one spacing become one point. What is missing is named
below the table and counted in the title. Exit code: 0 complete, 1 nothing to draw, 3 drawn but incomplete.
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


class Place(NamedTuple):
    """Which job of the sweep: the distance between planes in cm, and the seed."""

    spacing: float
    seed: int

    def __str__(self) -> str:
        return f"spacing {self.spacing:g} cm, seed {self.seed}"


class Setting(NamedTuple):
    """What all jobs of a sweep have in common. z1, the place of the first plane, in cm; momentum in GeV."""

    engine: str
    momentum: float
    z1: float

    def __str__(self) -> str:
        engine = {"acts": "ACTS", "toy": "Toy"}.get(self.engine, self.engine)
        return f"{engine} simulation, {self.momentum:g} GeV protons, first plane at {self.z1:g} cm"


@dataclass(frozen=True)
class Result:
    """What picture.py needs of one result.json. Resolution and its error are fractions."""

    place: Place
    setting: Setting
    resolution: float
    error: float
    events: int
    tracks: int


@dataclass(frozen=True)
class Point:
    """The seeds of one spacing together. Resolution, its error and the acceptance in percent."""

    spacing: float
    resolution: float
    error: float
    acceptance: float
    tracks: int
    seeds: int

    @classmethod
    def of(cls, results: Sequence[Result]) -> Point:
        """Each seed weighs by its tracks; by its error would favour those that came out small."""
        tracks = sum(r.tracks for r in results)
        return cls(
            spacing=results[0].place.spacing,
            resolution=100 * sum(r.tracks * r.resolution for r in results) / tracks,
            error=100 * math.hypot(*(r.tracks * r.error for r in results)) / tracks,
            acceptance=100 * tracks / sum(r.events for r in results),
            tracks=tracks,
            seeds=len(results),
        )


@dataclass(frozen=True)
class Sweep:
    """The usable results, what is wrong with the other folders, and which places there should be."""

    results: Mapping[Place, Result]
    unusable: Mapping[str, str]
    expected: frozenset[Place]

    @property
    def missing(self) -> list[Place]:
        """Expected places without a result."""
        return sorted(self.expected - self.results.keys())

    @property
    def points(self) -> list[Point]:
        """One a spacing that has results, in order."""
        spacings = sorted({place.spacing for place in self.results})
        return [Point.of([r for place, r in self.results.items() if place.spacing == s]) for s in spacings]


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, print, draw; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="the folder that holds the jobs' folders")
    parser.add_argument("--output", type=Path, default=Path("b0.png"), help="the picture (default: %(default)s)")
    parser.add_argument("--scan", type=Path, help="the sweep's job file, to know which points there should be")
    options = parser.parse_args(arguments)
    try:
        sweep = read_sweep(options.folder, expected=planned(options.scan) if options.scan else frozenset())
        print("\n".join([*table(sweep), *complaints(sweep)]))
        draw(sweep, options.output)
    except (OSError, ValueError) as error:
        print(f"picture: {error}", file=sys.stderr)
        return 1
    print(f"\nPicture: {options.output}")
    return 3 if sweep.missing or sweep.unusable else 0


def planned(scan: Path) -> frozenset[Place]:
    """The places that a job file asks for."""
    from scheduler import SchedulerError  # only --scan needs the scheduler
    from scheduler.campaign.jobfile import read_job_file

    try:
        jobs = read_job_file(scan).jobs()
        return frozenset(Place(float(job.params["dz"]), int(job.params["seed"])) for job in jobs)
    except SchedulerError as error:
        raise ValueError(error) from error
    except KeyError as error:
        raise ValueError(f"{scan} does not scan {error}") from None


def read_sweep(folder: Path, *, expected: frozenset[Place]) -> Sweep:
    """Read every job's folder; without `expected`, every seed that is seen is expected at every spacing."""
    results: dict[Place, Result] = {}
    settings: set[Setting] = set()
    unusable = {path.name: "no result.json" for path in _silent_folders(folder)}
    for path in _result_files(folder):
        name = str(path.parent.relative_to(folder))
        try:
            result = read_result(path)
        except (ValueError, TypeError, KeyError) as error:
            unusable[name] = f"result.json is of no use, {type(error).__name__}: {error}"
            continue
        settings.add(result.setting)
        if results.setdefault(result.place, result) is not result:
            unusable[name] = f"a second result for {result.place}"
    if not results:
        raise ValueError("\n  ".join([f"no results in {folder}", *(f"{k}: {v}" for k, v in unusable.items())]))
    if len(settings) > 1:
        raise ValueError(f"{folder} holds more than one sweep: " + "; ".join(sorted(map(str, settings))))
    grid = product({place.spacing for place in results}, {place.seed for place in results})
    return Sweep(results, unusable, expected or frozenset(Place(*pair) for pair in grid))


def read_result(path: Path) -> Result:
    """Read one result.json; ValueError, TypeError or KeyError if it is not one of this example."""
    found = json.loads(path.read_text(encoding="utf-8"))
    params = found["params"]
    if len(spacings := {float(params[name]) for name in ("dz2", "dz3", "dz4")}) > 1:
        raise ValueError("the planes are not evenly spaced")
    return Result(
        place=Place(spacings.pop(), int(found["seed"])),
        setting=Setting(str(found["engine"]), float(params["momentum"]), float(params["z1"])),
        resolution=float(found["p_resolution"]),
        error=float(found["p_resolution_err"]),
        events=int(found["events"]),
        tracks=int(found["tracks"]),
    )


def _result_files(folder: Path) -> Iterator[Path]:
    """Every job's result.json; one that lies inside another job's folder is a copy."""
    taken: set[Path] = set()
    for path in sorted(folder.rglob("result.json"), key=lambda path: (len(path.parts), path)):
        if taken.isdisjoint(path.parent.parents):
            taken.add(path.parent)
            yield path


def _silent_folders(folder: Path) -> list[Path]:
    folders = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return [path for path in folders if next(path.rglob("result.json"), None) is None]


def table(sweep: Sweep) -> list[str]:
    """The points as lines of text; a spacing without any result has a line too."""
    points = {point.spacing: point for point in sweep.points}
    lines = [str(next(iter(sweep.results.values())).setting), ""]
    lines.append("spacing/cm  resolution/%  error/%  acceptance/%  tracks  seeds")
    for spacing in sorted({place.spacing for place in sweep.expected} | points.keys()):
        seeds = sum(place.spacing == spacing for place in sweep.expected | sweep.results.keys())
        if p := points.get(spacing):
            values = f"{p.resolution:12.3f}  {p.error:7.3f}  {p.acceptance:12.1f}  {p.tracks:6}  {p.seeds}/{seeds}"
        else:
            values = f"{'missing':>12}  {'':7}  {'':12}  {0:6}  0/{seeds}"
        lines.append(f"{spacing:10g}  {values}")
    return lines


def complaints(sweep: Sweep) -> list[str]:
    """What is missing or of no use, line by line; nothing if all is there."""
    lines = []
    if sweep.missing:
        lines += ["", f"MISSING: {len(sweep.missing)} of {len(sweep.expected)} points"]
        lines += [f"  {place}" for place in sweep.missing]
    if sweep.unusable:
        lines += ["", "Folders without a usable result:"]
        lines += [f"  {name}: {why}" for name, why in sorted(sweep.unusable.items())]
    return lines


def draw(sweep: Sweep, output: Path) -> None:
    """Draw resolution against spacing, both axes logarithmic, and write it as a PNG."""
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
        spacings = sorted({place.spacing for place in sweep.expected | sweep.results.keys()})
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
    """The points with their errors and values, the jobs beside them, and the power law of hit errors."""
    points = sweep.points
    spacings, values = [point.spacing for point in points], [point.resolution for point in points]
    guide = [values[-1] * (spacings[-1] / spacing) ** 2 for spacing in spacings]
    axes.plot(spacings, guide, "--", color=GREY, lw=1, label=r"$\propto 1/\mathrm{distance}^2$, by the last point")
    beside = [place.spacing * 0.975 for place in sweep.results]
    seeds = [100 * result.resolution for result in sweep.results.values()]
    axes.plot(beside, seeds, "o", color=BLUE, ms=4, mew=0, alpha=0.4, label="single jobs (set aside)")
    errors = [point.error for point in points]
    axes.errorbar(spacings, values, errors, fmt="o", color=BLUE, ms=4, capsize=4, label="all seeds together")
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
    """What the picture shows, in words; the last line tells if it is incomplete."""
    events = " or ".join(str(events) for events in sorted({r.events for r in sweep.results.values()}))
    lines = [str(next(iter(sweep.results.values())).setting), f"{len(sweep.results)} jobs of {events} events"]
    if sweep.missing:
        lines[1] += f"; INCOMPLETE: {len(sweep.missing)} of {len(sweep.expected)} points are missing"
    return ["Momentum resolution of a B0-like telescope", *lines]


if __name__ == "__main__":
    sys.exit(main())
