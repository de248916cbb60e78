"""harness.sh, run for real under every sh there is: what it says of an end is so, whatever happened to the job."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scheduler.job.evidence import End
from tests.unpacked import SHELLS, Unpacked, installed, until

Make = Callable[..., Unpacked]


@pytest.fixture(params=SHELLS)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes a job of a payload, to be run by each sh."""
    if not installed(request.param):
        pytest.skip(f"{request.param} is not installed")

    def unpacked(text: str, **job: Any) -> Unpacked:
        return Unpacked(tmp_path / "it's a $folder", text, shell=request.param, **job)

    return unpacked


def told(end: End | None) -> tuple[int, str] | None:
    return None if end is None else (end.exit_code, end.signal)


def stop(job: Unpacked, name: str, *, ready: str = "ready", **how: Any) -> int:
    """Send its script a signal once the payload is ready. Gives the script's exit code."""
    process = job.begin(**how)
    until(lambda: (job.out / ready).exists())
    os.kill(process.pid, getattr(signal, f"SIG{name}"))
    process.communicate(timeout=600)
    return process.returncode


@pytest.mark.parametrize("code", [0, 3, 127, 128, 255])
def test_the_exit_code_is_the_payloads(make: Make, code: int) -> None:
    job = make(f"echo out; echo err >&2; exit {code}")
    assert job.run() == (code, "")
    assert told(job.end()) == (code, "")
    assert (job.said(), job.said("stderr")) == ("out\n", "err\n")


def test_when_and_where_it_ran_is_told(make: Make) -> None:
    job = make("true")
    job.run()
    end = job.end()
    assert end is not None and end.started and end.ended
    assert end.started <= end.ended
    assert (end.node, end.requeues) == (os.uname().nodename, 0)


def test_a_payload_that_is_killed_is_told_from_one_that_exits(make: Make) -> None:
    job = make("kill -9 $$")
    assert job.run()[0] == 137
    assert told(job.end()) == (137, "")


def test_a_script_that_is_told_to_stop_ends_its_payload_and_says_so(make: Make) -> None:
    job = make("touch ready; exec sleep 60")
    assert stop(job, "TERM") == 143
    assert told(job.end()) == (143, "TERM")


def test_a_payload_that_stops_in_its_own_way_has_its_exit_code_and_the_signal(make: Make) -> None:
    job = make("trap 'echo saved; exit 0' TERM; touch ready; while :; do sleep 0.05; done")
    assert stop(job, "TERM") == 0
    assert told(job.end()) == (0, "TERM")
    assert job.said() == "saved\n"


def test_the_processes_of_a_payload_hear_of_the_end_too(make: Make) -> None:
    job = make("sleep 60 & echo $! >child; touch ready; wait")
    stop(job, "TERM")
    child = int((job.out / "child").read_text())
    until(lambda: not Path(f"/proc/{child}/cmdline").exists() or not Path(f"/proc/{child}/cmdline").read_bytes())


@pytest.mark.parametrize("time", range(8))
def test_a_job_whose_processes_are_all_told_to_stop_at_once_says_so(make: Make, time: int) -> None:
    """As PBS and Slurm do. Bash may then have forgotten the payload's exit code, and say -1 for it."""
    job = make("touch ready; sleep 60; sleep 60")
    process = job.begin()
    until(lambda: (job.out / "ready").exists())
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=600)
    assert told(job.end()) == (143, "TERM")


def test_a_warning_reaches_the_payload_and_ends_nothing(make: Make) -> None:
    job = make("trap 'echo warned; warned=1' USR1; touch ready; while [ -z \"$warned\" ]; do sleep 0.05; done; exit 4")
    assert stop(job, "USR1") == 4
    assert told(job.end()) == (4, "")
    assert job.said() == "warned\n"


def test_a_script_that_is_killed_leaves_no_end(make: Make) -> None:
    job = make("touch ready; exec sleep 60")
    process = job.begin()
    until(lambda: (job.out / "ready").exists())
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=600)
    assert job.end() is None


def test_a_second_copy_runs_nothing_and_ends_well(make: Make) -> None:
    job = make("echo run >>runs")
    assert job.run("7") == (0, "")
    code, said = job.run("8")
    assert code == 0
    assert "7 runs this job already" in said
    assert (job.out / "runs").read_text() == "run\n"


def test_a_second_copy_that_comes_while_the_first_runs_does_not_disturb_it(make: Make) -> None:
    job = make("echo run >>runs; while [ ! -e go ]; do sleep 0.05; done; exit 3")
    first = job.begin("7")
    until(lambda: (job.out / "runs").exists())
    assert job.run("8")[0] == 0
    assert job.end() is None
    (job.out / "go").touch()
    first.communicate(timeout=600)
    assert told(job.end()) == (3, "")
    assert (job.out / "runs").read_text() == "run\n"


def test_many_copies_at_once_run_the_payload_once(make: Make) -> None:
    job = make("echo run >>runs")
    copies = [job.begin(str(number)) for number in range(12)]
    for copy in copies:
        copy.communicate(timeout=600)
    assert [copy.returncode for copy in copies] == [0] * 12
    assert (job.out / "runs").read_text() == "run\n"


def test_a_requeued_job_runs_again_and_keeps_both_ends(make: Make) -> None:
    job = make("echo $SLURM_RESTART_COUNT >>runs; touch ready; [ $SLURM_RESTART_COUNT = 1 ] || exec sleep 60")
    assert stop(job, "TERM") == 143
    assert job.run(attempt=1) == (0, "")
    assert (told(job.end(0)), told(job.end(1))) == ((143, "TERM"), (0, ""))
    assert (job.out / "runs").read_text() == "0\n1\n"


def test_each_attempt_has_its_own_logs(make: Make) -> None:
    job = make("echo attempt $SLURM_RESTART_COUNT; exit 1")
    job.run()
    job.run(attempt=1)
    assert [job.said(attempt=n) for n in (0, 1)] == ["attempt 0\n", "attempt 1\n"]


def test_a_job_that_has_ended_well_is_not_run_again_by_a_requeue(make: Make) -> None:
    job = make("echo run >>runs")
    job.run()
    code, said = job.run(attempt=1)
    assert code == 0
    assert "has ended already" in said
    assert (job.out / "runs").read_text() == "run\n"
    assert job.end(1) is None


def test_the_same_attempt_is_not_run_twice(make: Make) -> None:
    job = make("echo run >>runs; exit 3")
    job.run()
    assert job.run()[0] == 0
    assert (job.out / "runs").read_text() == "run\n"
    assert told(job.end()) == (3, "")


def test_a_folder_that_cannot_be_made_is_said_in_plain_words(make: Make, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    job = make("true", working_dir=tmp_path / "file" / "out")
    assert job.run()[0] == 72
    end = job.end()
    assert end is not None
    assert end.cannot == f"cannot make or enter the job's folder {tmp_path}/file/out"


def test_a_bundle_that_cannot_be_written_runs_nothing(make: Make) -> None:
    job = make("touch ran")
    shutil.rmtree(job.folder / "guards")
    (job.folder / "guards").touch()
    code, said = job.run()
    assert code == 73
    assert "the payload was not begun" in said
    assert not job.out.exists()


def test_a_payload_may_say_why_it_cannot_begin(make: Make) -> None:
    job = make("true", env_vars={"A": "x"})
    script = job.folder / "0/script.sh"
    script.write_text(script.read_text().replace("  exec bash", "  cannot_start 'no image,\nnone at all'\n  exec bash"))
    assert job.run()[0] == 72
    end = job.end()
    assert end is not None
    assert end.cannot == "no image, none at all"
    assert "scheduler: no image" in job.said("stderr")


def test_why_an_earlier_attempt_could_not_begin_is_forgotten(make: Make) -> None:
    job = make("exit 5")
    (job.folder / "0/cannot").write_text("no image\n")
    job.run()
    end = job.end()
    assert end is not None
    assert (end.exit_code, end.cannot) == (5, "")


OUTPUTS = ["a b.root", 'it\'s "$HOME" `id` $(id).root', "-rf.root", "é.root", "*.root", "x\ny.root", "[b].root"]


@pytest.mark.parametrize("pattern", ["*.root", "?*.root", "deep/**/*.root", "deep", "[!x]*.root", "$(touch canary)*"])
def test_outputs_that_are_there_are_found_whatever_their_names(make: Make, pattern: str) -> None:
    job = make("mkdir -p deep/er; touch ./-x.root deep/er/y.root './$(touch canary)1'", output_files=[pattern])
    job.run()
    end = job.end()
    assert end is not None
    assert end.missing == ""
    assert not (job.out / "canary").exists()


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_with_any_name_may_be_declared_and_is_named_when_it_is_missing(make: Make, name: str) -> None:
    job = make("touch here.txt", output_files=["here.txt", name, "another"])
    job.run()
    end = job.end()
    assert end is not None
    assert end.missing == name.replace(" ", "?").replace("\n", "?")
    assert told(end) == (0, "")


def test_a_payload_that_failed_is_not_asked_for_outputs(make: Make) -> None:
    job = make("exit 3", output_files=["*.root"])
    job.run()
    end = job.end()
    assert end is not None
    assert (end.exit_code, end.missing) == (3, "")


def test_an_end_is_there_whole_or_not_at_all(make: Make) -> None:
    """No half of it under its own name: it is written beside and renamed."""
    job = make("true")
    (job.folder / "ends/.0.0").write_text("half of an end that was cut")
    job.run()
    assert told(job.end()) == (0, "")
    assert [path.name for path in (job.folder / "ends").iterdir() if path.name != ".keep"] == ["0.0"]


def test_standard_input_is_empty(make: Make) -> None:
    job = make("cat; echo done")
    assert job.run() == (0, "")
    assert job.said() == "done\n"
