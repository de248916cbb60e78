#!/usr/bin/env python3
"""One job of the example without ACTS: the telescope of b0_tracking.py in plain Python, with nothing to install.

Planes, field, particles, hit errors, fit and parameters are the same. Simplified: tracks are parabolas (good for small
angles, that is above about 10 GeV), scattering is Gaussian (Highland's formula) and there is no energy loss. Writes
`b0.csv`, one line per track, and `result.json` to the current directory.

The whole job is this one file, because a script job uploads one file. Lengths are in m
unless a name has another unit.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

FIELD_TESLA = 1.3
HALF_WIDTH = 0.300
HIT_SIGMA = 20e-6 / math.sqrt(12)
RADIATION_LENGTHS = 0.3 / 93.7  # of one plane: 0.3 mm of silicon
ETA_RANGE = (4.6, 5.9)
PROTON_MASS_GEV = 0.938272
CURVATURE_GEV = 0.299792458 * FIELD_TESLA  # 1/m times GeV: a track of momentum p has x'' = -CURVATURE_GEV / p

# Errors of position (m) and direction (rad) at the start of the fit, as for the Kalman fit of the ACTS job.
START_SIGMA = 1e-3
START_SIGMA_ANGLE = math.radians(1.0)

Hits = tuple[list[float], list[float]]  # x and y on the planes


@dataclass(frozen=True)
class Parameters:
    """The parameters of one job. Lengths in cm, momentum in GeV; `seed` determines all random numbers."""

    z1: float = 10.0
    dz2: float = 30.0
    dz3: float = 30.0
    dz4: float = 30.0
    momentum: float = 100.0
    events: int = 1000
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("z1", "dz2", "dz3", "dz4", "momentum", "events"):
            if not (getattr(self, name) > 0 and math.isfinite(getattr(self, name))):
                raise ValueError(f"{name} must be above zero, not {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, not {self.seed}")

    @property
    def planes(self) -> list[float]:
        """Positions of the planes on the beam axis, from the interaction point, in m."""
        return [0.01 * z for z in accumulate((self.z1, self.dz2, self.dz3, self.dz4))]

    @property
    def scattering_angle(self) -> float:
        """Width of the scattering angle of one plane in x and in y, in rad: Highland's formula (PDG review, 34.3)."""
        beta = self.momentum / math.hypot(self.momentum, PROTON_MASS_GEV)
        width = 0.0136 / (beta * self.momentum) * math.sqrt(RADIATION_LENGTHS)
        return width * (1 + 0.038 * math.log(RADIATION_LENGTHS / beta**2))


class Track(NamedTuple):
    """A fitted track at z = 0; p in GeV, angles in rad. The names are the columns of b0.csv."""

    eventNumber: int  # noqa: N815  (the name in the ROOT file)
    p: float
    theta: float
    phi: float
    chi2: float
    nMeas: int  # noqa: N815


class Particle(NamedTuple):
    """A generated particle, from the origin: slopes dx/dz and dy/dz there, and the curvature x'' in 1/m."""

    x_slope: float
    y_slope: float
    curvature: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one job: parameters in, b0.csv and result.json out."""
    parameters = read_parameters(arguments)
    tracks = simulate(parameters)
    with Path("b0.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([Track._fields, *tracks])
    result = summary(parameters, tracks)
    Path("result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


def read_parameters(arguments: Sequence[str] | None = None) -> Parameters:
    """Parameters from the flags, else from the JSON file in JOB_PARAMS_FILE, else the defaults.

    `dz` sets dz2, dz3 and dz4 together. An unknown name ends the job: with a misspelt parameter all jobs of a
    sweep would otherwise simulate the same geometry.
    """
    types: dict[str, Callable[[Any], Any]] = {"dz": float}
    types |= {field.name: type(field.default) for field in fields(Parameters)}
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--params", default=os.environ.get("JOB_PARAMS_FILE"), help="JSON file of parameters")
    for name, kind in types.items():
        parser.add_argument(f"--{name}", type=kind)
    flags = vars(parser.parse_args(arguments))
    path = flags.pop("params")
    try:
        given = {name: value for name, value in flags.items() if value is not None}
        values = _spacings(_read_file(Path(path), known=list(types)) if path else {}) | _spacings(given)
        return Parameters(**{name: types[name](value) for name, value in values.items()})
    except (OSError, ValueError, TypeError) as error:
        parser.error(str(error))


def _read_file(path: Path, *, known: Sequence[str]) -> dict[str, Any]:
    values = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise ValueError(f"{path} contains {values!r}, not an object of parameters")
    if unknown := sorted(values.keys() - set(known)):
        raise ValueError(f"{path}: unknown parameters {', '.join(unknown)}; known are {', '.join(known)}")
    return values


def _spacings(values: dict[str, Any]) -> dict[str, Any]:
    """Replace `dz` by dz2, dz3 and dz4, except for those that are given themselves."""
    rest = {name: value for name, value in values.items() if name != "dz"}
    return {name: values["dz"] for name in ("dz2", "dz3", "dz4") if "dz" in values} | rest


def simulate(parameters: Parameters) -> list[Track]:
    """Simulate and fit. A particle that misses a plane has no track."""
    rng = random.Random(parameters.seed)
    tracks = []
    for event in range(parameters.events):
        particle = generated(rng, parameters.momentum)
        x_hits, y_hits = measured(rng, particle, parameters)
        if max(map(abs, x_hits + y_hits)) < HALF_WIDTH:
            tracks.append(fitted(event, particle, (x_hits, y_hits), parameters))
    return tracks


def generated(rng: random.Random, momentum_gev: float) -> Particle:
    """A proton, uniform in pseudorapidity and azimuth."""
    slope = math.tan(2 * math.atan(math.exp(-rng.uniform(*ETA_RANGE))))
    phi = rng.uniform(0, 2 * math.pi)
    return Particle(slope * math.cos(phi), slope * math.sin(phi), -CURVATURE_GEV / momentum_gev)


def measured(rng: random.Random, particle: Particle, parameters: Parameters) -> Hits:
    """Measured x and y on the planes: a parabola from plane to plane, scattered in each plane; then smeared."""
    x = y = z = 0.0
    x_slope, y_slope, curvature = particle
    x_hits, y_hits = [], []
    for plane in parameters.planes:
        step, z = plane - z, plane
        x += (x_slope + curvature * step / 2) * step
        y += y_slope * step
        x_hits.append(rng.gauss(x, HIT_SIGMA))
        y_hits.append(rng.gauss(y, HIT_SIGMA))
        x_slope += curvature * step + rng.gauss(0, parameters.scattering_angle)
        y_slope += rng.gauss(0, parameters.scattering_angle)
    return x_hits, y_hits


def fitted(event: int, start: Particle, hits: Hits, parameters: Parameters) -> Track:
    """Kalman filter from the last plane back to z = 0, where the start enters as four more measurements.

    The state is (x, x slope, curvature, y, y slope). The start is the true track with errors that constrain the fit:
    START_SIGMA along the beam and across the track, START_SIGMA_ANGLE in polar angle and azimuth; at 10 mrad
    that is 10 um and 0.2 mrad. The ACTS job starts its fit in the same way.
    """
    state = State([0.0] * 5, [[float(i == j) for j in range(5)] for i in range(5)])  # +- 1 m, 1 rad, 1/m
    planes = [0.0, *parameters.planes]
    for number in range(len(planes) - 1, 0, -1):
        x, y = (axis[number - 1] for axis in hits)
        state.measure([1, 0, 0, 0, 0], x, sigma=HIT_SIGMA)
        state.measure([0, 0, 0, 1, 0], y, sigma=HIT_SIGMA)
        state.scatter(parameters.scattering_angle)
        state.move(planes[number - 1] - planes[number])
    slope = math.hypot(start.x_slope, start.y_slope)
    cos, sin = start.x_slope / slope, start.y_slope / slope
    state.measure([cos, 0, 0, sin, 0], 0.0, sigma=START_SIGMA * slope)
    state.measure([-sin, 0, 0, cos, 0], 0.0, sigma=START_SIGMA)
    state.measure([0, cos, 0, 0, sin], slope, sigma=START_SIGMA_ANGLE)
    state.measure([0, -sin, 0, 0, cos], 0.0, sigma=START_SIGMA_ANGLE * slope)
    _, x_slope, curvature, _, y_slope = state.values
    momentum = CURVATURE_GEV / abs(curvature) if curvature else math.inf
    theta, phi = math.atan(math.hypot(x_slope, y_slope)), math.atan2(y_slope, x_slope)
    return Track(event, momentum, theta, phi, state.chi2, len(planes) - 1)


@dataclass
class State:
    """The state of the filter at one z: values, their covariance, and the chi2 of the measurements so far."""

    values: list[float]
    covariance: list[list[float]]
    chi2: float = 0.0

    def measure(self, projection: Sequence[float], value: float, *, sigma: float) -> None:
        """Update with a measurement: the projection of the values is `value` with error `sigma`."""
        shared = [dot(row, projection) for row in self.covariance]
        variance = dot(projection, shared) + sigma**2
        residual = value - dot(projection, self.values)
        self.values = [v + s / variance * residual for v, s in zip(self.values, shared, strict=True)]
        self.covariance = [
            [c - a * b / variance for b, c in zip(shared, row, strict=True)]
            for a, row in zip(shared, self.covariance, strict=True)
        ]
        self.chi2 += residual**2 / variance

    def scatter(self, angle: float) -> None:
        """Add the variance of scattering by `angle` (rad, one sigma) to the slopes."""
        self.covariance[1][1] += angle**2
        self.covariance[4][4] += angle**2

    def move(self, step: float) -> None:
        """Propagate along the parabola by `step` in z, in m."""
        model: list[list[float]] = [
            [1, step, step**2 / 2, 0, 0],
            [0, 1, step, 0, 0],
            [0, 0, 1, 0, 0],
            [0, 0, 0, 1, step],
            [0, 0, 0, 0, 1],
        ]
        half = [[dot(row, column) for column in self.covariance] for row in model]  # the covariance is symmetric
        self.values = [dot(row, self.values) for row in model]
        self.covariance = [[dot(row, column) for column in model] for row in half]


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    """The scalar product."""
    return sum(x * y for x, y in zip(a, b, strict=True))


def summary(parameters: Parameters, tracks: Sequence[Track]) -> dict[str, Any]:
    """The content of result.json; `acceptance` is the fraction of events with a fitted track."""
    values = asdict(parameters)
    events, seed = values.pop("events"), values.pop("seed")
    sigma, error = relative_resolution([track.p for track in tracks], parameters.momentum)
    return {
        "p_resolution": sigma,
        "p_resolution_err": error,
        "acceptance": len(tracks) / events,
        "params": values,
        "seed": seed,
        "events": events,
        "tracks": len(tracks),
        "engine": "toy",
    }


def relative_resolution(momenta: Sequence[float], true_momentum: float) -> tuple[float, float]:
    """Sigma of (p - true)/true and its statistical error, both as fractions.

    Sigma is taken from the quartiles, so that it is robust against a few bad tracks; deviations above one half are
    excluded.
    """
    deviations = [d for p in momenta if abs(d := p / true_momentum - 1.0) < 0.5]
    if len(deviations) < 2:
        raise SystemExit(f"b0_toy: {len(deviations)} usable of {len(momenta)} tracks: no resolution")
    low, _, high = statistics.quantiles(deviations, n=4, method="inclusive")
    sigma = (high - low) / 1.349  # the quartiles of a Gaussian are 1.349 sigma apart
    return sigma, 1.166 * sigma / math.sqrt(len(deviations))  # 0.707 for a variance; quartiles are less precise


if __name__ == "__main__":
    main()
