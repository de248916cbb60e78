"""What later processes know and do, when the one that submitted is gone: killed, or interrupted with Ctrl-C."""

from __future__ import annotations

import os
import shlex
import signal

from .desk import Desk, wait_for


def states(desk: Desk, *words: str) -> dict[str, str]:
    """The states of jobs by their ids."""
    return {job["job_id"]: job["state"] for job in desk.scheduler("status", "--json", *words).json}


def test_what_a_killed_process_submitted_is_finished_by_a_new_one(desk: Desk) -> None:
    desk.killed_after_submit("run", desk.sweep("good", "slow", "bad", outputs="[]"), "--site", "local")
    assert len(states(desk)) == 6
    desk.let_slow_jobs_end()
    done = desk.scheduler("wait", code=3)
    assert "4 completed, 2 failed" in done.lines[-1]
    assert (desk.folder / "job-slow-1" / "out.txt").exists() and (desk.folder / "job-good-0" / "result.json").exists()
    assert len(desk.ran) == len(set(desk.ran)) == 6


def test_the_same_file_goes_on_after_the_process_was_killed(desk: Desk) -> None:
    file = desk.sweep("slow", outputs="[out.txt]")
    desk.killed_after_submit("run", file, "--site", "local")
    desk.let_slow_jobs_end()
    assert "2 completed" in desk.scheduler("run", file, "--site", "local").lines[-1]
    assert desk.ran == ["job-slow-0", "job-slow-1"]


def test_what_has_ended_is_brought_home_without_waiting(desk: Desk) -> None:
    desk.killed_after_submit("run", desk.sweep("good", "endless", count=1), "--site", "local")
    wait_for(lambda: states(desk)["job-good-0"] == "completed", what="the end of the good one")
    done = desk.scheduler("collect", "--json")
    results = {job["job_id"]: job["results"] for job in done.json}
    assert results["job-endless-0"] is None and results["job-good-0"]["mass"] == 0.05
    assert "1 job still goes on" in desk.scheduler("collect").err
    desk.scheduler("cancel", "--all", "--yes")


def test_logs_are_read_over_there_while_it_runs_and_here_afterwards(desk: Desk) -> None:
    desk.killed_after_submit("run", desk.sweep("slow", count=1), "--site", "local")
    wait_for(lambda: desk.scheduler("logs", "job-slow-0").out == "out of slow\n", what="its first line")
    assert not (desk.folder / "job-slow-0" / "job.stdout").exists()
    desk.let_slow_jobs_end()
    desk.scheduler("wait", "job-slow-0")
    home = desk.scheduler("logs", "job-slow-0", "--stderr", "--lines", "1")
    assert home.out == "err of slow\n" and "job-slow-0/job.stderr" in home.err


def test_a_job_is_cancelled_by_its_id(desk: Desk) -> None:
    desk.killed_after_submit("run", desk.sweep("endless"), "--site", "local")
    wait_for(lambda: len(desk.ran) == 2, what="their begin")
    desk.scheduler("cancel", "job-endless-1")
    desk.scheduler("wait", "job-endless-1", code=3)
    assert states(desk) == {"job-endless-0": "running", "job-endless-1": "cancelled"}
    desk.scheduler("cancel", "--campaign", desk.scheduler("status", "--json").json[0]["campaign"])
    desk.scheduler("wait", code=3)
    assert set(states(desk).values()) == {"cancelled"}


def test_everything_is_cancelled_only_when_somebody_is_sure(desk: Desk) -> None:
    desk.killed_after_submit("run", desk.sweep("endless", count=1), "--site", "local")
    assert "--yes" in desk.scheduler("cancel", "--all", code=2).err
    assert set(states(desk).values()) <= {"queued", "running"}
    assert desk.scheduler("cancel", "--all", "--yes", "--json").json[0]["job_id"] == "job-endless-0"
    desk.scheduler("wait", code=3)
    assert "Nothing to cancel" in desk.scheduler("cancel", "--all", "--yes").err


def test_ctrl_c_says_that_jobs_go_on_and_the_command_that_waits_for_them(desk: Desk) -> None:
    with desk.scheduler_at_work("run", desk.sweep("slow"), "-s", "local", until="submitted") as process:
        wait_for(lambda: len(desk.ran) == 2, what="their begin")
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(300) == 130
    assert "The jobs go on" in desk.talk and "Traceback" not in desk.talk
    desk.let_slow_jobs_end()
    resume = shlex.split(desk.talk.splitlines()[-1])
    assert resume[:3] == ["scheduler", "wait", "--campaign"]
    assert "2 completed" in desk.scheduler(*resume[1:]).lines[-1]
    assert desk.ran == ["job-slow-0", "job-slow-1"]


def test_ctrl_c_while_waiting_repeats_the_command(desk: Desk) -> None:
    desk.scheduler("submit", desk.sweep("endless", count=1), "-s", "local")
    with desk.scheduler_at_work("wait", "--site", "local", "job-endless-0", until="0 of 1 done") as process:
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(300) == 130
    assert desk.talk.splitlines()[-1].strip() == "scheduler wait --site local job-endless-0"
    desk.scheduler("cancel", "job-endless-0")


def test_status_shows_what_goes_on_and_every_observation_of_a_job(desk: Desk) -> None:
    desk.scheduler("run", desk.sweep("good", count=1), "-s", "local")
    head, job, counts = desk.scheduler("status").lines
    assert head.split()[:2] == ["JOB", "STATE"] and job.split()[:2] == ["job-good-0", "completed"]
    assert counts.startswith("1 job of job-") and counts.endswith("on local: 1 completed")
    history = desk.scheduler("status", "--history", "job-good-0")
    said = [line.split("  ", 2)[2] for line in history.lines[1:]]
    assert said[:2] == ["submit: to local", "submit: accepted"] and said[-1].startswith("collected: ")
    assert "completed; end file: exit=0" in said[-2]
    as_json = desk.scheduler("status", "--history", "job-good-0", "--json").json
    assert [one["said"] for one in as_json] == said and all(one["at"].startswith("20") for one in as_json)


def test_status_without_asking_knows_what_was_known(desk: Desk) -> None:
    desk.scheduler("submit", desk.sweep("good", count=1), "-s", "local")
    wait_for(lambda: desk.ran, what="its begin")
    assert states(desk, "--no-refresh") == {"job-good-0": "queued"}
    wait_for(lambda: states(desk)["job-good-0"] == "completed", what="its end")
    done = desk.scheduler("status", "--no-refresh")
    assert "not home yet" in done.out and "scheduler collect" in done.err


def test_a_site_that_cannot_be_reached_is_told_and_the_table_is_shown(desk: Desk) -> None:
    keys = "transport: ssh\nhost: 127.0.0.1\nssh: {port: 1}\nscheduler: slurm\nwork_dir: $HOME/w\n"
    desk.write("site_configs/far.yaml", keys + "account: eic\ndefaults: {memory: 1 GB, walltime: 5m, cpus: 1}\n")
    done = desk.scheduler("submit", desk.sweep("good", count=1), "-s", "far", code=1)
    assert "Nothing is lost" in done.err
    status = desk.scheduler("status", code=1)
    assert "127.0.0.1" in status.err and "Traceback" not in status.err
    assert status.lines[1].split()[:2] == ["job-good-0", "submitting"]
    assert states(desk, "--no-refresh") == {"job-good-0": "submitting"}


def test_jobs_of_a_site_that_is_gone_can_be_given_up(desk: Desk) -> None:
    keys = "transport: ssh\nhost: 127.0.0.1\nssh: {port: 1}\nscheduler: slurm\nwork_dir: $HOME/w\n"
    desk.write("site_configs/far.yaml", keys + "account: eic\ndefaults: {memory: 1 GB, walltime: 5m, cpus: 1}\n")
    desk.scheduler("submit", desk.sweep("good", count=1), "-s", "far", code=1)
    refused = desk.scheduler("cancel", "job-good-0", code=1)
    assert "scheduler cancel --forget" in refused.err and states(desk, "--no-refresh") == {"job-good-0": "submitting"}
    desk.scheduler("cancel", "--forget", "--yes", "job-good-0")
    (job,) = desk.scheduler("status", "--json", "job-good-0").json
    assert (job["state"], job["cause"]) == ("failed", "lost")
    assert "Nothing to wait for" in desk.scheduler("wait").err


def test_a_moved_host_is_followed_and_another_site_of_the_name_is_not(desk: Desk) -> None:
    desk.scheduler("submit", desk.sweep("good", count=1), "-s", "local")
    desk.write("site_configs/local.yaml", "scheduler: slurm\nwork_dir: /nowhere\n")
    assert desk.scheduler("wait", "--json").json[0]["state"] == "completed"


def test_a_site_that_was_given_as_a_file_is_found_again(desk: Desk) -> None:
    text = (desk.folder / "site_configs/local.yaml").read_text()
    desk.write("mine.yaml", "transport: local\nscheduler: shell\n" + text)
    desk.scheduler("submit", desk.sweep("good", count=1), "-s", "./mine.yaml")
    (desk.folder / "mine.yaml").unlink()
    assert desk.scheduler("wait", "--json").json[0]["site"] == "mine"


def test_no_jobs_at_all_is_no_error(desk: Desk) -> None:
    for words in (["status"], ["status", "--all"], ["wait"], ["collect"], ["cancel", "--all"]):
        done = desk.scheduler(*words)
        assert done.out == "" and len(done.err.splitlines()) == 1
    assert desk.scheduler("status", "--json").json == desk.scheduler("wait", "--json").json == []


def test_an_unknown_job_is_an_error_that_names_the_nearest(desk: Desk) -> None:
    desk.scheduler("run", desk.sweep("good", count=1), "-s", "local")
    for words in (["status"], ["wait"], ["collect"], ["cancel"], ["logs"], ["status", "--history"]):
        assert "did you mean 'job-good-0'?" in desk.scheduler(*words, "job-god-0", code=1).err
    assert "campaign 'nix'" in desk.scheduler("status", "--campaign", "nix", "--json", code=1).err


def test_an_id_of_several_campaigns_means_the_last_for_logs_and_all_for_status(desk: Desk) -> None:
    file = desk.sweep("good", count=1)
    for campaign in ("one", "two"):
        desk.scheduler("run", file, "-s", "local", "--campaign", campaign)
    logs = desk.scheduler("logs", "job-good-0")
    assert "'job-good-0' is 2 jobs: one on local, two on local; this is the last" in logs.err
    status = desk.scheduler("status", "job-good-0")
    assert "'job-good-0' is 2 jobs: one on local, two on local" in status.err
    assert [line.split()[2] for line in status.lines[1:3]] == ["one", "two"]
    assert len(desk.scheduler("status", "job-good-0", "--campaign", "two", "--json").json) == 1


def test_an_id_that_goes_on_twice_is_not_cancelled_by_guess(desk: Desk) -> None:
    file = desk.sweep("endless", count=1)
    for campaign in ("one", "two"):
        desk.scheduler("submit", file, "-s", "local", "--campaign", campaign)
    done = desk.scheduler("cancel", "job-endless-0", code=1)
    assert "one on local and two on local" in done.err and "--campaign" in done.err
    desk.scheduler("cancel", "--campaign", "one")
    desk.scheduler("wait", "--campaign", "one", code=3)
    desk.scheduler("cancel", "job-endless-0")
    desk.scheduler("wait", code=3)
