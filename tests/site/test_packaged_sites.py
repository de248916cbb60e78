"""The site files that come with the package: complete, with their sources, and good for every kind of job."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tests import ROOT

from scheduler import Job, JobType
from scheduler.site.packaged import packaged_folder
from scheduler.render.bundle import render
from scheduler.site.catalog import find_site
from scheduler.site.site import Site

FOLDER = packaged_folder("site_configs")
PACKAGED = sorted(path.stem for path in FOLDER.glob("*.yaml"))
OF_OURS = ("local", "example", "workstation")
"""Nobody else's machines: they have no sources."""
ALLIANCE = ("fir", "narval", "nibi", "rorqual", "trillium")
PROMISED = {*OF_OURS, *ALLIANCE, "jlab", "bnl", "perlmutter", "frontier", "stampede3", "duke-dcc"}
SENTENCE = "automation nodes are designed for predictable workloads. They are not suitable for usage of AI agents."


def site(name: str) -> Site:
    return find_site(name, folders=[FOLDER])


def comments(name: str) -> str:
    """What its comments say, in one line."""
    lines = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    return " ".join(line.partition("#")[2].strip() for line in lines if "#" in line)


def test_the_sites_that_are_promised_are_there() -> None:
    assert set(PACKAGED) >= PROMISED


@pytest.mark.parametrize("name", [name for name in PACKAGED if name not in OF_OURS])
def test_a_site_says_how_to_log_in_whence_its_facts_are_and_which_are_not_confirmed(name: str) -> None:
    said = comments(name)
    for word in ("Logging in:", "Sources:", "Yours to add"):
        assert word in said, f"{name}.yaml does not say: {word}"
    marked = bool(re.search(r"\[[UM]\]", said.replace("[U] marks", "").replace("[M] what", "")))
    assert marked == ("[U] marks" in said), f"{name}.yaml marks what is not confirmed, and says what the mark means"


@pytest.mark.parametrize("name", [name for name in PACKAGED if name not in ("local", "example", "workstation")])
def test_a_site_has_limits_and_knows_where_images_of_eic_are(name: str) -> None:
    found = site(name)
    assert found.limits.walltime and (found.limits.poll_seconds or 0) >= 30
    assert found.container.binds
    assert re.search(r"eicweb/eic_xl|\bimage\b", comments(name))


@pytest.mark.parametrize("name", ALLIANCE)
def test_the_alliance_says_who_must_not_use_its_automation_nodes(name: str) -> None:
    assert SENTENCE in comments(name)


def answer(x: int) -> dict[str, int]:
    return {"x": x}


def jobs(folder: Path) -> list[Job]:
    """One of each kind."""
    (folder / "a.sh").write_text("true\n")
    (folder / "a.py").write_text("print()\n")
    image = "/cvmfs/singularity.opensciencegrid.org/eicweb/eic_xl:26.05.0-stable"
    return [
        Job("script", JobType.SCRIPT, script_path=folder / "a.sh", working_dir=folder / "1"),
        Job("python", JobType.SCRIPT, script_path=folder / "a.py", working_dir=folder / "2"),
        Job("container", JobType.CONTAINER, container_image=image, container_command="npsim", working_dir=folder / "3"),
        Job("run", JobType.CONTAINER, container_image=image, working_dir=folder / "4"),
        Job("function", function=answer, params={"x": 1}, working_dir=folder / "5"),
        Job("inside", function=answer, params={"x": 1}, container_image=image, working_dir=folder / "6"),
    ]


@pytest.mark.parametrize("name", PACKAGED)
def test_every_kind_of_job_becomes_a_script_that_bash_can_read(name: str, tmp_path: Path) -> None:
    found = site(name)
    sent = [job for job in jobs(tmp_path) if not (found.native and found.scheduler == "shell")]
    for group in ([job] for job in sent):  # alone
        bundle = render(group, found)
        read_by_bash(bundle.files[bundle.batches[0].script])
    bundle = render(sent, found)  # as an array
    for batch in bundle.batches:
        read_by_bash(bundle.files[batch.script])


def read_by_bash(script: bytes | Path) -> None:
    assert isinstance(script, bytes)
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("name", PACKAGED)
def test_a_site_is_on_the_page_that_tells_how_to_log_in(name: str) -> None:
    page = (ROOT / "docs/pages/site-list.md").read_text(encoding="utf-8")
    assert f"`{name}`" in page, f"docs/pages/site-list.md does not speak of {name}"
