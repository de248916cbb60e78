"""What later processes print and do after the process that submitted was killed or interrupted with Ctrl-C."""

from __future__ import annotations

import os
import shlex
import signal
import time
from pathlib import Path

import pytest

from scheduler import Cause, JobState
from scheduler.job.state import Status
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.polls import News

from .workspace import Workspace, wait_for


def states(workspace: Workspace, *arguments: str) -> dict[str, str]:
    """The states of jobs, by id."""
    return {job["job_id"]: job["state"] for job in workspace.scheduler("status", "--json", *arguments).json}


def test_a_new_process_waits_for_and_collects_the_jobs_of_a_killed_one(workspace: Workspace) -> None:
    workspace.killed_after_submit("run", workspace.sweep("good", "slow", "bad", outputs="[]"), "--site", "local")
    assert len(states(workspace)) == 6
    workspace.end_slow_jobs()
    done = workspace.scheduler("wait", code=3)
    assert "4 completed, 2 failed" in done.lines[-1]
    assert (workspace.folder / "job-slow-1" / "out.txt").exists() and (
        workspace.folder / "job-good-0" / "result.json"
    ).exists()
    assert len(workspace.ran) == len(set(workspace.ran)) == 6


def test_the_same_file_resumes_after_the_process_was_killed(workspace: Workspace) -> None:
    file = workspace.sweep("slow", outputs="[out.txt]")
    workspace.killed_after_submit("run", file, "--site", "local")
    workspace.end_slow_jobs()
    assert "2 completed" in workspace.scheduler("run", file, "--site", "local").lines[-1]
    assert workspace.ran == ["job-slow-0", "job-slow-1"]


def test_collect_downloads_outputs_of_finished_jobs_without_waiting(workspace: Workspace) -> None:
    workspace.killed_after_submit("run", workspace.sweep("good", "endless", count=1), "--site", "local")
    wait_for(lambda: states(workspace)["job-good-0"] == "completed", what="the end of job-good-0")
    done = workspace.scheduler("collect", "--json")
    results = {job["job_id"]: job["results"] for job in done.json}
    assert results["job-endless-0"] is None and results["job-good-0"]["mass"] == 0.05
    assert "1 job not finished yet" in workspace.scheduler("collect").err
    workspace.scheduler("cancel", "--all", "--yes")


def test_logs_are_read_remotely_while_a_job_runs_and_locally_once_collected(workspace: Workspace) -> None:
    workspace.killed_after_submit("run", workspace.sweep("slow", count=1), "--site", "local")
    wait_for(lambda: workspace.scheduler("logs", "job-slow-0").out == "out of slow\n", what="the first line of output")
    assert not (workspace.folder / "job-slow-0" / "job.stdout").exists()
    workspace.end_slow_jobs()
    workspace.scheduler("wait", "job-slow-0")
    local = workspace.scheduler("logs", "job-slow-0", "--stderr", "--lines", "1")
    assert local.out == "err of slow\n" and "job-slow-0/job.stderr" in local.err


def test_a_job_is_cancelled_by_its_id(workspace: Workspace) -> None:
    workspace.killed_after_submit("run", workspace.sweep("endless"), "--site", "local")
    wait_for(lambda: len(workspace.ran) == 2, what="the start of both jobs")
    workspace.scheduler("cancel", "job-endless-1")
    workspace.scheduler("wait", "job-endless-1", code=3)
    assert states(workspace) == {"job-endless-0": "running", "job-endless-1": "cancelled"}
    workspace.scheduler("cancel", "--campaign", workspace.scheduler("status", "--json").json[0]["campaign"])
    workspace.scheduler("wait", code=3)
    assert set(states(workspace).values()) == {"cancelled"}


def test_cancel_all_needs_a_confirmation_or_yes(workspace: Workspace) -> None:
    workspace.killed_after_submit("run", workspace.sweep("endless", count=1), "--site", "local")
    assert "--yes" in workspace.scheduler("cancel", "--all", code=2).err
    assert set(states(workspace).values()) <= {"queued", "running"}
    assert workspace.scheduler("cancel", "--all", "--yes", "--json").json[0]["job_id"] == "job-endless-0"
    workspace.scheduler("wait", code=3)
    assert "Nothing to cancel" in workspace.scheduler("cancel", "--all", "--yes").err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_prints_that_jobs_keep_running_and_the_command_that_resumes_waiting(
    workspace: Workspace, number: signal.Signals, code: int
) -> None:
    with workspace.running_scheduler("run", workspace.sweep("slow"), "-s", "local", until="submitted") as process:
        wait_for(lambda: len(workspace.ran) == 2, what="the start of both jobs")
        process.send_signal(number)
        assert process.wait(300) == code
    assert "Submitted jobs keep running" in workspace.stderr and "Traceback" not in workspace.stderr
    workspace.end_slow_jobs()
    resume = shlex.split(workspace.stderr.splitlines()[-1])
    assert resume[:3] == ["scheduler", "wait", "--campaign"]
    assert "2 completed" in workspace.scheduler(*resume[1:]).lines[-1]
    assert workspace.ran == ["job-slow-0", "job-slow-1"]


def test_ctrl_c_while_waiting_prints_the_same_command(workspace: Workspace) -> None:
    workspace.scheduler("submit", workspace.sweep("endless", count=1), "-s", "local")
    with workspace.running_scheduler("wait", "--site", "local", "job-endless-0", until="0 of 1 done") as process:
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(300) == 130
    assert workspace.stderr.splitlines()[-1].strip() == "scheduler wait --site local job-endless-0"
    workspace.scheduler("cancel", "job-endless-0")


def test_status_prints_jobs_and_with_history_every_observation_of_one(workspace: Workspace) -> None:
    workspace.scheduler("run", workspace.sweep("good", count=1), "-s", "local")
    head, job, counts = workspace.scheduler("status").lines
    assert head.split()[:2] == ["JOB", "STATE"] and job.split()[:2] == ["job-good-0", "completed"]
    assert counts.startswith("1 job of job-") and counts.endswith("on local: 1 completed")
    history = workspace.scheduler("status", "--history", "job-good-0")
    observed = [line.split("  ", 2)[2] for line in history.lines[1:]]
    assert observed[:2] == ["submit: to local", "submit: accepted"] and observed[-1].startswith("collected: ")
    assert "completed; end file: exit=0" in observed[-2]
    as_json = workspace.scheduler("status", "--history", "job-good-0", "--json").json
    assert [one["said"] for one in as_json] == observed and all(one["at"].startswith("20") for one in as_json)


def test_status_no_refresh_prints_the_last_known_states(workspace: Workspace) -> None:
    workspace.scheduler("submit", workspace.sweep("good", count=1), "-s", "local")
    wait_for(lambda: workspace.ran, what="the start of the job")
    assert states(workspace, "--no-refresh") == {"job-good-0": "queued"}
    wait_for(lambda: states(workspace)["job-good-0"] == "completed", what="the end of the job")
    done = workspace.scheduler("status", "--no-refresh")
    assert "not collected yet" in done.out and "scheduler collect" in done.err


def test_an_unreachable_site_is_reported_and_the_table_is_still_printed(workspace: Workspace) -> None:
    keys = "transport: ssh\nhost: 127.0.0.1\nssh: {port: 1}\nscheduler: slurm\nwork_dir: $HOME/w\n"
    workspace.write("site_configs/far.yaml", keys + "account: eic\ndefaults: {memory: 1 GB, walltime: 5m, cpus: 1}\n")
    done = workspace.scheduler("submit", workspace.sweep("good", count=1), "-s", "far", code=1)
    assert "The jobs are recorded" in done.err
    status = workspace.scheduler("status", code=1)
    assert "127.0.0.1" in status.err and "Traceback" not in status.err
    assert status.lines[1].split()[:2] == ["job-good-0", "submitting"]
    assert states(workspace, "--no-refresh") == {"job-good-0": "submitting"}


def test_jobs_of_a_site_that_no_longer_exists_can_be_recorded_as_lost(workspace: Workspace) -> None:
    keys = "transport: ssh\nhost: 127.0.0.1\nssh: {port: 1}\nscheduler: slurm\nwork_dir: $HOME/w\n"
    workspace.write("site_configs/far.yaml", keys + "account: eic\ndefaults: {memory: 1 GB, walltime: 5m, cpus: 1}\n")
    workspace.scheduler("submit", workspace.sweep("good", count=1), "-s", "far", code=1)
    [proof] = (workspace.folder.parent / "state/spool").glob("*.unsubmitted")
    proof.unlink()  # as when some bytes had been sent
    refused = workspace.scheduler("cancel", "job-good-0", code=1)
    assert "scheduler cancel --forget" in refused.err and states(workspace, "--no-refresh") == {
        "job-good-0": "submitting"
    }
    workspace.scheduler("cancel", "--forget", "--yes", "job-good-0")
    (job,) = workspace.scheduler("status", "--json", "job-good-0").json
    assert (job["state"], job["cause"]) == ("failed", "lost")
    assert "Nothing to wait for" in workspace.scheduler("wait").err


def test_a_lost_job_is_looked_at_again_by_status_wait_and_retry(workspace: Workspace) -> None:
    workspace.killed_after_submit("run", workspace.sweep("slow", count=2), "--site", "local")
    wait_for(lambda: len(workspace.ran) == 2, what="the start of the jobs")
    wait_for(lambda: set(states(workspace).values()) == {"running"}, what="that all are seen running")
    _declare_lost(workspace)
    assert set(states(workspace, "--no-refresh").values()) == {"failed"}
    time.sleep(0.3)  # no site is polled faster than its floor
    assert set(states(workspace).values()) == {"running"}
    _declare_lost(workspace)
    time.sleep(0.3)
    refused = workspace.scheduler("retry", "job-slow-0", code=1)
    assert "it has not finished (running)" in refused.out
    _declare_lost(workspace)
    time.sleep(0.3)
    workspace.end_slow_jobs()
    assert "2 completed" in workspace.scheduler("wait").lines[-1]
    assert sorted(workspace.ran) == ["job-slow-0", "job-slow-1"]
    assert "not lost: running" in workspace.scheduler("status", "--history", "job-slow-0").out


def _declare_lost(workspace: Workspace) -> None:
    """What `wait` records after five minutes of silence."""
    ledger = Ledger(Path(workspace.environment["SCHEDULER_STATE_DIR"]))
    rows = ledger.chosen()
    lost = Status(JobState.FAILED, Cause.LOST, reason="it left no end file")
    ledger.observe({row.key: lost for row in rows}, {})
    ledger.polls.record(News(silence={row.key: (6, 1.0, 0) for row in rows}), version=0)
    ledger.record_results({row.key: {"error": "lost"} for row in rows})
    ledger.close()


def test_a_site_file_that_now_describes_another_site_is_not_used(workspace: Workspace) -> None:
    workspace.scheduler("submit", workspace.sweep("good", count=1), "-s", "local")
    workspace.write("site_configs/local.yaml", "scheduler: slurm\nwork_dir: /nowhere\n")
    assert workspace.scheduler("wait", "--json").json[0]["state"] == "completed"


def test_a_site_that_was_given_as_a_file_is_known_after_the_file_is_deleted(workspace: Workspace) -> None:
    text = (workspace.folder / "site_configs/local.yaml").read_text()
    workspace.write("mine.yaml", "transport: local\nscheduler: shell\n" + text)
    workspace.scheduler("submit", workspace.sweep("good", count=1), "-s", "./mine.yaml")
    (workspace.folder / "mine.yaml").unlink()
    assert workspace.scheduler("wait", "--json").json[0]["site"] == "mine"


def test_without_any_jobs_commands_print_one_message_and_succeed(workspace: Workspace) -> None:
    for arguments in (["status"], ["status", "--all"], ["wait"], ["collect"], ["cancel", "--all"]):
        done = workspace.scheduler(*arguments)
        assert done.out == "" and len(done.err.splitlines()) == 1
    assert workspace.scheduler("status", "--json").json == workspace.scheduler("wait", "--json").json == []


def test_an_unknown_job_id_is_an_error_that_suggests_the_nearest_one(workspace: Workspace) -> None:
    workspace.scheduler("run", workspace.sweep("good", count=1), "-s", "local")
    for command in (["status"], ["wait"], ["collect"], ["cancel"], ["logs"], ["status", "--history"]):
        assert "did you mean 'job-good-0'?" in workspace.scheduler(*command, "job-god-0", code=1).err
    assert "campaign 'nix'" in workspace.scheduler("status", "--campaign", "nix", "--json", code=1).err


def test_an_id_in_several_campaigns_selects_the_last_for_logs_and_all_for_status(workspace: Workspace) -> None:
    file = workspace.sweep("good", count=1)
    for campaign in ("one", "two"):
        workspace.scheduler("run", file, "-s", "local", "--campaign", campaign)
    same_id = "2 jobs have the id 'job-good-0': campaign one on local, campaign two on local"
    logs = workspace.scheduler("logs", "job-good-0")
    assert f"{same_id}; using the one submitted last" in logs.err
    status = workspace.scheduler("status", "job-good-0")
    assert same_id in status.err
    assert [line.split()[2] for line in status.lines[1:3]] == ["one", "two"]
    assert len(workspace.scheduler("status", "job-good-0", "--campaign", "two", "--json").json) == 1


def test_an_id_of_two_unfinished_jobs_cancels_neither(workspace: Workspace) -> None:
    file = workspace.sweep("endless", count=1)
    for campaign in ("one", "two"):
        workspace.scheduler("submit", file, "-s", "local", "--campaign", campaign)
    done = workspace.scheduler("cancel", "job-endless-0", code=1)
    assert "campaign one on local, campaign two on local" in done.err and "--campaign" in done.err
    workspace.scheduler("cancel", "--campaign", "one")
    workspace.scheduler("wait", "--campaign", "one", code=3)
    workspace.scheduler("cancel", "job-endless-0")
    workspace.scheduler("wait", code=3)
