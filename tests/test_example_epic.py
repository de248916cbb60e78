"""The examples for ePIC users run as they are written, against stand-ins that refuse what npsim and eicrecon refuse.

Every block of README and docs, and every file of examples/epic, that calls npsim or eicrecon is run: the first and the
last job of each, in a container, as real jobs. Only the image's path differs, and on this machine the runtime.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from scheduler import Job, JobType, Runner
from scheduler.campaign.jobfile import read_job_file
from scheduler.render.bundle import render
from scheduler.site.catalog import find_site
from scheduler.site.packaged import packaged_folder
from scheduler.site.site import Site
from tests import standins
from tests.test_docs import ALL, ROOT, Block, blocks
from tests.testcluster import Cluster

PROGRAMS = ("npsim", "eicrecon")
FILES = sorted((ROOT / "examples/epic").glob("*.yaml"))
BLOCKS = [
    block
    for page in ALL
    for block in blocks(page)
    if block.language in ("yaml", "python") and any(program in block.text for program in PROGRAMS)
]
GOOD = "--compactFile $DETECTOR_PATH/$DETECTOR_CONFIG.xml -N 10 -G --outputFile sim.edm4hep.root"


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the eic_xl image, with a stand-in for apptainer on PATH; the current folder is empty.

    So is the home folder, which holds the queue of site `local`: a job in that queue has the environment of the process
    that starts it, and that must be one of this test.
    """
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{standins.install_apptainer(tmp_path / 'bin')}:{os.environ['PATH']}")
    for name in ("DETECTOR_PATH", "DETECTOR_CONFIG", "IMAGE_ROOT"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    (tmp_path / "jobs").mkdir()
    monkeypatch.chdir(tmp_path / "jobs")
    return standins.write_image(tmp_path / "eic_xl")


def described(example: Block | Path) -> list[Job]:
    """The jobs that an example describes."""
    if isinstance(example, Path):
        return read_job_file(example).jobs()
    if example.language == "yaml":
        path = Path(example.title)
        path.write_text(example.text, encoding="utf-8")
        return read_job_file(path).jobs()
    names: dict[str, Any] = {}
    exec(f"from scheduler import *\n{example.text.partition('with Runner')[0]}", names)
    found = [value if isinstance(value, list) else [value] for value in names.values()]
    return [job for jobs in found for job in jobs if isinstance(job, Job)]


def run(jobs: Sequence[Job], site: Site) -> None:
    with Runner(site) as runner:
        runner.submit(jobs)
        runner.wait(jobs, timeout=1500)


def moved(jobs: Sequence[Job], image: str) -> list[Job]:
    """The first and the last of the jobs, in another image."""
    few = [jobs[0], jobs[-1]] if len(jobs) > 1 else list(jobs)
    for job in few:
        assert job.container_image == standins.IMAGE
        job.container_image = image
    return few


def check_chain(job: Job) -> None:
    """The job completed, and what eicrecon wrote has the events that npsim was to simulate."""
    assert job.is_completed(), job.get_results()
    [*_, last] = (Path(path) for paths in job.outputs.values() for path in paths)
    assert json.loads(last.read_text())["events"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("example", [*BLOCKS, *FILES], ids=lambda one: getattr(one, "name", str(one)))
def test_an_example_runs_as_it_is_written(example: Block | Path, image: Path) -> None:
    jobs = moved(described(example), str(image))
    run(jobs, find_site("local"))
    for job in jobs:
        check_chain(job)


def test_every_page_that_shows_the_programs_is_covered() -> None:
    assert {block.page.name for block in BLOCKS} >= {"README.md", "job-files.md", "jobs.md"}
    assert [path.name for path in FILES] == ["dis.yaml", "electrons.yaml"]


def test_readme_and_examples_show_the_same_file() -> None:
    [block] = [block for block in blocks(ROOT / "README.md") if block.title == "electrons.yaml"]
    file = (ROOT / "examples/epic/electrons.yaml").read_text(encoding="utf-8")
    assert block.text == "".join(line for line in file.splitlines(True) if not line.startswith("#"))


def test_python_and_yaml_describe_the_same_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    site = find_site("jlab", folders=[packaged_folder("site_configs")])
    [script] = [block for block in BLOCKS if block.page.name == "jobs.md"]
    sides = (described(script), described(ROOT / "examples/epic/electrons.yaml"))
    bundles = [render(jobs, site, campaign="electrons", token="a" * 10) for jobs in sides]
    assert bundles[0].files == bundles[1].files
    assert len(list(bundles[0].jobs)) == 300


# On the test cluster: real Slurm, real Apptainer


@pytest.mark.cluster
@pytest.mark.slow
def test_the_example_runs_in_a_real_container_on_slurm(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apptainer itself runs the image's start-up files, so that what they set is what the commands find."""
    monkeypatch.chdir(tmp_path)
    write_image_on(cluster, tmp_path / "image")
    jobs = described(ROOT / "examples/epic/electrons.yaml")
    few = [jobs[0], jobs[-1]]
    run(few, cluster.site("alice", container={"binds": ["/cvmfs"]}))
    for job in few:
        check_chain(job)


def write_image_on(cluster: Cluster, scratch: Path) -> None:
    """Make the image on the cluster under the very path that the examples name: Python, and the stand-ins."""
    standins.write_image(scratch)
    archive = subprocess.run(["tar", "-C", str(scratch), "-cf", "-", "."], capture_output=True, check=True).stdout
    script = f"""
        exec 9>/var/tmp/standins.lock; flock 9
        image={standins.IMAGE}
        if [ ! -e "$image" ]; then
          mkdir -p "${{image%/*}}"
          cp -a /opt/images/small "$image.part"
          mv "$image.part" "$image"
        fi
        base64 -d | tar -C "$image" --no-same-owner -xf -
    """
    cluster.enter("bash", "-euc", script, input=base64.b64encode(archive).decode())


# What the stand-ins refuse, and that each is a job that failed


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("npsim --compactFile $DETECTOR_PATH/$DETECTOR_CONFIG.xml -N 500", "did not set inputFile(s), gun"),
        ("npsim --compactFile epic_craterlake.xml -N 500 -G", "cannot open"),
        ("npsim --compactFile $DETECTOR_PATH/epic_crater_lake.xml -N 500 -G", "cannot open"),
        ("npsim -N 500 -G", "No geometry compact file provided"),
        ("npsim --compactFile $DETECTOR_PATH/epic.xml -G", "did not set number of events"),
        ("npsim --compactFile $DETECTOR_PATH/epic.xml -N 1e3 -G", "invalid int value"),
        ("npsim --compactFile $DETECTOR_PATH/epic.xml -N 10 -G --gun.momentum '5*GeV'", "unrecognized arguments"),
        ("npsim --compactFile $DETECTOR_PATH/epic.xml -N 10 -G --gun.particle electron", "unknown particle"),
        (
            "npsim --compactFile $DETECTOR_PATH/epic.xml -N 10 -G --gun.momentumMin 5GeV",
            "gun.momentumMin is no quantity",
        ),
        ("npsim --compactFile $DETECTOR_PATH/epic.xml -N 10 -G --outputFile sim.hepmc", "Unknown fileformat"),
        ("npsim --compactFile $DETECTOR_PATH/epic.xml -N 10 --inputFiles events.root", "Unknown fileformat"),
        ("npsim --compactFile $DETECTOR_PATH/epic.xml -N 10 --inputFiles none.hepmc", "cannot open"),
        (f"unset DETECTOR_PATH; npsim {GOOD.replace('$DETECTOR_PATH/', '')}", "DETECTOR_PATH"),
        ("eicrecon", "Usage"),
        (f"npsim {GOOD} && eicrecon -Ppodio:output_file=rec.edm4eic.root", "no event source"),
        (f"npsim {GOOD} && eicrecon -Ppodio:output_file=rec.edm4eic sim.edm4hep.root", "Failed to create writer"),
        (f"npsim {GOOD} && eicrecon -Ppodio:output=rec.edm4eic.root sim.edm4hep.root", "unused parameters"),
        (f"npsim {GOOD} && eicrecon --output rec.edm4eic.root sim.edm4hep.root", "Invalid command line flag"),
        (f"npsim {GOOD} && unset DETECTOR_CONFIG && eicrecon sim.edm4hep.root", "No dd4hep XML file"),
        (f"npsim {GOOD} && eicrecon -Pdd4hep:xml_files=epic_crater_lake.xml sim.edm4hep.root", "does not exist"),
        ("eicrecon -Ppodio:output_file=rec.edm4eic.root sim.edm4hep.root", "Problem opening file"),
    ],
)
def test_a_stand_in_refuses_what_the_real_program_refuses(command: str, words: str, image: Path) -> None:
    done = subprocess.run(["apptainer", "exec", str(image), "sh", "-c", command], capture_output=True, text=True)
    assert done.returncode != 0
    assert words in done.stdout + done.stderr


def test_variables_of_the_detector_that_are_set_outside_keep_the_image_from_setting_its_own(image: Path) -> None:
    """As in the image of ePIC; an example that sets one of them by env_vars would fail."""
    job = Job("outside", JobType.CONTAINER, container_image=str(image), container_command=f"npsim {GOOD}")
    job.env_vars = {"DETECTOR_CONFIG": "epic_craterlake"}
    run([job], find_site("local"))
    assert job.has_failed()
    assert "DETECTOR_PATH" in str(job.get_results()["error"])
