"""The site files of the package: they have their sources, and every kind of job can be rendered for them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from scheduler import Job, JobType
from scheduler.render.bundle import render
from scheduler.site.catalog import find_site
from scheduler.site.packaged import packaged_folder
from scheduler.site.site import Site
from small_functions import echo
from tests import ROOT

FOLDER = packaged_folder("site_configs")
PACKAGED = sorted(path.stem for path in FOLDER.glob("*.yaml"))
OF_OURS = ("local", "example", "workstation")
"""Not sites of other organisations: they have no sources."""
ALLIANCE = ("fir", "narval", "nibi", "rorqual", "trillium")
PROMISED = {*OF_OURS, *ALLIANCE, "jlab", "bnl", "perlmutter", "frontier", "stampede3", "duke-dcc"}
SENTENCE = "automation nodes are designed for predictable workloads. They are not suitable for usage of AI agents."


def site(name: str) -> Site:
    return find_site(name, folders=[FOLDER])


def comments(name: str) -> str:
    """Its comments, in one line."""
    lines = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    return " ".join(line.partition("#")[2].strip() for line in lines if "#" in line)


def test_the_documented_sites_exist() -> None:
    assert set(PACKAGED) >= PROMISED


@pytest.mark.parametrize("name", [name for name in PACKAGED if name not in OF_OURS])
def test_a_site_has_comments_on_login_sources_and_unconfirmed_facts(name: str) -> None:
    text = comments(name)
    for word in ("Logging in:", "Sources:", "Yours to add"):
        assert word in text, f"{name}.yaml has no comment {word!r}"
    marked = bool(re.search(r"\[[UM]\]", text.replace("[U] marks", "").replace("[M] what", "")))
    assert marked == ("[U] marks" in text), f"{name}.yaml marks unconfirmed facts if and only if it explains the mark"


@pytest.mark.parametrize("name", [name for name in PACKAGED if name not in ("local", "example", "workstation")])
def test_a_site_has_limits_and_a_comment_on_eic_images(name: str) -> None:
    found = site(name)
    assert found.limits.walltime and (found.limits.poll_seconds or 0) >= 30
    assert found.container.binds
    assert re.search(r"eicweb/eic_xl|\bimage\b", comments(name))


@pytest.mark.parametrize("name", ALLIANCE)
def test_sites_of_the_alliance_quote_its_rule_on_automation_nodes(name: str) -> None:
    assert SENTENCE in comments(name)


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
        Job("function", function=echo, params={"x": 1}, working_dir=folder / "5"),
        Job("inside", function=echo, params={"x": 1}, container_image=image, working_dir=folder / "6"),
    ]


@pytest.mark.parametrize("name", PACKAGED)
def test_every_kind_of_job_is_rendered_as_a_valid_bash_script(name: str, tmp_path: Path) -> None:
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
def test_a_site_is_on_the_page_of_sites(name: str) -> None:
    page = (ROOT / "docs/pages/site-list.md").read_text(encoding="utf-8")
    assert f"`{name}`" in page, f"docs/pages/site-list.md does not contain {name}"
