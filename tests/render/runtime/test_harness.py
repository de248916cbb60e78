"""harness.sh, run by every installed sh: the end file is true, whatever happened to the job."""

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
    """Makes a job from a payload that each installed sh runs."""
    if not installed(request.param):
        pytest.skip(f"{request.param} is not installed")

    def unpacked(text: str, **job: Any) -> Unpacked:
        return Unpacked(tmp_path / "it's a $folder", text, shell=request.param, **job)

    return unpacked


def told(end: End | None) -> tuple[int, str] | None:
    return None if end is None else (end.exit_code, end.signal)


def stop(job: Unpacked, name: str, *, ready: str = "ready", **how: Any) -> int:
    """Send the script a signal once the payload is ready. Returns the exit code of the script."""
    process = job.begin(**how)
    until(lambda: (job.out / ready).exists())
    os.kill(process.pid, getattr(signal, f"SIG{name}"))
    process.communicate(timeout=600)
    return process.returncode


@pytest.mark.parametrize("code", [0, 3, 127, 128, 255])
def test_the_end_file_has_the_exit_code_of_the_payload(make: Make, code: int) -> None:
    job = make(f"echo out; echo err >&2; exit {code}")
    assert job.run() == (code, "")
    assert told(job.end()) == (code, "")
    assert (job.printed(), job.printed("stderr")) == ("out\n", "err\n")


def test_the_end_file_has_times_and_host(make: Make) -> None:
    job = make("true")
    job.run()
    end = job.end()
    assert end is not None and end.started and end.ended
    assert end.started <= end.ended
    assert (end.node, end.requeues) == (os.uname().nodename, 0)


def test_a_killed_payload_is_distinguished_from_one_that_exits(make: Make) -> None:
    job = make("kill -9 $$")
    assert job.run()[0] == 137
    assert told(job.end()) == (137, "")


def test_a_signal_ends_script_and_payload_and_is_recorded(make: Make) -> None:
    job = make("touch ready; exec sleep 60")
    assert stop(job, "TERM") == 143
    assert told(job.end()) == (143, "TERM")


def test_a_payload_that_handles_the_signal_has_its_exit_code_and_the_signal_recorded(make: Make) -> None:
    job = make("trap 'echo saved; exit 0' TERM; touch ready; while :; do sleep 0.05; done")
    assert stop(job, "TERM") == 0
    assert told(job.end()) == (0, "TERM")
    assert job.printed() == "saved\n"


def test_child_processes_of_the_payload_get_the_signal_too(make: Make) -> None:
    job = make("sleep 60 & echo $! >child; touch ready; wait")
    stop(job, "TERM")
    child = int((job.out / "child").read_text())
    until(lambda: not Path(f"/proc/{child}/cmdline").exists() or not Path(f"/proc/{child}/cmdline").read_bytes())


@pytest.mark.parametrize("time", range(8))
def test_a_signal_to_all_processes_at_once_is_recorded(make: Make, time: int) -> None:
    """PBS and Slurm do that. Bash may then have lost the exit code of the payload, and report -1."""
    job = make("touch ready; sleep 60; sleep 60")
    process = job.begin()
    until(lambda: (job.out / "ready").exists())
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=600)
    assert told(job.end()) == (143, "TERM")


def test_a_warning_signal_reaches_the_payload_and_ends_nothing(make: Make) -> None:
    job = make("trap 'echo warned; warned=1' USR1; touch ready; while [ -z \"$warned\" ]; do sleep 0.05; done; exit 4")
    assert stop(job, "USR1") == 4
    assert told(job.end()) == (4, "")
    assert job.printed() == "warned\n"


WARNINGS = [
    "HUP",
    "QUIT",
    "USR1",
    "USR2",
    "ALRM",
    "VTALRM",
    "PROF",
    "URG",
    "WINCH",
    "CONT",
    "ABRT",
    "TRAP",
    "IO",
    "PWR",
]


def test_each_signal_that_is_no_end_is_passed_on_and_outputs_and_end_file_are_recorded(make: Make) -> None:
    job = make(_PYTHON_THAT_COUNTS_SIGNALS, output_files=["out.txt"])
    process = job.begin()
    until(lambda: (job.out / "ready").exists())
    numbers = [*(int(getattr(signal, f"SIG{name}")) for name in WARNINGS), signal.SIGRTMIN, 40, signal.SIGRTMAX]
    for number in numbers:
        os.kill(process.pid, number)
        until(lambda number=number: str(int(number)) in job.printed().split())  # type: ignore[misc]
    (job.out / "out.txt").touch()
    os.kill(process.pid, signal.SIGUSR1)
    process.communicate(timeout=600)
    assert process.returncode == 7
    assert told(job.end()) == (7, "")


_PYTHON_THAT_COUNTS_SIGNALS = r"""exec python3 -u -c '
import os, signal, sys, time
def got(number, frame):
    print(number)
    if os.path.exists("out.txt"):
        sys.exit(7)
for number in set(range(1, 65)) - {9, 19, 32, 33, 17, 15, 2, 24, 11, 4, 7, 8}:
    signal.signal(number, got)
open("ready", "w").close()
while True:
    time.sleep(0.05)
'
"""


@pytest.mark.parametrize("name", ["USR2", "HUP", "ALRM", "TRAP"])
def test_a_payload_that_the_passed_signal_kills_was_killed_by_it(make: Make, name: str) -> None:
    number = int(getattr(signal, f"SIG{name}"))
    job = make('exec python3 -c \'import time; open("ready", "w"); time.sleep(60)\'')
    assert stop(job, name) == 128 + number
    end = job.end()
    assert told(end) == (128 + number, "") and end is not None and end.killed is not False


@pytest.mark.parametrize("number", [5, 10, 12, 15, 9])
@pytest.mark.parametrize("killed", [True, False])
def test_a_signal_is_told_from_the_exit_code_that_a_shell_reports_for_it(make: Make, number: int, killed: bool) -> None:
    job = make(f"kill -{number} $$; sleep 60" if killed else f"exit {128 + number}")
    assert job.run() == (128 + number, "")
    end = job.end()
    assert end is not None and end.killed in ((killed, None) if job.shell == SHELLS["bash"] else (killed,))


@pytest.mark.parametrize("time", range(5))
def test_the_exit_code_counts_of_a_payload_that_a_passed_signal_lets_exit(make: Make, time: int) -> None:
    job = make("trap 'exit 4' USR2; touch ready; while :; do sleep 0.01; done")
    assert stop(job, "USR2") == 4
    end = job.end()
    assert told(end) == (4, "") and end is not None and not end.killed


def test_a_killed_script_leaves_no_end_file(make: Make) -> None:
    job = make("touch ready; exec sleep 60")
    process = job.begin()
    until(lambda: (job.out / "ready").exists())
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=600)
    assert job.end() is None


def test_a_second_copy_runs_nothing_and_exits_with_0(make: Make) -> None:
    job = make("echo run >>runs")
    assert job.run("7") == (0, "")
    code, said = job.run("8")
    assert code == 0
    assert "7 already runs this job" in said
    assert (job.out / "runs").read_text() == "run\n"


def test_a_second_copy_does_not_disturb_the_running_first_one(make: Make) -> None:
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


def test_a_requeued_job_runs_and_keeps_both_end_files(make: Make) -> None:
    job = make("echo $SLURM_RESTART_COUNT >>runs; touch ready; [ $SLURM_RESTART_COUNT = 1 ] || exec sleep 60")
    assert stop(job, "TERM") == 143
    assert job.run(attempt=1) == (0, "")
    assert (told(job.end(0)), told(job.end(1))) == ((143, "TERM"), (0, ""))
    assert (job.out / "runs").read_text() == "0\n1\n"


def test_each_attempt_has_its_own_logs(make: Make) -> None:
    job = make("echo attempt $SLURM_RESTART_COUNT; exit 1")
    job.run()
    job.run(attempt=1)
    assert [job.printed(attempt=n) for n in (0, 1)] == ["attempt 0\n", "attempt 1\n"]


def test_a_requeue_does_not_run_a_completed_job(make: Make) -> None:
    job = make("echo run >>runs")
    job.run()
    code, said = job.run(attempt=1)
    assert code == 0
    assert "has already finished" in said
    assert (job.out / "runs").read_text() == "run\n"
    assert job.end(1) is None


def test_the_same_attempt_is_not_run_twice(make: Make) -> None:
    job = make("echo run >>runs; exit 3")
    job.run()
    assert job.run()[0] == 0
    assert (job.out / "runs").read_text() == "run\n"
    assert told(job.end()) == (3, "")


def test_a_folder_that_cannot_be_made_is_the_reported_reason(make: Make, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    job = make("true", working_dir=tmp_path / "file" / "out")
    assert job.run()[0] == 72
    end = job.end()
    assert end is not None
    assert end.cannot == f"cannot make or enter the job's folder {tmp_path}/file/out"


def test_nothing_runs_if_the_bundle_is_not_writable(make: Make) -> None:
    job = make("touch ran")
    shutil.rmtree(job.folder / "guards")
    (job.folder / "guards").touch()
    code, said = job.run()
    assert code == 73
    assert "the payload was not started" in said
    assert not job.out.exists()


def test_a_payload_can_report_why_it_cannot_start(make: Make) -> None:
    job = make("true", env_vars={"A": "x"})
    script = job.folder / "0/script.sh"
    script.write_text(script.read_text().replace("  exec bash", "  cannot_start 'no image,\nnone at all'\n  exec bash"))
    assert job.run()[0] == 72
    end = job.end()
    assert end is not None
    assert end.cannot == "no image, none at all"
    assert "scheduler: no image" in job.printed("stderr")


def test_the_reason_of_an_earlier_attempt_is_removed(make: Make) -> None:
    job = make("exit 5")
    (job.folder / "0/cannot").write_text("no image\n")
    job.run()
    end = job.end()
    assert end is not None
    assert (end.exit_code, end.cannot) == (5, "")


OUTPUTS = ["a b.root", "it[']s [\"$]HOME [`]id [$](id).root", "-rf.root", "é.root", "*.root", "x\ny.root", "[b].root"]


@pytest.mark.parametrize("pattern", ["*.root", "?*.root", "deep/**/*.root", "deep", "[!x]*.root", "[$](touch canary)*"])
def test_existing_outputs_are_found_whatever_their_names(make: Make, pattern: str) -> None:
    job = make("mkdir -p deep/er; touch ./-x.root deep/er/y.root './$(touch canary)1'", output_files=[pattern])
    job.run()
    end = job.end()
    assert end is not None
    assert end.missing == ""
    assert not (job.out / "canary").exists()


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_missing_output_is_named_whatever_its_name(make: Make, name: str) -> None:
    job = make("touch here.txt", output_files=["here.txt", name, "another"])
    job.run()
    end = job.end()
    assert end is not None
    assert end.missing == name.replace(" ", "?").replace("\n", "?")
    assert told(end) == (0, "")


@pytest.mark.parametrize(("left", "code"), [(None, 1), ("error.json", 1), ("result.json", 0), ("result.pkl", 0)])
def test_a_function_that_leaves_no_result_has_failed(make: Make, left: str | None, code: int) -> None:
    job = make(f"echo '{{}}' >{left or 'elsewhere'}")
    job.folder.joinpath("0/function").mkdir()
    job.folder.joinpath("0/function/call.json").touch()
    job.folder.joinpath("0/outputs.sh").write_text('dir=$control\noutputs() { touch "$control/checked"; }\n')
    assert job.run() == (code, "")
    assert told(job.end()) == (code, "")
    assert job.folder.joinpath("0/checked").exists() == (code == 0)
    message = "error: the process of the function ended with exit code 0 before the function returned\n"
    assert job.printed("stderr") == ("" if left else message)


def test_the_outputs_of_a_failed_payload_are_not_checked(make: Make) -> None:
    job = make("exit 3", output_files=["*.root"])
    job.run()
    end = job.end()
    assert end is not None
    assert (end.exit_code, end.missing) == (3, "")


def test_an_end_file_is_complete_or_does_not_exist(make: Make) -> None:
    """It is written under another name and renamed."""
    job = make("true")
    (job.folder / "ends/.0.0").write_text("half of an end that was cut")
    job.run()
    assert told(job.end()) == (0, "")
    assert [path.name for path in (job.folder / "ends").iterdir() if path.name != ".keep"] == ["0.0"]


def test_standard_input_is_empty(make: Make) -> None:
    job = make("cat; echo done")
    assert job.run() == (0, "")
    assert job.printed() == "done\n"


ENVIRONMENTS = {
    **{name: {"SHELLOPTS": name} for name in ("xtrace", "keyword", "monitor", "errexit:nounset", "posix", "noglob")},
    "options of bash": {"BASHOPTS": "failglob:nullglob:extglob:lastpipe:nocasematch:dotglob"},
    "functions": {
        f"BASH_FUNC_{name}%%": "() { echo hijacked; }" for name in ("cd", "date", "mkdir", "mv", "rm", "test")
    },
    "no PATH": {"PATH": "/no/such/folder"},
    "variables": {"IFS": "0e/", "CDPATH": "/:/tmp", "POSIXLY_CORRECT": "1", "TMPDIR": "/no/such", "GREP_OPTIONS": "-v"},
}


@pytest.mark.parametrize("name", [*ENVIRONMENTS, "BASH_ENV"])
def test_the_end_is_true_whatever_the_environment_of_the_job_is(
    make: Make, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As login files, BASH_ENV and a batch system that passes on the environment of the login node set it."""
    (tmp_path / "env.sh").write_text(
        "set -eux; shopt -s expand_aliases; alias mv=false rm='rm -i'; cd() { echo no; }\n"
    )
    settings = {"BASH_ENV": str(tmp_path / "env.sh")} if name == "BASH_ENV" else ENVIRONMENTS[name]
    job = make("#!/bin/sh\n: >a.txt; exit 3", output_files=["a.*"])
    job.shell[0] = shutil.which(job.shell[0]) or ""
    for variable, value in settings.items():
        monkeypatch.setenv(variable, value)
    job.run()
    end = job.end()
    assert told(end) == (3, "")
    assert end is not None
    assert end.killed is not True


BOTH = """#!/bin/bash
for name in TERM CONT USR1 USR2; do trap "echo $name >>got.txt" "$name"; done
: >ready
until [ "$(sort -u got.txt 2>/dev/null | wc -l)" -ge 2 ]; do sleep 0.05; done
exit 7"""


@pytest.mark.parametrize("names", [("TERM", "CONT"), ("CONT", "TERM"), ("USR2", "USR1")])
def test_two_signals_that_arrive_together_both_reach_the_payload(make: Make, names: tuple[str, str]) -> None:
    """As Slurm sends CONT and TERM to end a job. The exit code is the payload's own."""
    job = make(BOTH)
    process = job.begin()
    until(lambda: (job.out / "ready").exists())
    os.kill(process.pid, signal.SIGSTOP)  # both are pending when it continues
    for name in names:
        os.kill(process.pid, getattr(signal, f"SIG{name}"))
    os.kill(process.pid, signal.SIGCONT)
    process.communicate(timeout=600)
    end = job.end()
    assert end is not None
    assert end.exit_code == 7
    assert set(names) <= set((job.out / "got.txt").read_text().split())
