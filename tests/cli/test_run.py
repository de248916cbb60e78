"""``scheduler run`` and ``submit`` on this machine: tables, JSON, exit codes, and the same file given twice."""

from __future__ import annotations

import pytest

from .desk import Desk

KEYS = [
    *("job_id", "site", "campaign", "state", "cause", "exit_code", "reason", "batch_id", "node", "attempt"),
    *("working_dir", "started", "ended", "results"),
]


def test_a_sweep_runs_and_is_shown_with_its_results(desk: Desk) -> None:
    done = desk.scheduler("run", desk.sweep("good", count=3, outputs="[out.txt]"), "--site", "local")
    head, *jobs, counts = done.lines
    assert head.split() == ["JOB", "STATE", "EXIT", "BATCH", "ID", "TIME", "mass"]
    assert [(line.split()[0], line.split()[1], line.split()[-1]) for line in jobs] == [
        ("job-good-0", "completed", "0.05"),
        ("job-good-1", "completed", "0.15"),
        ("job-good-2", "completed", "0.25"),
    ]
    assert counts.endswith("on local: 3 completed")
    assert (desk.folder / "job-good-2" / "out.txt").read_text().endswith("1000\n")


def test_results_that_were_asked_for_are_shown(desk: Desk) -> None:
    done = desk.scheduler("run", desk.sweep("good"), "-s", "local", "--show", "engine", "--show", "mass")
    assert done.lines[0].split()[-2:] == ["engine", "mass"]
    assert done.lines[1].split()[-2:] == ["toy", "0.05"]


def test_talk_goes_to_stderr_and_nothing_is_coloured_or_moves_there(desk: Desk) -> None:
    done = desk.scheduler("run", desk.sweep("good"), "-s", "local")
    assert "2 jobs submitted to local" in done.err and "2 of 2 done: 2 completed" in done.err
    assert "\x1b" not in done.out + done.err and "\r" not in done.out + done.err


def test_json_of_a_run_has_the_same_keys_always(desk: Desk) -> None:
    done = desk.scheduler("run", desk.sweep("good", "bad", count=1), "-s", "local", "--json", code=3)
    good, bad = done.json
    assert list(good) == list(bad) == KEYS
    assert (good["state"], good["cause"], good["exit_code"], good["results"]["mass"]) == ("completed", None, 0, 0.05)
    assert (bad["state"], bad["cause"], bad["exit_code"]) == ("failed", "exit code", 3)
    assert good["started"] <= good["ended"] and good["started"].endswith("+00:00")


def test_a_job_that_did_not_complete_makes_it_3_and_says_its_last_words(desk: Desk) -> None:
    done = desk.scheduler("run", desk.sweep("good", "bad"), "-s", "local", code=3)
    assert "job-bad-0 (and 1 more): failed: exit code 3" in done.err and "  err of bad" in done.err
    assert "2 completed, 2 failed" in done.lines[-1]


def test_a_missing_output_is_named(desk: Desk) -> None:
    done = desk.scheduler("run", desk.sweep("good", count=1, outputs="[nothing.root]"), "-s", "local", code=3)
    assert "failed: missing output" in done.out and "nothing.root" in done.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("job: {type: script, script_path: job.sh}\nmatirx: {n: [1]}", "did you mean 'matrix'?"),
        ("job: {type: script, script_path: nowhere.sh}", "nowhere.sh"),
        ("job: [", "line"),
        ("id: '{{ m }}'\njob: {type: script, script_path: job.sh}", "'m' is undefined"),
    ],
)
def test_a_wrong_job_file_is_an_error_without_a_traceback(desk: Desk, text: str, said: str) -> None:
    desk.sweep("good")
    done = desk.scheduler("run", desk.write("wrong.yaml", text), "-s", "local", code=1)
    assert said in done.err and "wrong.yaml" in done.err and "Traceback" not in done.err
    assert done.out == "" and desk.ran == []


def test_an_unknown_site_is_an_error_that_names_the_nearest(desk: Desk) -> None:
    done = desk.scheduler("run", desk.sweep("good"), "-s", "locl", code=1)
    assert "no site is called 'locl'; did you mean 'local'?" in done.err


@pytest.mark.parametrize(
    "words",
    [["run"], ["run", "job.yaml"], ["runn"], ["status", "--nothing"], ["cancel"], ["logs", "a", "--lines", "0"],
     ["wait", "--timeout", "soon"], ["wait", "--timeout", "-1"]],
)  # fmt: skip
def test_wrong_usage_is_2(desk: Desk, words: list[str]) -> None:
    done = desk.scheduler(*words, code=2)
    assert "Usage: scheduler" in done.err and done.out == ""


def test_a_file_that_is_run_twice_runs_once(desk: Desk) -> None:
    file = desk.sweep("good", "bad", outputs="[]")
    first = desk.scheduler("run", file, "-s", "local", code=3)
    elsewhere = str((desk.folder / file).resolve())
    second = desk.scheduler("run", elsewhere, "-s", "local", code=3)
    assert second.out == first.out
    assert "submitted before: 4 of 4 jobs" in second.err and "--again" in second.err
    assert desk.ran == ["job-bad-0", "job-bad-1", "job-good-0", "job-good-1"]


def test_jobs_that_a_file_has_gained_are_new_and_a_change_is_told(desk: Desk) -> None:
    desk.scheduler("run", desk.sweep("good", count=1), "-s", "local")
    done = desk.scheduler("run", desk.sweep("good", count=2), "-s", "local")
    assert "submitted before: 1 of 2 jobs" in done.err and "job.yaml has changed since" in done.err
    assert "1 job submitted" in done.err
    assert desk.ran == ["job-good-0", "job-good-1"]


def test_again_is_a_new_run_which_is_then_the_one_that_goes_on(desk: Desk) -> None:
    file = desk.sweep("good", count=1)
    campaigns = [
        desk.scheduler("run", file, "-s", "local", "--json", *options).json[0]["campaign"]
        for options in ([], ["--again"], [], ["--again"], [])
    ]
    first = campaigns[0]
    assert campaigns == [first, f"{first}@2", f"{first}@2", f"{first}@3", f"{first}@3"]
    assert desk.ran == ["job-good-0"] * 3
    old = desk.scheduler("run", file, "-s", "local", "--campaign", f"{first}@2", "--json").json[0]
    assert old["campaign"] == f"{first}@2" and len(desk.ran) == 3


def test_again_waits_for_the_run_before(desk: Desk) -> None:
    file = desk.sweep("slow", count=1)
    desk.scheduler("submit", file, "-s", "local")
    done = desk.scheduler("run", file, "-s", "local", "--again", code=1)
    assert "another run would write into the same folders" in done.err
    desk.let_slow_jobs_end()
    desk.scheduler("wait")
    assert desk.ran == ["job-slow-0"]


def test_a_campaign_is_the_files_own_or_the_one_that_is_asked_for(desk: Desk) -> None:
    file = desk.sweep("good", count=1)
    desk.write(file, "campaign: b0-scan\n" + (desk.folder / file).read_text())
    assert desk.scheduler("submit", file, "-s", "local", "--json").json[0]["campaign"] == "b0-scan"
    asked = desk.scheduler("submit", file, "-s", "local", "--json", "--campaign", "another scan")
    assert asked.json[0]["campaign"] == "another scan"
    assert "scheduler wait --campaign 'another scan'" in asked.err
    desk.scheduler("wait")
    assert len(desk.ran) == 2


def test_a_timeout_leaves_the_jobs_alone_and_says_how_to_go_on(desk: Desk) -> None:
    done = desk.scheduler("run", desk.sweep("slow", count=1), "-s", "local", "--timeout", "0.5", code=1)
    assert "they are not affected" in done.err and "scheduler wait --campaign" in done.err
    desk.let_slow_jobs_end()
    assert desk.scheduler("wait", "--timeout", "10m", "--json").json[0]["state"] == "completed"


def test_submit_prints_a_line_a_job(desk: Desk) -> None:
    done = desk.scheduler("submit", desk.sweep("good"), "-s", "local")
    assert [line.split()[0] for line in done.lines] == ["job-good-0", "job-good-1"]
    assert all(len(line.split()) == 3 for line in done.lines)
    again = desk.scheduler("submit", desk.sweep("good"), "-s", "local", "--json")
    assert [job["job_id"] for job in again.json] == ["job-good-0", "job-good-1"]
    desk.scheduler("wait")
    assert desk.ran == ["job-good-0", "job-good-1"]
