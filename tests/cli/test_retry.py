"""``scheduler retry``, and what the other commands show of attempts."""

from __future__ import annotations

import shutil

import pytest

from .desk import Desk, wait_for

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
def sweep(desk: Desk) -> str:
    """A job file: one job that fails once with exit code 7, one that always fails otherwise, one that is good."""
    file = desk.sweep("once", "bad", "good", count=1)
    desk.write("job.sh", JOB)
    return file


def with_retry(desk: Desk, file: str, text: str) -> None:
    path = desk.folder / file
    path.write_text(path.read_text().replace("  type: script\n", f"  type: script\n  retry: {text}\n"))


def test_a_job_file_says_what_is_worth_another_attempt(desk: Desk, sweep: str) -> None:
    with_retry(desk, sweep, "{times: 2, exit_codes: [7]}")
    done = desk.scheduler("run", sweep, "-s", "local", code=3)
    head, *lines, counts = done.lines
    assert head.split()[:4] == ["JOB", "STATE", "ATTEMPT", "EXIT"]
    assert lines[0].split()[:3] == ["job-once-0", "completed", "2"]
    assert lines[1].split()[:5] == ["job-bad-0", "failed:", "exit", "code", "3"]
    assert counts.endswith("2 completed, 1 failed")
    assert desk.ran == ["job-bad-0", "job-good-0", "job-once-0", "job-once-0"]


def test_all_attempts_are_shown_and_their_logs_read(desk: Desk, sweep: str) -> None:
    with_retry(desk, sweep, "{times: 2, exit_codes: [7]}")
    desk.scheduler("run", sweep, "-s", "local", code=3)
    assert desk.scheduler("logs", "job-once-0", "--attempt", "1").out == "run 1 of once\n"
    assert desk.scheduler("logs", "job-once-0", "--attempt", "2").out == "run 2 of once\n"
    assert desk.scheduler("logs", "job-once-0").out == "run 2 of once\n"
    assert "has had 2 attempts, and no attempt 3" in desk.scheduler("logs", "job-once-0", "--attempt", "3", code=1).err
    assert "only one attempt" in desk.scheduler("logs", "job-good-0", "--attempt", "2", code=1).err
    lines = desk.scheduler("status", "--history", "job-once-0").lines
    titles = [line.split(": ", 2)[2] for line in lines if line.startswith("  attempt ")]
    assert titles == ["failed: exit code 7", "completed"]
    seen = desk.scheduler("status", "--history", "job-once-0", "--json").json
    assert {one["attempt"] for one in seen} == {1, 2}
    assert next(one["said"] for one in seen if one["attempt"] == 2) == "attempt 2, after failed: exit code 7"
    job = desk.scheduler("status", "job-once-0", "--json").json[0]
    assert (job["attempt"], job["results"]["attempts"], job["results"]["mass"]) == (2, 2, 0.5)


def test_failed_jobs_are_tried_again_by_hand(desk: Desk, sweep: str) -> None:
    desk.scheduler("run", sweep, "-s", "local", code=3)
    done = desk.scheduler("retry", "--failed", "--memory", "6GB", "--walltime", "4h")
    assert done.lines[0].split() == ["JOB", "WAS", "NOW", "ATTEMPT", "BATCH", "ID"]
    assert done.lines[1].split()[:6] == ["job-once-0", "failed:", "exit", "code", "7", "queued"]
    assert done.lines[-1] == "2 of 2 jobs submitted again" and "scheduler wait" in done.err
    waited = desk.scheduler("wait", "--json", code=3).json
    assert {job["job_id"]: (job["state"], job["attempt"]) for job in waited} == {
        "job-once-0": ("completed", 2), "job-bad-0": ("failed", 2),
    }  # fmt: skip
    history = desk.scheduler("status", "--history", "job-bad-0").out
    assert "attempt 2, after failed: exit code 3: memory" in history and "→ 6144M, walltime" in history


def test_what_cannot_be_tried_again_is_said(desk: Desk, sweep: str) -> None:
    desk.scheduler("run", sweep, "-s", "local", code=3)
    done = desk.scheduler("retry", "job-good-0", "job-once-0", code=1)
    assert done.lines[2].split()[:3] == ["job-good-0", "completed", "as"] and "it completed" in done.lines[2]
    assert done.lines[-1] == "1 of 2 jobs submitted again"
    desk.scheduler("wait")
    shutil.rmtree(desk.folder.parent / "work over there's")
    gone = desk.scheduler("retry", "job-bad-0", "--json", code=1).json[0]
    assert (gone["again"], gone["state"], gone["results"]["exit_code"]) == (False, "failed", 3)
    assert "the folder of the earlier attempt" in gone["why_not"] and gone["why_not"].endswith("no longer exists")


def test_what_goes_on_is_not_tried_again(desk: Desk) -> None:
    file = desk.sweep("endless", count=1)
    desk.write("job.sh", JOB)
    desk.scheduler("submit", file, "-s", "local")
    wait_for(lambda: desk.ran, what="its begin")
    assert "it has not finished" in desk.scheduler("retry", "job-endless-0", code=1).out
    desk.scheduler("cancel", "job-endless-0")
    desk.scheduler("wait", code=3)
    assert "1 of 1 job submitted again" in desk.scheduler("retry", "job-endless-0").out  # a cancelled one, by its name
    desk.scheduler("cancel", "job-endless-0")
    desk.scheduler("wait", code=3)


def test_missing_takes_those_without_their_outputs_alone(desk: Desk) -> None:
    file = desk.sweep("good", "bad", count=1, outputs="[late.txt]")
    desk.write("job.sh", JOB.replace("case", '[ "$(grep -c "^$JOB_ID\\$" "$RAN")" -lt 2 ] || echo >late.txt\ncase'))
    desk.scheduler("run", file, "-s", "local", code=3)
    assert [job["job_id"] for job in desk.scheduler("retry", "--missing", "--json").json] == ["job-good-0"]
    assert "1 completed" in desk.scheduler("wait").lines[-1]
    assert "Nothing to try again" in desk.scheduler("retry", "--missing").err
    assert desk.scheduler("retry", "--missing", "--json").json == []


def test_nothing_is_tried_again_by_guess(desk: Desk, sweep: str) -> None:
    assert "--failed or --missing" in desk.scheduler("retry", code=2).err
    assert "--failed or --missing" in desk.scheduler("retry", "--campaign", "x", code=2).err
    for campaign in ("one", "two"):
        desk.scheduler("run", sweep, "-s", "local", "--campaign", campaign, code=3)
    assert "one on local and two on local" in desk.scheduler("retry", "job-bad-0", code=1).err
    assert "has no unit" in desk.scheduler("retry", "job-bad-0", "--campaign", "two", "--memory", "6", code=1).err
    desk.scheduler("retry", "job-bad-0", "--campaign", "two")
    assert "2 of 2" not in desk.scheduler("wait", code=3).out
    assert desk.ran.count("job-bad-0") == 3


def test_more_than_the_site_allows_is_refused_and_nothing_is_submitted(desk: Desk, sweep: str) -> None:
    path = desk.folder / "site_configs/local.yaml"
    path.write_text(path.read_text().replace("poll_seconds: 0.2", "poll_seconds: 0.2, memory: 1 GB"))
    desk.scheduler("run", sweep, "-s", "local", code=3)
    done = desk.scheduler("retry", "job-bad-0", "--memory", "2 GB", code=1)
    assert "job 'job-bad-0': resources: memory: 2048M is over what site 'local' allows: 1024M" in done.err
    assert "0 of 1 job submitted again" in done.out
