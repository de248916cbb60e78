"""``scheduler retry``, and what other commands print about attempts."""

from __future__ import annotations

import shutil

import pytest

from .workspace import Workspace, wait_for

JOB = """\
#!/bin/sh
echo "$JOB_ID" >>"$RAN"
echo "run $(grep -c "^$JOB_ID\\$" "$RAN") of $1"
case $1 in
  once) [ "$(grep -c "^$JOB_ID\\$" "$RAN")" -gt 1 ] || exit 7; echo '{"mass": 0.5}' >result.json ;;
  bad) exit 3 ;;
  endless) sleep 3600 ;;
esac
"""


@pytest.fixture
def sweep(workspace: Workspace) -> str:
    """A job file with a job that fails once with exit code 7, one that always fails with 3, and one that completes."""
    file = workspace.sweep("once", "bad", "good", count=1)
    workspace.write("job.sh", JOB)
    return file


def set_retry(workspace: Workspace, file: str, text: str) -> None:
    """Set the key `retry` of the job file."""
    path = workspace.folder / file
    path.write_text(path.read_text().replace("  type: script\n", f"  type: script\n  retry: {text}\n"))


def test_retry_in_a_job_file_sets_which_failures_are_retried(workspace: Workspace, sweep: str) -> None:
    set_retry(workspace, sweep, "{times: 2, exit_codes: [7]}")
    done = workspace.scheduler("run", sweep, "-s", "local", code=3)
    head, *lines, counts = done.lines
    assert head.split()[:4] == ["JOB", "STATE", "ATTEMPT", "EXIT"]
    assert lines[0].split()[:3] == ["job-once-0", "completed", "2"]
    assert lines[1].split()[:5] == ["job-bad-0", "failed:", "exit", "code", "3"]
    assert counts.endswith("2 completed, 1 failed")
    assert workspace.ran == ["job-bad-0", "job-good-0", "job-once-0", "job-once-0"]


def test_attempts_are_listed_and_the_logs_of_each_can_be_printed(workspace: Workspace, sweep: str) -> None:
    set_retry(workspace, sweep, "{times: 2, exit_codes: [7]}")
    workspace.scheduler("run", sweep, "-s", "local", code=3)
    assert workspace.scheduler("logs", "job-once-0", "--attempt", "1").out == "run 1 of once\n"
    assert workspace.scheduler("logs", "job-once-0", "--attempt", "2").out == "run 2 of once\n"
    assert workspace.scheduler("logs", "job-once-0").out == "run 2 of once\n"
    assert "no attempt 3; it has 2 attempts" in workspace.scheduler("logs", "job-once-0", "--attempt", "3", code=1).err
    assert "no attempt 2; it has 1 attempt" in workspace.scheduler("logs", "job-good-0", "--attempt", "2", code=1).err
    lines = workspace.scheduler("status", "--history", "job-once-0").lines
    titles = [line.split(": ", 2)[2] for line in lines if line.startswith("  attempt ")]
    assert titles == ["failed: exit code 7", "completed"]
    seen = workspace.scheduler("status", "--history", "job-once-0", "--json").json
    assert {one["attempt"] for one in seen} == {1, 2}
    assert next(one["said"] for one in seen if one["attempt"] == 2) == "attempt 2, after failed: exit code 7"
    job = workspace.scheduler("status", "job-once-0", "--json").json[0]
    assert (job["attempt"], job["results"]["mass"]) == (2, 0.5)


def test_failed_jobs_are_retried_with_more_memory_and_walltime(workspace: Workspace, sweep: str) -> None:
    workspace.scheduler("run", sweep, "-s", "local", code=3)
    done = workspace.scheduler("retry", "--failed", "--memory", "6GB", "--walltime", "4h")
    assert done.lines[0].split() == ["JOB", "WAS", "NOW", "ATTEMPT", "BATCH", "ID"]
    assert done.lines[1].split()[:6] == ["job-once-0", "failed:", "exit", "code", "7", "queued"]
    assert done.lines[-1] == "2 of 2 jobs retried" and "scheduler wait" in done.err
    waited = workspace.scheduler("wait", "--json", code=3).json
    assert {job["job_id"]: (job["state"], job["attempt"]) for job in waited} == {
        "job-once-0": ("completed", 2), "job-bad-0": ("failed", 2),
    }  # fmt: skip
    history = workspace.scheduler("status", "--history", "job-bad-0").out
    assert "attempt 2, after failed: exit code 3: memory" in history and "→ 6144M, walltime" in history


def test_the_reason_why_a_job_is_not_retried_is_printed(workspace: Workspace, sweep: str) -> None:
    workspace.scheduler("run", sweep, "-s", "local", code=3)
    done = workspace.scheduler("retry", "job-good-0", "job-once-0", code=1)
    assert done.lines[2].split()[:3] == ["job-good-0", "completed", "unchanged"] and "it completed" in done.lines[2]
    assert done.lines[-1] == "1 of 2 jobs retried"
    workspace.scheduler("wait")
    shutil.rmtree(workspace.folder.parent / "work it's")
    gone = workspace.scheduler("retry", "job-bad-0", "--json", code=1).json[0]
    assert (gone["again"], gone["state"], gone["exit_code"]) == (False, "failed", 3)
    assert "the folder of the earlier attempt" in gone["why_not"] and gone["why_not"].endswith("no longer exists")


def test_an_unfinished_job_is_not_retried(workspace: Workspace) -> None:
    file = workspace.sweep("endless", count=1)
    workspace.write("job.sh", JOB)
    workspace.scheduler("submit", file, "-s", "local")
    wait_for(lambda: workspace.ran, what="the start of the job")
    assert "it has not finished" in workspace.scheduler("retry", "job-endless-0", code=1).out
    workspace.scheduler("cancel", "job-endless-0")
    workspace.scheduler("wait", code=3)
    assert (
        "1 of 1 job retried" in workspace.scheduler("retry", "job-endless-0").out
    )  # by its id, also a cancelled job is retried
    workspace.scheduler("cancel", "job-endless-0")
    workspace.scheduler("wait", code=3)


def test_missing_selects_only_jobs_with_missing_outputs(workspace: Workspace) -> None:
    file = workspace.sweep("good", "bad", count=1, outputs="[late.txt]")
    workspace.write(
        "job.sh", JOB.replace("case", '[ "$(grep -c "^$JOB_ID\\$" "$RAN")" -lt 2 ] || echo >late.txt\ncase')
    )
    workspace.scheduler("run", file, "-s", "local", code=3)
    assert [job["job_id"] for job in workspace.scheduler("retry", "--missing", "--json").json] == ["job-good-0"]
    assert "1 completed" in workspace.scheduler("wait").lines[-1]
    assert "Nothing to retry" in workspace.scheduler("retry", "--missing").err
    assert workspace.scheduler("retry", "--missing", "--json").json == []


def test_an_ambiguous_selection_retries_nothing(workspace: Workspace, sweep: str) -> None:
    assert "--failed or --missing" in workspace.scheduler("retry", code=2).err
    assert "--failed or --missing" in workspace.scheduler("retry", "--campaign", "x", code=2).err
    for campaign in ("one", "two"):
        workspace.scheduler("run", sweep, "-s", "local", "--campaign", campaign, code=3)
    assert "campaign one on local, campaign two on local" in workspace.scheduler("retry", "job-bad-0", code=1).err
    assert "has no unit" in workspace.scheduler("retry", "job-bad-0", "--campaign", "two", "--memory", "6", code=1).err
    workspace.scheduler("retry", "job-bad-0", "--campaign", "two")
    assert "2 of 2" not in workspace.scheduler("wait", code=3).out
    assert workspace.ran.count("job-bad-0") == 3


def test_a_request_above_the_sites_limit_is_refused_and_nothing_is_submitted(workspace: Workspace, sweep: str) -> None:
    path = workspace.folder / "site_configs/local.yaml"
    path.write_text(path.read_text().replace("poll_seconds: 0.2", "poll_seconds: 0.2, memory: 1 GB"))
    workspace.scheduler("run", sweep, "-s", "local", code=3)
    done = workspace.scheduler("retry", "job-bad-0", "--memory", "2 GB", code=1)
    assert "job 'job-bad-0': resources: memory: 2048M is above the limit of site 'local', 1024M" in done.err
    assert "0 of 1 job retried" in done.out
