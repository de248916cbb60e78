"""Stand-ins for npsim, eicrecon and their container image: small scripts that refuse what the real ones refuse.

The examples for ePIC users in README, docs and examples/ run against them as they are written. What each real program
does was read in its source; the first lines of each stand-in name it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

FOLDER = Path(__file__).parent
IMAGE = "/cvmfs/singularity.opensciencegrid.org/eicweb/eic_xl:26.05.0-stable"
"""The image that all examples name."""
CONFIGS = ("epic", "epic_craterlake", "epic_craterlake_5x41", "epic_craterlake_10x100", "epic_craterlake_18x275")
"""The detector configurations in the stand-in; epic's own are many more."""


def write_image(folder: Path) -> Path:
    """Write what the stand-in for the eic_xl image adds to a root file system: programs, detector, environment.

    Args:
        folder: the root of the image, for instance of an unpacked one. It is made if it does not exist.

    Returns:
        `folder`.
    """
    programs, detector = folder / "opt/local/bin", folder / "opt/detector/epic-26.05.0/share/epic"
    environment = folder / ".singularity.d/env"
    for path in (programs, detector, environment):
        path.mkdir(parents=True, exist_ok=True)
    for name in ("npsim", "eicrecon"):
        shutil.copy(FOLDER / name, programs)
    shutil.copy(FOLDER / "image-env.sh", environment / "99-zz_jug_env.sh")
    for config in CONFIGS:
        (detector / f"{config}.xml").write_text("<lccdd/>\n")
    return folder


def install_apptainer(folder: Path) -> Path:
    """Write the stand-in for apptainer into `folder`, which is then to be put first in PATH; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("apptainer", "singularity"):
        shutil.copy(FOLDER / "apptainer", folder / name)
    return folder
