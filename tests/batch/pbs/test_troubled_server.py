"""A PBS server that freezes or stops while jobs are submitted: each job still runs exactly once."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler import Cause, Job, JobState, JobType, Resources, Runner, Site
from scheduler.ledger.ledger import Ledger
from tests.fakepbs_host import LocalFakePbs
from tests.unpacked import until

LONGEST_SECONDS = 240
"""Ends a test that hangs; no outcome depends on it."""

# Replaces `timeout SECONDS COMMAND...`: it kills the command once its request is sent and the server is frozen. The
# seconds of the real one would run out then.
_TIMEOUT = """\
#!/bin/sh
shift
FAKEPBS_SENT=$(mktemp -u)
export FAKEPBS_SENT
exec 3<&0
"$@" <&3 3<&- &
command=$!
while kill -0 "$command" 2>/dev/null; do
  if [ -e '{frozen}' ] && [ -e "$FAKEPBS_SENT" ]; then
    kill -KILL "$command"
    rm -f "$FAKEPBS_SENT"
    exit 124
  fi
  sleep 0.05
done
rm -f "$FAKEPBS_SENT"
wait "$command"
"""


@pytest.fixture(params=["history", "no history"])
def pbs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalFakePbs]:
    """A fake PBS whose commands are on PATH. A command that a frozen server does not answer is killed at once."""
    with tempfile.TemporaryDirectory(prefix="pbs-") as folder:
        pbs = LocalFakePbs.started(Path(folder, "pbs"), master=request.param == "history")
        if request.param == "no history":
            (pbs.home / "nohistory").touch()
        timeout = pbs.prefix / "bin" / "timeout"
        timeout.write_text(_TIMEOUT.format(frozen=pbs.frozen))
        timeout.chmod(0o755)
        monkeypatch.setenv("PATH", pbs.path)
        yield pbs
        pbs.stop()


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    """A runner for the fake PBS, with a ledger of its own."""
    values = {
        "transport": "local",
        "scheduler": "pbs",
        "work_dir": str(tmp_path / "work"),
        "limits": {"poll_seconds": 0.3},
    }
    with Runner(Site.from_mapping(values, name="pbs"), ledger=Ledger(tmp_path / "state")) as runner:
        yield runner


def jobs_in(folder: Path) -> list[Job]:
    """Three jobs that become an array, and a fourth one; each appends a line to its own file when it runs."""
    script = folder / "once.sh"
    script.write_text(f"#!/bin/sh\necho run >>'{folder}'/runs-$1\necho >out.txt\n")
    return [
        Job(
            f"j{n}", JobType.SCRIPT, script_path=script, arguments=[n], working_dir=folder / f"local{n}",
            output_files=["out.txt"], resources=Resources(walltime="5m" if n < 3 else "6m"),
        )
        for n in range(4)
    ]  # fmt: skip


def ran_once(jobs: list[Job], folder: Path) -> bool:
    """Whether each job has completed and written exactly one line."""
    lines = [(folder / f"runs-{n}").read_text() for n in range(len(jobs))]
    return all(job.state is JobState.COMPLETED for job in jobs) and lines == ["run\n"] * len(jobs)


def test_jobs_that_a_frozen_server_accepts_after_qsub_was_killed_are_found_and_run_once(
    pbs: LocalFakePbs, runner: Runner, tmp_path: Path
) -> None:
    jobs = jobs_in(tmp_path)
    pbs.freeze()
    runner.submit(jobs)
    assert {job.state for job in jobs} == {JobState.SUBMITTING}
    runner.poll()
    assert "qstat did not answer" in runner.trouble
    pbs.thaw()
    runner.wait(jobs, timeout=LONGEST_SECONDS)
    assert ran_once(jobs, tmp_path)


def test_jobs_submitted_while_no_server_runs_are_submitted_once_it_is_back(
    pbs: LocalFakePbs, runner: Runner, tmp_path: Path
) -> None:
    jobs = jobs_in(tmp_path)
    down = pbs.home / "down"
    down.touch()
    while subprocess.run(["qstat"], capture_output=True).returncode == 0:
        time.sleep(0.05)
    runner.submit(jobs)
    runner.poll()
    assert "cannot connect to server" in runner.trouble
    assert {job.state for job in jobs} == {JobState.SUBMITTING}
    down.unlink()
    runner.wait(jobs, timeout=LONGEST_SECONDS)
    assert ran_once(jobs, tmp_path)


def test_the_states_of_running_jobs_do_not_change_while_the_server_is_silent(
    pbs: LocalFakePbs, runner: Runner, tmp_path: Path
) -> None:
    script, go = tmp_path / "slow.sh", tmp_path / "go"
    script.write_text('#!/bin/sh\nuntil [ -e "$1" ]; do sleep 0.1; done\nexit 5\n')
    job = Job("slow", JobType.SCRIPT, script_path=script, arguments=[str(go)], working_dir=tmp_path / "local")
    runner.submit([job])
    while not job.is_running():
        runner.poll()
    pbs.freeze()
    for _ in range(2):
        time.sleep(0.4)  # longer than the site's poll_seconds: else no command runs
        runner.poll()
        assert runner.trouble
        assert job.is_running()
    pbs.thaw()
    go.touch()
    runner.wait([job], timeout=LONGEST_SECONDS)
    assert (job.status.cause, job.status.exit_code) == (Cause.EXIT_CODE, 5)


def test_a_rerun_by_pbs_is_in_the_history_as_soon_as_it_runs_again(
    pbs: LocalFakePbs, runner: Runner, tmp_path: Path
) -> None:
    script, go = tmp_path / "slow.sh", tmp_path / "go"
    script.write_text('#!/bin/sh\necho run >&2\nuntil [ -e "$1" ]; do sleep 0.1; done\n')
    jobs = [
        Job(f"j{n}", JobType.SCRIPT, script_path=script, arguments=[str(go)], working_dir=tmp_path / f"local{n}")
        for n in range(2)
    ]
    runner.submit(jobs)

    def seen(runs: int) -> bool:
        runner.poll()
        return all(job.is_running() for job in jobs) and jobs[1].status.requeues == runs

    until(lambda: seen(0), LONGEST_SECONDS)
    bundle = next(Path(tmp_path, "work").glob("*/batches")).parent
    until(lambda: all((bundle / f"{n}/stderr.0").exists() for n in range(2)), LONGEST_SECONDS)
    row = runner.ledger.of_keys(runner.keys(jobs[1:]))[0]
    assert row.batch_id is not None
    pbs.rerun(row.batch_id.replace("[]", "[1]"))
    until(lambda: seen(1), LONGEST_SECONDS)
    history = [text for _, text in runner.ledger.history(row.key)]
    assert sum("run 2 of this attempt: the batch system had requeued the job" in text for text in history) == 1
    go.touch()
    runner.wait(jobs, timeout=LONGEST_SECONDS)
    assert [(job.is_completed(), job.status.requeues) for job in jobs] == [(True, 0), (True, 1)]


def test_a_task_that_has_ended_by_itself_is_not_cancelled_with_the_others_of_its_array(
    pbs: LocalFakePbs, runner: Runner, tmp_path: Path
) -> None:
    script = tmp_path / "first.sh"
    script.write_text(f"#!/bin/sh\n[ $1 = 0 ] || until [ -e '{tmp_path}/go' ]; do sleep 0.1; done\n")
    jobs = [
        Job(f"j{n}", JobType.SCRIPT, script_path=script, arguments=[n], working_dir=tmp_path / f"local{n}")
        for n in range(3)
    ]
    runner.submit(jobs)
    until(lambda: any(Path(tmp_path, "work").glob("*/ends/0.0")), LONGEST_SECONDS)
    row = runner.ledger.of_keys(runner.keys(jobs))[0]
    assert row.batch_id is not None
    shown = [row.batch_id.replace("[]", "[0]")]
    until(lambda: b" R " not in subprocess.run(["qstat", *shown], capture_output=True).stdout, LONGEST_SECONDS)
    runner.cancel(jobs)
    runner.wait(jobs, timeout=LONGEST_SECONDS)
    assert [job.state for job in jobs] == [JobState.COMPLETED, JobState.CANCELLED, JobState.CANCELLED]
