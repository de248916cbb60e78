"""Jobs that are submitted together never write one local file."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.engine.collect.local_paths import folds_names
from scheduler.engine.submit.local_folders import refuse_shared_folders
from scheduler.errors import JobError
from scheduler.job.job import Job, JobType


def job(job_id: str, folder: Path | str, *outputs: str) -> Job:
    return Job(
        job_id,
        JobType.CONTAINER,
        container_image="/a.sif",
        container_command="true",
        working_dir=folder,
        output_files=outputs,
    )


@pytest.mark.parametrize("folder", ["link", "link/", "through/a", "out/b/../a"])
def test_one_folder_by_two_paths_is_refused(folder: str, tmp_path: Path) -> None:
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "b").mkdir()
    (tmp_path / "link").symlink_to("out/a")
    (tmp_path / "through").symlink_to("out")
    with pytest.raises(JobError, match="jobs 'one' and 'two' have the same working_dir, "):
        refuse_shared_folders([job("one", tmp_path / "out" / "a"), job("two", f"{tmp_path}/{folder}")])


def test_a_link_to_a_folder_that_does_not_exist_yet_is_the_folder(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("later")
    with pytest.raises(JobError, match="have the same working_dir"):
        refuse_shared_folders([job("one", tmp_path / "link"), job("two", tmp_path / "later")])


@pytest.mark.parametrize(
    ("outer", "inner", "outputs"),
    [("sub/x.txt", "sub", ["x.txt"]), ("sub", "sub", []), ("sub", "sub/deeper", ["*"]), ("a/b", "a", ["b"])],
)
def test_an_output_that_another_job_names_too_is_refused(
    outer: str, inner: str, outputs: list[str], tmp_path: Path
) -> None:
    jobs = [job("one", tmp_path, outer), job("two", tmp_path / inner, *outputs)]
    for both in (jobs, jobs[::-1]):
        with pytest.raises(JobError, match="their outputs would overwrite each other"):
            refuse_shared_folders(both)


def test_folders_in_each_other_and_names_that_differ_are_accepted(tmp_path: Path) -> None:
    refuse_shared_folders([job("one", tmp_path, "*.txt", "plots"), job("two", tmp_path / "sub", "plots", "x.txt")])
    pair = [job("one", tmp_path / "Run"), job("two", tmp_path / "run")]
    if folds_names(str(tmp_path)):
        with pytest.raises(JobError, match="have the same working_dir"):
            refuse_shared_folders(pair)
        return
    refuse_shared_folders(pair)


def test_one_folder_may_have_several_jobs_with_different_ids(tmp_path: Path) -> None:
    refuse_shared_folders([job("one", tmp_path, "a.txt"), job("two", f"{tmp_path}/.", "b.txt"), job("three", tmp_path)])
    for same in ("one", "ONE"):
        with pytest.raises(JobError, match="have the same working_dir"):
            refuse_shared_folders([job("one", tmp_path), job(same, tmp_path)])
    with pytest.raises(JobError, match="would both download an output to"):
        refuse_shared_folders([job("one", tmp_path, "a.txt"), job("two", tmp_path, "a.txt")])
