"""The bundle of retried jobs: its directives in full, which jobs share an array, and what is copied on the cluster."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scheduler import ConfigError, JobState, Resources, Site, Status
from scheduler.batch.base import find
from scheduler.batch.request import BatchRequest
from scheduler.job.retry_policy import Again
from scheduler.ledger.rows import JobRow
from scheduler.render.retry import NextBundle, RetryRequest, render_retries

ROW = JobRow(
    key=1, bundle="aaa", first=0, element=3, folder="/far/it's aaa", sent=True, name="x.aaa-0", batch_id="77",
    job_id="b0-1", campaign="b0 scan", site="s", type="script", working_dir="/h", patterns=[],
    status=Status(JobState.FAILED), silent=0, silent_since=None, collected=False, results=None, created=0.0,
    updated=0.0,
)  # fmt: skip
ASKED = Resources(cpus=2, memory="450M", walltime="6h", account="eic", queue="production")


def site(system: str = "slurm", **more: Any) -> Site:
    return Site.from_mapping({"transport": "local", "scheduler": system, "work_dir": "/w", **more}, name="s")


def request(element: int = 3, resources: Resources = ASKED, exclude: tuple[str, ...] = (), **row: Any) -> RetryRequest:
    return RetryRequest(replace(ROW, element=element, **row), Again(resources, exclude), "why")


def bundle(*requests: RetryRequest, place: Site | None = None) -> NextBundle:
    place = place or site()
    return render_retries(requests, place, find(place.scheduler), token="bbb")


HEADER = """\
#!/bin/bash
#SBATCH --account             eic
#SBATCH --cpus-per-task       2
#SBATCH --exclude             n1,n2
#SBATCH --job-name            b0-scan.bbb-0
#SBATCH --mem                 450M
#SBATCH --no-requeue
#SBATCH --open-mode           append
#SBATCH --output              batches/0/log.0
#SBATCH --partition           production
#SBATCH --time                06:00:00
# b0-scan.bbb-0: an array. Each job has its own script.
first=0
bundle=${SLURM_SUBMIT_DIR:?}
index=0
batch_id=${SLURM_JOB_ID:?}
[ -z "${scheduler_task:-}" ] || batch_id=${SLURM_ARRAY_JOB_ID:?}_$scheduler_task
. "$bundle/element.sh"
unpack_element "$bundle" "$first" $((first + index)) || exit   # it has printed why
. "$bundle/$((first + index))/script.sh"
"""


def test_the_directives_have_the_new_resources_and_exclude_the_nodes_that_failed() -> None:
    made = bundle(request(exclude=("n1", "n2")))
    assert made.files["batches/0/script.sh"].decode() == HEADER
    assert made.files["batches/list"] == b"0\t1\tbatches/0/script.sh\n"
    assert made.files["copies"] == b"0\t/far/it's aaa\t3\t0\n"
    assert (made.files["batches/0/name"], made.files["batches/0/walltime"]) == (b"b0-scan.bbb-0\n", b"21600\n")
    assert sorted(made.files) == [
        ".scheduler", "batches/0/name", "batches/0/script.sh", "batches/0/walltime", "batches/list", "copies",
        "element.sh", "ends/.keep", "guards/.keep", "harness.sh",
    ]  # fmt: skip


def test_nodes_that_failed_are_added_to_those_that_the_user_excludes() -> None:
    native = Resources(native=["--exclude=n7", "--gres=disk:4G"])
    script = bundle(request(resources=native, exclude=("n1",))).files["batches/0/script.sh"].decode()
    assert [line.split()[2] for line in script.splitlines() if "--exclude" in line] == ["n1,n7"]


def test_other_batch_systems_cannot_exclude_nodes() -> None:
    ask = {"name": "x.bbb-0", "count": 1, "first": 0, "resources": Resources()}
    for system in (find("pbs"), find("shell")):
        assert system.directives(BatchRequest(**ask, exclude=("n1",))) == system.directives(BatchRequest(**ask))  # type: ignore[arg-type]


def test_on_pbs_a_single_job_is_not_rerunnable_and_an_array_must_be() -> None:
    one, array = (bundle(*requests, place=site("pbs")) for requests in ([request()], [request(), request(4)]))
    script = one.files["batches/0/script.sh"].decode()
    assert "#PBS -r n\n" in script and "#PBS -l walltime=06:00:00\n" in script and "mem=450mb" in script
    assert '. "$bundle/$((first + index))/script.sh"' in script
    assert "#PBS -J 0-1\n#PBS -r y\n" in array.files["batches/0/script.sh"].decode()


def test_a_requeue_by_slurm_cannot_be_requested() -> None:
    script = bundle(request()).files["batches/0/script.sh"].decode()
    assert "#SBATCH --no-requeue" in script
    for text in ("--requeue", "--no-requeue"):
        with pytest.raises(ConfigError, match="which scheduler sets itself"):
            bundle(request(resources=Resources(native=[text])))


def test_equal_jobs_of_one_bundle_share_an_array_no_longer_than_the_site_allows() -> None:
    other = Resources(memory="1 GB")
    requests = [
        request(3),
        request(5),
        request(1, other),
        request(8),
        request(0, bundle="zzz", folder="/far/zzz"),
        request(9, exclude=("n1",)),
    ]
    made = bundle(*requests, place=site(limits={"array_size": 2}))
    members = [[(one.row.bundle, one.row.element) for one in group.requests] for group in made.batches]
    assert members == [[("aaa", 3), ("aaa", 5)], [("aaa", 8)], [("aaa", 1)], [("zzz", 0)], [("aaa", 9)]]
    assert [group.first for group in made.batches] == [0, 2, 3, 4, 5]
    assert "#SBATCH --array               0-1\n" in made.files["batches/0/script.sh"].decode()
    copies = [line.split("\t") for line in made.files["copies"].decode().splitlines()]
    assert [(element, before) for element, _, before, _ in copies] == list(zip("012345", "358109", strict=True))
    assert copies[4][1] == "/far/zzz"


def test_functions_and_machines_without_a_batch_system_get_the_files_they_need() -> None:
    assert "run_function.py" in bundle(request(type="function")).files
    assert {"worker.sh"} == set(bundle(request(resources=Resources()), place=site("shell")).files) - set(
        bundle(request(resources=Resources())).files
    )


def test_a_missing_template_is_named_with_the_job(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"job 'b0-1' on site 's': template .*gone\.j2 does not exist"):
        bundle(request(template=str(tmp_path / "gone.j2")))


def test_the_jobs_own_template_makes_the_script_of_a_retry(tmp_path: Path) -> None:
    own = tmp_path / "own.j2"
    own.write_text('{% extends "slurm.sh.j2" %}\n{% block directives %}{{ super() }}#SBATCH --own\n{% endblock %}')
    script = bundle(request(template=str(own))).files["batches/0/script.sh"].decode()
    assert "#SBATCH --own\n" in script
    if shutil.which("bash"):
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
