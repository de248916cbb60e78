#!/usr/bin/env python3
"""One job of the example: the momentum resolution of a B0-like telescope, simulated with ACTS.

Four planes of silicon, 60 cm x 60 cm x 0.3 mm, in a 1.3-T dipole measure protons of one momentum at
pseudorapidity 4.6 to 5.9. Gun, Fatras simulation (multiple scattering, energy loss), hits smeared by
20 um/sqrt(12), Kalman fit. Writes `b0.edm4eic.root`, whose TTree `events` has one entry per track, and
`result.json` to the current directory.

The whole job is this one file, because a script job uploads one file. b0_toy.py does the same without
ACTS. Needs uproot and pyacts 48.1 or newer (in older versions a fit could not end on a plane), and so Python 3.11.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import accumulate
from pathlib import Path
from typing import Any

import acts  # type: ignore[import-untyped]
import acts.examples  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
import uproot  # type: ignore[import-untyped]
from acts.examples import reconstruction, simulation

u = acts.UnitConstants

FIELD_TESLA = 1.3
HALF_WIDTH_MM = 300.0
THICKNESS_MM = 0.3
HIT_SIGMA_MM = 0.020 / math.sqrt(12)
ETA_RANGE = (4.6, 5.9)

BRANCHES = {
    "eventNumber": np.dtype("int32"),
    "p": np.dtype("float64"),  # GeV, at z = 0
    "theta": np.dtype("float64"),  # rad
    "phi": np.dtype("float64"),  # rad
    "chi2": np.dtype("float64"),
    "nMeas": np.dtype("int32"),
}


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
    def planes_mm(self) -> list[float]:
        """Positions of the planes on the beam axis, from the interaction point, in mm."""
        return [10.0 * z for z in accumulate((self.z1, self.dz2, self.dz3, self.dz4))]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one job: parameters in, ROOT file and result.json out."""
    parameters = read_parameters(arguments)
    tracks = simulate(parameters)
    write_tracks(Path("b0.edm4eic.root"), tracks)
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


def simulate(parameters: Parameters) -> npt.NDArray[np.float64]:
    """Simulate and fit; one row per track in the order of the events, with the columns of BRANCHES."""
    detector = acts.examples.TelescopeDetector(
        bounds=[HALF_WIDTH_MM * u.mm] * 2,
        positions=[z * u.mm for z in parameters.planes_mm],
        stereos=[0] * 4,
        rotDirection=2,
        thickness=THICKNESS_MM * u.mm,
    )
    geometry = detector.trackingGeometry()
    field = acts.ConstantBField(acts.Vector3(0, FIELD_TESLA * u.T, 0))
    random = acts.examples.RandomNumbers(seed=parameters.seed)
    sequencer = acts.examples.Sequencer(
        events=parameters.events, numThreads=1, logLevel=acts.logging.WARNING, trackFpes=False
    )
    add_gun(sequencer, random, momentum_gev=parameters.momentum)
    simulation.addFatras(sequencer, geometry, field, rnd=random, enableInteractions=True)
    add_digitisation(sequencer, geometry, field, random)
    add_fit(sequencer, geometry, field)
    collector = TrackCollector()
    sequencer.addAlgorithm(collector)
    sequencer.run()
    return np.array(sorted(collector.rows), dtype=np.float64).reshape(-1, len(BRANCHES))


def add_gun(sequencer: Any, random: Any, *, momentum_gev: float) -> None:
    """One proton per event from the interaction point, uniform in pseudorapidity and azimuth."""
    simulation.addParticleGun(
        sequencer,
        simulation.MomentumConfig(momentum_gev * u.GeV, momentum_gev * u.GeV, transverse=False),
        simulation.EtaConfig(*ETA_RANGE, uniform=True),
        simulation.PhiConfig(0.0, 360.0 * u.degree),
        simulation.ParticleConfig(1, acts.PdgParticle.eProton, randomizeCharge=False),
        multiplicity=1,
        rnd=random,
    )


def add_digitisation(sequencer: Any, geometry: Any, field: Any, random: Any) -> None:
    """Hits with a Gaussian error of HIT_SIGMA_MM in x and y, for particles that hit all four planes."""
    smearing = [{"index": i, "mean": 0.0, "stddev": HIT_SIGMA_MM, "type": "Gauss"} for i in (0, 1)]
    header = {"format-version": 0, "value-identifier": "digitization-configuration"}
    entries = [{"volume": 1, "value": {"smearing": smearing}}]
    with tempfile.TemporaryDirectory() as folder:  # ACTS reads this from a file, during its setup only
        path = Path(folder, "digitisation.json")
        config = {"acts-geometry-hierarchy-map": header, "entries": entries}
        path.write_text(json.dumps(config), encoding="utf-8")
        simulation.addDigitization(sequencer, geometry, field, digiConfigFile=path, rnd=random)
    simulation.addDigiParticleSelection(
        sequencer,
        simulation.ParticleSelectorConfig(measurements=(4, None), removeNeutral=True, removeSecondaries=True),
    )


def add_fit(sequencer: Any, geometry: Any, field: Any) -> None:
    """Kalman fit, started at the true track with wide errors; its result is taken at the plane z = 0.

    The start constrains the fit. Its position errors are those of a perigee: at these angles 1 mm along the beam is
    5 to 20 um across it, which is a vertex constraint, and one degree in azimuth is 0.1 to 0.3 mrad of
    direction. Without them the resolution would be worse, most of all for closely spaced or distant planes.
    """
    smeared = ("loc0", "loc0PtA", "loc0PtB", "loc1", "loc1PtA", "loc1PtB", "time", "phi", "theta", "ptRel")
    reconstruction.addSeeding(
        sequencer,
        geometry,
        field,
        inputParticles="particles_generated",
        seedingAlgorithm=reconstruction.SeedingAlgorithm.TruthSmeared,
        trackSmearingSigmas=reconstruction.TrackSmearingSigmas(**dict.fromkeys(smeared, 0)),
        particleHypothesis=acts.ParticleHypothesis.pion,
        initialSigmas=[1 * u.mm, 1 * u.mm, 1 * u.degree, 1 * u.degree, 0 / u.GeV, 1 * u.ns],
        initialSigmaQoverPt=0.1 / u.GeV,
        initialSigmaPtRel=0.1,
        initialVarInflation=[1.0] * 6,
    )
    # A plane, because the default reference, a line along the beam, loses half of the tracks so close to it.
    bounds = acts.RectangleBounds(HALF_WIDTH_MM * u.mm, HALF_WIDTH_MM * u.mm)
    origin = acts.Surface.createPlane(acts.Transform3(acts.Vector3(0, 0, 0)), bounds)
    reconstruction.addKalmanTracks(sequencer, geometry, field, referenceSurface=origin)


class TrackCollector(acts.examples.IAlgorithm):  # type: ignore[misc]
    """Collects the values of BRANCHES for every fitted track."""

    def __init__(self) -> None:
        super().__init__("TrackCollector", acts.logging.WARNING)
        self.rows: list[tuple[float, ...]] = []
        self._tracks = acts.examples.ReadDataHandle(self, acts.examples.ConstTrackContainer, "Tracks")
        self._tracks.initialize("kf_tracks")

    def execute(self, context: Any) -> Any:
        """Called by ACTS once per event."""
        self.rows.extend(self._fitted(context))
        return acts.examples.ProcessCode.SUCCESS

    def _fitted(self, context: Any) -> Iterator[tuple[float, ...]]:
        for t in self._tracks(context.eventStore):
            if t.qOverP != 0:  # zero: the fit gave no parameters at the reference plane
                yield context.eventNumber, abs(1 / t.qOverP), t.theta, t.phi, t.chi2, t.nMeasurements


def write_tracks(path: Path, tracks: npt.NDArray[np.float64]) -> None:
    """Write the tracks as TTree `events`; `file[name] = arrays` would write an RNTuple since uproot 5.7."""
    columns = zip(BRANCHES.items(), tracks.T, strict=True)
    with uproot.recreate(path) as file:
        tree = file.mktree("events", BRANCHES)
        tree.extend({name: column.astype(kind) for (name, kind), column in columns})


def summary(parameters: Parameters, tracks: npt.NDArray[np.float64]) -> dict[str, Any]:
    """The content of result.json; `acceptance` is the fraction of events with a fitted track."""
    values = asdict(parameters)
    events, seed = values.pop("events"), values.pop("seed")
    sigma, error = relative_resolution(tracks[:, 1], parameters.momentum)
    return {
        "p_resolution": sigma,
        "p_resolution_err": error,
        "acceptance": len(tracks) / events,
        "params": values,
        "seed": seed,
        "events": events,
        "tracks": len(tracks),
        "engine": "acts",
    }


def relative_resolution(momenta: npt.NDArray[np.float64], true_momentum: float) -> tuple[float, float]:
    """Sigma of (p - true)/true and its statistical error, both as fractions.

    Sigma is taken from the quartiles, so that it is robust against a few bad tracks; deviations above one half are
    excluded.
    """
    deviations = momenta / true_momentum - 1.0
    deviations = deviations[np.abs(deviations) < 0.5]
    if len(deviations) < 2:
        raise SystemExit(
            f"b0_tracking: {len(deviations)} usable of {len(momenta)} tracks: no resolution can be computed"
        )
    low, high = np.percentile(deviations, [25, 75])
    sigma = float(high - low) / 1.349  # the quartiles of a Gaussian are 1.349 sigma apart
    return sigma, 1.166 * sigma / math.sqrt(len(deviations))  # 0.707 for a variance; quartiles are less precise


if __name__ == "__main__":
    main()
