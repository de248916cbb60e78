"""A ledger that was lost is rebuilt from its sites, and nothing runs twice; backups of a ledger in use are complete."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from scheduler.ledger.ledger import Ledger

from .test_two_sites import bundles, rig
from .workspace import Workspace, wait_for


def state(workspace: Workspace) -> Path:
    return Path(workspace.environment["SCHEDULER_STATE_DIR"])


def jobs(workspace: Workspace) -> dict[tuple[str, str], str]:
    """The state of each job, by site and id."""
    found = workspace.scheduler("status", "--all", "--json").json
    return {(job["site"], job["job_id"]): job["state"] for job in found}


def test_a_lost_ledger_is_rebuilt_from_two_sites_and_nothing_runs_twice(workspace: Workspace) -> None:
    for name, folder in (("first", "one"), ("second", "two")):
        rig(workspace, f"site_configs/{name}.yaml", folder)
    long, short = workspace.sweep("slow", name="long"), workspace.sweep("good", "bad", name="short", outputs="[]")
    workspace.scheduler("submit", long, "--site", "first")
    workspace.scheduler("run", short, "--site", "second", code=3)
    wait_for(lambda: len(workspace.ran) == 6, what="the start of all jobs")
    shutil.rmtree(state(workspace))

    again = workspace.scheduler("submit", long, "--site", "first", code=1)
    assert "scheduler adopt first" in again.err and bundles(workspace, "one") == 1
    assert workspace.scheduler("status", "--all", "--json").json == []
    for name, count in (("first", 2), ("second", 4)):
        done = workspace.scheduler("adopt", name)
        assert f"{count} jobs from 1 submission recorded" in done.err
    assert "every submission" in workspace.scheduler("adopt", "first").err

    assert "already submitted: 2 of 2 jobs" in workspace.scheduler("submit", long, "--site", "first").err
    workspace.end_slow_jobs()
    done = workspace.scheduler("wait", "--json", code=3).json
    assert {job["job_id"]: job["state"] for job in done} == {
        "long-slow-0": "completed", "long-slow-1": "completed", "short-good-0": "completed",
        "short-good-1": "completed", "short-bad-0": "failed", "short-bad-1": "failed",
    }  # fmt: skip
    assert {job["results"]["mass"] for job in done if "good" in job["job_id"]} == {0.05, 0.15}
    assert workspace.scheduler("run", long, "--site", "first").code == 0
    assert len(workspace.ran) == len(set(workspace.ran)) == 6


def test_trial_jobs_of_a_check_are_not_adopted(workspace: Workspace) -> None:
    workspace.scheduler("check", "local", "--job")
    workspace.scheduler("run", workspace.sweep("good", count=1), "--site", "local")
    shutil.rmtree(state(workspace))
    assert "1 job from 1 submission recorded" in workspace.scheduler("adopt", "local").err
    assert jobs(workspace) == {("local", "job-good-0"): "completed"}


def test_an_older_copy_of_the_ledger_says_so_and_adopts_retries_as_attempts(workspace: Workspace) -> None:
    file = workspace.sweep("bad", count=1)
    workspace.scheduler("run", file, "--site", "local", code=3)
    backup = workspace.folder.parent / "backup.sqlite"
    workspace.scheduler("backup", str(backup))
    assert "exists already" in workspace.scheduler("backup", str(backup), code=1).err
    assert backup.stat().st_mode & 0o777 == 0o600
    workspace.scheduler("retry", "--failed")
    workspace.scheduler("wait", code=3)

    shutil.copy(backup, state(workspace) / "ledger.sqlite")
    assert "older copy" in workspace.scheduler("status", "--all").err
    other = workspace.sweep("good", count=1, name="other")
    assert "scheduler adopt local" in workspace.scheduler("submit", other, "--site", "local", code=1).err
    workspace.scheduler("adopt", "local")
    [job] = workspace.scheduler("wait", "job-bad-0", "--json", code=3).json
    assert (job["attempt"], job["state"]) == (2, "failed")
    workspace.scheduler("run", other, "--site", "local")
    assert workspace.ran == ["job-bad-0", "job-bad-0", "other-good-0"]


def test_a_bundle_of_an_earlier_version_is_adopted_with_what_its_scripts_show(workspace: Workspace) -> None:
    workspace.scheduler("run", workspace.sweep("good", outputs="['*.txt', result.json]"), "--site", "local")
    [manifest] = workspace.folder.parent.glob("work it's/*/jobs.json")
    manifest.unlink()
    shutil.rmtree(state(workspace))
    workspace.scheduler("adopt", "local", "--yes")
    done = workspace.scheduler("wait", "--json").json
    assert [(job["job_id"], job["state"]) for job in done] == [
        ("job-good-0", "completed"), ("job-good-1", "completed"),
    ]  # fmt: skip
    assert (workspace.folder / "job-good-0" / "out.txt").exists()


def test_a_copy_of_the_ledger_file_alone_is_complete_while_a_process_has_it_open(workspace: Workspace) -> None:
    ledger = Ledger(state(workspace))
    workspace.scheduler("run", workspace.sweep("good", count=1), "--site", "local")
    assert len(ledger.chosen()) == 1
    copy = workspace.folder.parent / "copy.sqlite"
    shutil.copy(state(workspace) / "ledger.sqlite", copy)
    with sqlite3.connect(copy) as db:
        assert db.execute("SELECT job_id, state, collected FROM jobs").fetchall() == [("job-good-0", "completed", 1)]
    db.close()
    ledger.close()
