"""A job is the same by its content: no call returns a result of other content. At a site that accepts everything."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scheduler import Job, JobError, JobState
from scheduler.engine.identity import MOST_LISTED
from scheduler.job.state import Cause, Status

from .accepting import COMPLETED, FAILED, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.ledger.close()


def submitted(world: World, results: dict[str, Any], job: Job, **options: Any) -> Job:
    """The job after it was submitted, and has ended with these results."""
    runner = world.runner(**options)
    runner.submit([job])
    world.end(results=results)
    runner.submit([job])
    return job


def test_the_same_job_is_adopted_and_not_sent_again(world: World) -> None:
    submitted(world, {"x": 2}, world.job(params={"x": 2}))
    commands = world.transport.commands
    again = world.job(params={"x": 2})
    world.runner().submit([again])
    assert (again.get_results()["x"], world.transport.commands) == (2, commands)
    assert len(world.ledger.chosen()) == 1


def test_an_old_result_is_no_answer_to_a_new_question(world: World) -> None:
    submitted(world, {"x": 2}, world.job(params={"x": 2}))
    commands = world.transport.commands
    with pytest.raises(JobError, match=r"trial1: params: x 3 here, 2 in the record") as error:
        world.runner().submit([world.job(params={"x": 3})])
    assert "--keep" in str(error.value) and "--rerun-changed" in str(error.value) and "'opt'" in str(error.value)
    assert world.transport.commands == commands


def test_an_edited_script_is_not_the_script_that_ran(world: World) -> None:
    submitted(world, {"x": 1}, world.job())
    world.script.write_text("echo 2\n")
    with pytest.raises(JobError, match="trial1: script differs"):
        world.runner().submit([world.job()])


def test_a_job_object_that_was_changed_is_another_job(world: World) -> None:
    runner, job = world.runner(campaign=None), world.job(params={"x": 2})
    runner.submit([job])
    world.end(results={"x": 2})
    job.params["x"] = 3
    with pytest.raises(JobError, match="x 3 here, 2 in the record"):
        runner.submit([job])


def test_keep_adopts_the_recorded_job_and_reports_it(world: World, caplog: pytest.LogCaptureFixture) -> None:
    submitted(world, {"x": 2}, world.job(params={"x": 2}))
    kept = [world.job(params={"x": 3})]
    world.runner(changed="keep").submit(kept)
    assert kept[0].get_results()["x"] == 2
    assert [record.message for record in caplog.records] == [
        "1 job with other content than recorded: the recorded results are kept, 'trial1' first"
    ]


def test_rerun_makes_a_further_attempt_of_the_same_job_with_what_is_here_now(world: World) -> None:
    submitted(world, {"x": 2}, world.job(params={"x": 2}))
    runner, job = world.runner(changed="rerun"), world.job(params={"x": 3}, output_files=["*.root"])
    runner.submit([job])
    assert (job.state, job.status.retries, job.get_results()) == (JobState.QUEUED, 1, {})
    world.end(results={"x": 3})
    runner.submit([job])
    [row] = world.ledger.chosen()
    [first] = world.ledger.attempts.of([row.key])
    assert (job.get_results()["x"], row.patterns, row.retries, first.status) == (3, ("*.root",), 1, COMPLETED)
    assert "attempt 2, with what is here now, after completed" in [text for _, text in world.ledger.history(row.key)]
    with pytest.raises(JobError, match="x 2 here, 3 in the record"):
        world.runner().submit([world.job(params={"x": 2}, output_files=["*.root"])])


def test_an_unfinished_job_gets_no_other_content_until_it_is_cancelled(world: World) -> None:
    world.runner().submit([world.job(params={"x": 2})])
    with pytest.raises(JobError, match="cancel it first"):
        world.runner(changed="rerun").submit([world.job(params={"x": 3})])
    world.end(Status(JobState.CANCELLED, Cause.CANCELLED, raw="CANCELLED"))
    job = world.job(params={"x": 3})
    world.runner(changed="rerun").submit([job])
    assert job.status.retries == 1


def test_a_list_of_differences_is_bounded(world: World) -> None:
    world.runner().submit([world.job(f"j{n}", params={"x": 1}) for n in range(20)])
    with pytest.raises(JobError) as error:
        world.runner().submit([world.job(f"j{n}", params={"x": 2, **dict.fromkeys("abcdefg", 1)}) for n in range(20)])
    lines = str(error.value).splitlines()
    assert len(lines) == MOST_LISTED + 3
    assert (lines[1], lines[-2]) == (
        f"  j0: {'; '.join(f'params: {name} is only here' for name in 'abcd')}; and 4 more",
        "  and 10 more",
    )


def test_other_resources_folders_and_sites_are_the_same_job(world: World, tmp_path: Path) -> None:
    submitted(world, {"x": 1}, world.job())
    job = world.job(working_dir=tmp_path / "else")
    world.runner("two").submit([job])
    assert job.get_results()["x"] == 1 and len(world.ledger.chosen()) == 1


@pytest.mark.parametrize("collected", [None, False])
def test_a_job_that_is_not_done_at_another_site_is_an_error_with_the_remedy(
    world: World, collected: bool | None
) -> None:
    world.runner().submit([world.job()])
    if collected is not None:
        world.end(collected=collected)
    with pytest.raises(JobError, match="scheduler wait --campaign opt --site one"):
        world.runner("two").submit([world.job()])
    assert len(world.ledger.chosen()) == 1


def test_a_job_of_an_older_version_is_adopted_with_one_notice(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.runner().submit([world.job(f"j{n}") for n in range(3)])
    world.end(results={"x": 1})
    with sqlite3.connect(world.ledger.path) as db:
        db.execute("UPDATE jobs SET content = ''")
    jobs = [world.job(f"j{n}", params={"y": n}) for n in range(3)]
    world.runner().submit(jobs)
    assert [job.get_results()["x"] for job in jobs] == [1, 1, 1]
    assert ["3 jobs recorded by an older version" in record.message for record in caplog.records] == [True]


def test_failed_jobs_are_adopted_by_submit_and_get_an_attempt_by_resubmit(world: World) -> None:
    world.runner().submit([world.job("good"), world.job("bad", params={"x": 1})])
    rows = {row.job_id: row for row in world.ledger.chosen()}
    world.ledger.observe({rows["good"].key: COMPLETED, rows["bad"].key: FAILED}, {})
    good, bad = world.job("good"), world.job("bad", params={"x": 2})
    with pytest.raises(JobError, match="x 2 here, 1 in the record"):
        world.runner().submit([good, bad])
    world.runner().resubmit([good, bad])
    assert (good.state, bad.state, bad.status.retries) == (JobState.COMPLETED, JobState.QUEUED, 1)


def test_a_function_that_can_only_be_pickled_counts_as_changed_in_another_runner(world: World) -> None:
    job = Job("f", function=partial(json.dumps, 3), working_dir=world.folder / "f")
    runner = world.runner()
    runner.submit([job])
    runner.submit([job])  # this runner knows that it is the same object
    assert len(world.ledger.chosen()) == 1
    with pytest.raises(JobError, match="cannot be told whether it is the same"):
        world.runner().submit([job])


def test_a_job_that_another_process_has_given_other_content_has_not_its_results(world: World) -> None:
    first, job = world.runner(), world.job(params={"x": 2})
    first.submit([job])
    world.end(results={"x": 2}, collected=False)
    world.runner(changed="rerun").submit([world.job(params={"x": 3})])
    world.end(results={"x": 3})
    first.submit([])
    first._tracked.refresh([job])
    assert (job.state, job.get_results()) == (JobState.CANCELLED, {}) and "other content" in job.status.reason


def test_a_rerun_that_is_not_submitted_leaves_the_job_as_it_was(world: World) -> None:
    submitted(world, {"x": 2}, world.job(params={"x": 2}))
    before = world.ledger.chosen()
    world.runner("two", changed="rerun").submit([world.job(params={"x": 3}, output_files=["a"])])
    [row] = world.ledger.chosen()
    assert (row.site, row.retries) == ("two", 1)
    world.ledger.delete_bundle(row.bundle)
    [after] = world.ledger.chosen()
    same = ("key", "bundle", "site", "content", "patterns", "status", "results", "collected", "working_dir")
    assert [getattr(after, name) for name in same] == [getattr(before[0], name) for name in same]


def test_a_file_that_changes_while_it_is_read_is_not_submitted(world: World) -> None:
    """The bundle is written after the digest is known: here the script is edited between the two."""
    runner, job = world.runner(), world.job()
    world.transport.prepared = lambda: world.script.write_text("echo another\n")
    with pytest.raises(JobError, match="was changed while it was read"):
        runner.submit([job])
    assert not world.ledger.chosen() and not list((world.ledger.folder / "spool").iterdir())
    world.transport.prepared = lambda: None
    runner.submit([job])
    assert job.state is JobState.QUEUED
