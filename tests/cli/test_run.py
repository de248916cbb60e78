"""``scheduler run`` and ``submit`` on this machine: tables, JSON, exit codes, the same file submitted twice."""

from __future__ import annotations

import pytest

from .workspace import Workspace

KEYS = [
    *("job_id", "site", "campaign", "state", "cause", "exit_code", "reason", "batch_id", "node", "attempt"),
    *("working_dir", "started", "ended", "results", "outputs", "token", "remote_dir"),
]


def test_a_sweep_runs_and_its_results_are_printed(workspace: Workspace) -> None:
    done = workspace.scheduler("run", workspace.sweep("good", count=3, outputs="[out.txt]"), "--site", "local")
    head, *jobs, counts = done.lines
    assert head.split() == ["JOB", "STATE", "EXIT", "BATCH", "ID", "TIME", "mass"]
    assert [(line.split()[0], line.split()[1], line.split()[-1]) for line in jobs] == [
        ("job-good-0", "completed", "0.05"),
        ("job-good-1", "completed", "0.15"),
        ("job-good-2", "completed", "0.25"),
    ]
    assert counts.endswith("on local: 3 completed")
    assert (workspace.folder / "job-good-2" / "out.txt").read_text().endswith("1000\n")


def test_show_selects_the_results_in_the_table(workspace: Workspace) -> None:
    done = workspace.scheduler("run", workspace.sweep("good"), "-s", "local", "--show", "engine", "--show", "mass")
    assert done.lines[0].split()[-2:] == ["engine", "mass"]
    assert done.lines[1].split()[-2:] == ["toy", "0.05"]


def test_messages_go_to_stderr_without_colours_or_animations(workspace: Workspace) -> None:
    done = workspace.scheduler("run", workspace.sweep("good"), "-s", "local")
    assert "2 jobs submitted to local" in done.err and "2 of 2 done: 2 completed" in done.err
    assert "\x1b" not in done.out + done.err and "\r" not in done.out + done.err


def test_json_of_every_job_has_the_same_keys(workspace: Workspace) -> None:
    done = workspace.scheduler("run", workspace.sweep("good", "bad", count=1), "-s", "local", "--json", code=3)
    good, bad = done.json
    assert list(good) == list(bad) == KEYS
    assert (good["state"], good["cause"], good["exit_code"], good["results"]["mass"]) == ("completed", None, 0, 0.05)
    assert (bad["state"], bad["cause"], bad["exit_code"]) == ("failed", "exit code", 3)
    assert good["started"] <= good["ended"] and good["started"].endswith("+00:00")


def test_a_failed_job_gives_exit_code_3_and_its_last_lines_are_printed(workspace: Workspace) -> None:
    done = workspace.scheduler("run", workspace.sweep("good", "bad"), "-s", "local", code=3)
    assert "job-bad-0 (and 1 more): failed: exit code 3" in done.err and "  err of bad" in done.err
    assert "2 completed, 2 failed" in done.lines[-1]


def test_a_missing_output_is_named(workspace: Workspace) -> None:
    done = workspace.scheduler("run", workspace.sweep("good", count=1, outputs="[nothing.root]"), "-s", "local", code=3)
    assert "failed: missing output" in done.out and "nothing.root" in done.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("job: {type: script, script_path: job.sh}\nmatirx: {n: [1]}", "did you mean 'matrix'?"),
        ("job: {type: script, script_path: nowhere.sh}", "nowhere.sh"),
        ("job: [", "line"),
        ("id: '{{ m }}'\njob: {type: script, script_path: job.sh}", "'m' is undefined"),
    ],
)
def test_a_wrong_job_file_is_an_error_without_a_traceback(workspace: Workspace, text: str, message: str) -> None:
    workspace.sweep("good")
    done = workspace.scheduler("run", workspace.write("wrong.yaml", text), "-s", "local", code=1)
    assert message in done.err and "wrong.yaml" in done.err and "Traceback" not in done.err
    assert done.out == "" and workspace.ran == []


def test_an_unknown_site_is_an_error_that_suggests_the_nearest_one(workspace: Workspace) -> None:
    done = workspace.scheduler("run", workspace.sweep("good"), "-s", "locl", code=1)
    assert "no site is called 'locl'; did you mean 'local'?" in done.err


@pytest.mark.parametrize(
    "arguments",
    [["run"], ["run", "job.yaml"], ["runn"], ["status", "--nothing"], ["cancel"], ["logs", "a", "--lines", "0"],
     ["wait", "--timeout", "soon"], ["wait", "--timeout", "-1"]],
)  # fmt: skip
def test_wrong_usage_gives_exit_code_2(workspace: Workspace, arguments: list[str]) -> None:
    done = workspace.scheduler(*arguments, code=2)
    assert "Usage: scheduler" in done.err and done.out == ""


def test_a_file_that_is_run_twice_submits_its_jobs_once(workspace: Workspace) -> None:
    file = workspace.sweep("good", "bad", outputs="[]")
    first = workspace.scheduler("run", file, "-s", "local", code=3)
    elsewhere = str((workspace.folder / file).resolve())
    second = workspace.scheduler("run", elsewhere, "-s", "local", code=3)
    assert second.out == first.out
    assert "already submitted: 4 of 4 jobs" in second.err and "--again" in second.err
    assert workspace.ran == ["job-bad-0", "job-bad-1", "job-good-0", "job-good-1"]


def test_only_jobs_added_to_a_file_are_submitted(workspace: Workspace) -> None:
    workspace.scheduler("run", workspace.sweep("good", count=1), "-s", "local")
    done = workspace.scheduler("run", workspace.sweep("good", count=2), "-s", "local")
    assert "already submitted: 1 of 2 jobs" in done.err
    assert "1 job submitted" in done.err
    assert workspace.ran == ["job-good-0", "job-good-1"]


def test_again_starts_a_new_run_which_later_commands_resume(workspace: Workspace) -> None:
    file = workspace.sweep("good", count=1)
    campaigns = [
        workspace.scheduler("run", file, "-s", "local", "--json", *options).json[0]["campaign"]
        for options in ([], ["--again"], [], ["--again"], [])
    ]
    first = campaigns[0]
    assert campaigns == [first, f"{first}@2", f"{first}@2", f"{first}@3", f"{first}@3"]
    assert workspace.ran == ["job-good-0"] * 3
    old = workspace.scheduler("run", file, "-s", "local", "--campaign", f"{first}@2", "--json").json[0]
    assert old["campaign"] == f"{first}@2" and len(workspace.ran) == 3


def test_again_is_refused_while_the_last_run_is_unfinished(workspace: Workspace) -> None:
    file = workspace.sweep("slow", count=1)
    workspace.scheduler("submit", file, "-s", "local")
    done = workspace.scheduler("run", file, "-s", "local", "--again", code=1)
    assert "a new run would write into the same folders" in done.err
    workspace.end_slow_jobs()
    workspace.scheduler("wait")
    assert workspace.ran == ["job-slow-0"]


def test_the_campaign_is_the_requested_one_or_the_one_in_the_file(workspace: Workspace) -> None:
    file = workspace.sweep("good", count=1)
    workspace.write(file, "campaign: b0-scan\n" + (workspace.folder / file).read_text())
    assert workspace.scheduler("submit", file, "-s", "local", "--json").json[0]["campaign"] == "b0-scan"
    requested = workspace.scheduler("submit", file, "-s", "local", "--json", "--campaign", "another scan")
    assert requested.json[0]["campaign"] == "another scan"
    assert "scheduler wait --campaign 'another scan'" in requested.err
    workspace.scheduler("wait")
    assert len(workspace.ran) == 2


def test_after_a_timeout_the_jobs_keep_running_and_the_command_to_resume_is_printed(workspace: Workspace) -> None:
    done = workspace.scheduler("run", workspace.sweep("slow", count=1), "-s", "local", "--timeout", "0.5", code=1)
    assert (
        "after 0.5 s" in done.err
        and "Submitted jobs keep running" in done.err
        and "scheduler wait --campaign" in done.err
    )
    workspace.end_slow_jobs()
    assert workspace.scheduler("wait", "--timeout", "10m", "--json").json[0]["state"] == "completed"


def test_submit_prints_one_line_for_each_job(workspace: Workspace) -> None:
    done = workspace.scheduler("submit", workspace.sweep("good"), "-s", "local")
    assert [line.split()[0] for line in done.lines] == ["job-good-0", "job-good-1"]
    assert all(len(line.split()) == 3 for line in done.lines)
    again = workspace.scheduler("submit", workspace.sweep("good"), "-s", "local", "--json")
    assert [job["job_id"] for job in again.json] == ["job-good-0", "job-good-1"]
    workspace.scheduler("wait")
    assert workspace.ran == ["job-good-0", "job-good-1"]
