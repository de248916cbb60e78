"""A machine without a batch system: shell.sh and worker.sh, with real processes, through a Runner on this machine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from scheduler import Cause, Job, JobState, JobType, Resources, Runner, Site, TransportError
from scheduler.batch import shell
from scheduler.engine.programs import prelude
from scheduler.ledger.ledger import Ledger
from scheduler.transports.base import Program
from scheduler.transports.local.transport import LocalTransport
from tests.clocks import path_with_sleep
from tests.unpacked import until

Start = Callable[..., Runner]


def alive(process: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Makes Runners on one site with its own work folder. Processes that are left at the end are killed."""
    work, opened = tmp_path / "work it's", []

    def runner(*, running: int = 2, ledger: str = "ledger") -> Runner:
        keys = {"transport": "local", "scheduler": "shell", "work_dir": str(work)}
        site = Site.from_mapping({**keys, "limits": {"running": running, "poll_seconds": 0.05}}, name="here")
        opened.append(Runner(site, ledger=Ledger(tmp_path / ledger)))
        return opened[-1]

    yield runner
    for one in opened:
        one.close()
    for holder in [*work.glob(".shell-*/slots/*"), *work.glob(".shell-*/running/*")]:
        process = int((str(holder.readlink()) if holder.is_symlink() else holder.read_text()).split(":")[0])
        if alive(process) and process != os.getpid():
            os.killpg(process, signal.SIGKILL)


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    """Makes a script job from shell text."""

    def make(job_id: str, text: str, **more: Any) -> Job:
        script = tmp_path / f"{job_id}.sh"
        script.write_text(text)
        return Job(job_id, JobType.SCRIPT, script_path=script, working_dir=tmp_path / "out" / job_id, **more)

    return make


def queue_folder(tmp_path: Path) -> Path:
    (found,) = (tmp_path / "work it's").glob(".shell-*")
    return found


def ready(one: Job, name: str = "pid") -> int:
    """Wait for the process id that the payload writes, and return it."""
    path = Path(one.working_dir, name)
    until(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


SLEEPS = "echo $$ >pid.new; mv pid.new pid; exec sleep 3600"


def test_no_more_jobs_run_at_once_than_the_site_allows(start: Start, job: Callable[..., Job], tmp_path: Path) -> None:
    text = f"cd '{tmp_path}'; mkdir in.$$; ls -d in.* | wc -l >>most; sleep 0.2; rmdir in.$$"
    runner, jobs = start(running=2), [job(f"j{n}", text) for n in range(6)]
    runner.submit(jobs)
    runner.wait(jobs, timeout=600)
    assert all(one.is_completed() for one in jobs)
    assert max(map(int, (tmp_path / "most").read_text().split())) == 2


QUEUED_AND_KILLED = r"""
mkdir -p "$1/bundle/batches/0" "$1/bundle/guards" "$1/bundle/ends" && cd "$1/bundle" || exit
cp "$2" worker.sh && echo 'touch ../ran' >script.sh
batch_prepare 3 && batch_submit script.sh 0 1 && kill -KILL $$
"""
POLLED = r"""
make_scratch
printf '0\t%s\tname\tid\t0\t0\tone\n' "$1/bundle" >"$scratch/asked"
batch_live "$scratch/asked"
"""


def test_a_poll_starts_jobs_whose_submission_was_killed_before_it_started_a_worker(tmp_path: Path) -> None:
    ours = Path(shell.__file__).parent
    functions = f"{prelude()}\n{(ours / 'shell.sh').read_text()}\n"
    transport, work = LocalTransport(), str(tmp_path / "work it's")
    with suppress(TransportError):
        transport.run(Program("queued", functions + QUEUED_AND_KILLED), [work, str(ours / "worker.sh")])
    (limit,) = (queue_folder(tmp_path) / "limit").read_text().split()
    assert limit == "3" and len(list(queue_folder(tmp_path).glob("queue/*"))) == 1
    reply = transport.run(Program("polled", functions + POLLED), [work])
    assert reply.out.strip() == "name|0|QUEUED|"
    until((tmp_path / "work it's/ran").exists)


def test_jobs_start_in_the_order_in_which_they_were_submitted(
    start: Start, job: Callable[..., Job], tmp_path: Path
) -> None:
    runner, jobs = start(running=1), [job(f"j{n}", f"echo {n} >>'{tmp_path}/order'") for n in range(12)]
    runner.submit(jobs)
    runner.wait(jobs, timeout=600)
    assert (tmp_path / "order").read_text().split() == [str(n) for n in range(12)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", [SLEEPS, "trap '' TERM; echo $$ >pid.new; mv pid.new pid; while :; do sleep 0.1; done"]
)
def test_the_walltime_ends_even_a_job_that_ignores_signals(
    start: Start, job: Callable[..., Job], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sleep of seven minutes is replaced by one that ends as soon as the payload has started."""
    monkeypatch.setenv("PATH", path_with_sleep(tmp_path / "bin", {420: f"'{tmp_path}/out/late/pid'"}))
    runner, one = start(), job("late", text, resources=Resources(walltime="7m"))
    runner.submit([one])
    process = ready(one)
    runner.wait([one], timeout=600)
    assert (one.state, one.status.cause) == (JobState.FAILED, Cause.TIME_LIMIT)
    until(lambda: not alive(process))


def test_a_running_and_a_queued_job_are_cancelled(start: Start, job: Callable[..., Job]) -> None:
    runner, running, queued = start(running=1), job("running", SLEEPS), job("queued", "touch ran")
    runner.submit([running])
    process = ready(running)
    runner.submit([queued])
    runner.cancel([running, queued])
    runner.wait([running, queued], timeout=600)
    assert [one.state for one in (running, queued)] == [JobState.CANCELLED] * 2
    assert not Path(queued.working_dir, "ran").exists()
    until(lambda: not alive(process))


def test_a_job_that_a_worker_has_just_claimed_is_cancelled(
    start: Start, job: Callable[..., Job], tmp_path: Path
) -> None:
    """The job has left the queue and is not listed as running yet: the worker finds the file that cancel wrote."""
    runner, first, second = (
        start(running=1),
        job("first", "echo $$ >pid.new; mv pid.new pid; sleep 3600"),
        job("second", "touch ran"),
    )
    runner.submit([first, second])
    process = ready(first)
    (bundle,) = (path.parent for path in (tmp_path / "work it's").glob("*/.scheduler"))
    (bundle / "stop").mkdir()
    (bundle / "stop/1").touch()
    os.kill(process, signal.SIGKILL)
    runner.wait([second], timeout=600)
    assert second.status.cause is Cause.CANCELLED
    assert not Path(second.working_dir, "ran").exists()


def test_a_killed_worker_loses_no_job_and_no_job_runs_twice(
    start: Start, job: Callable[..., Job], tmp_path: Path
) -> None:
    first = job("first", "echo run >>runs; echo $$ >pid.new; mv pid.new pid; while [ ! -e go ]; do sleep 0.05; done")
    others = [job(f"j{n}", "echo run >>runs") for n in range(4)]
    runner = start(running=1)
    runner.submit([first, *others])
    ready(first)
    worker = int(str((queue_folder(tmp_path) / "slots/1").readlink()).split(":")[0])
    os.kill(worker, signal.SIGKILL)
    until(lambda: not alive(worker))
    Path(first.working_dir, "go").touch()
    runner.wait([first, *others], timeout=600)
    assert all(one.is_completed() for one in (first, *others))
    assert {Path(one.working_dir, "runs").read_text() for one in (first, *others)} == {"run\n"}


def test_a_job_whose_script_is_killed_fails_with_cause_signal(
    start: Start, job: Callable[..., Job], tmp_path: Path
) -> None:
    runner, one = start(), job("gone", SLEEPS)
    runner.submit([one])
    process = ready(one)
    running = queue_folder(tmp_path) / "running"
    until(lambda: list(running.iterdir()))  # the worker lists the job after it has started its script
    (entry,) = running.iterdir()
    os.kill(int(entry.read_text().split(":")[0]), signal.SIGKILL)
    runner.wait([one], timeout=600)
    assert (one.state, one.status.cause) == (JobState.FAILED, Cause.SIGNAL)
    until(lambda: not alive(process))


def test_processes_that_a_job_leaves_behind_are_killed(start: Start, job: Callable[..., Job]) -> None:
    runner, one = start(), job("leaves", "sleep 3600 & echo $! >pid.new; mv pid.new pid")
    runner.submit([one])
    runner.wait([one], timeout=600)
    assert one.is_completed()
    child = ready(one)
    until(lambda: not alive(child))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has just ended
        return b""


def test_the_process_that_enforces_a_walltime_ends_with_the_job(
    start: Start, job: Callable[..., Job], tmp_path: Path
) -> None:
    runner, one = start(), job("quick", "true", resources=Resources(walltime="7777s"))
    runner.submit([one])
    runner.wait([one], timeout=600)

    def sleepers() -> list[Path]:
        lines = [path for path in Path("/proc").glob("[0-9]*/cmdline") if alive(int(path.parent.name))]
        return [path for path in lines if _content(path) == b"sleep\x007777\0"]

    until(lambda: not sleepers())


def test_the_slot_of_a_vanished_worker_is_reused(start: Start, job: Callable[..., Job], tmp_path: Path) -> None:
    runner, before = start(running=1), job("before", "true")
    runner.submit([before])
    runner.wait([before], timeout=600)
    slot = queue_folder(tmp_path) / "slots/1"
    until(lambda: not slot.is_symlink())
    slot.symlink_to(f"{os.getpid()}:another-boot.1")  # a process id that another process has now
    one = job("after", "true")
    runner.submit([one])
    runner.wait([one], timeout=600)
    assert one.is_completed()


def test_two_submissions_at_once_run_every_job_once(start: Start, job: Callable[..., Job]) -> None:
    runners = [start(ledger=name) for name in ("one", "two")]
    sets = [[job(f"{name}{n}", "echo run >>runs") for n in range(5)] for name in ("a", "b")]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda pair: pair[0].submit(pair[1]), zip(runners, sets, strict=True)))
    for runner, jobs in zip(runners, sets, strict=True):
        runner.wait(jobs, timeout=600)
    every = [one for jobs in sets for one in jobs]
    assert all(one.is_completed() for one in every)
    assert {Path(one.working_dir, "runs").read_text() for one in every} == {"run\n"}


def test_jobs_continue_after_the_submitting_process_has_ended(start: Start, job: Callable[..., Job]) -> None:
    runner, one = start(), job("long", "while [ ! -e go ]; do sleep 0.05; done; echo done >result")
    runner.submit([one])
    runner.close()
    time.sleep(0.1)
    Path(one.working_dir).mkdir(parents=True, exist_ok=True)
    Path(one.working_dir, "go").touch()
    until(lambda: Path(one.working_dir, "result").exists())
