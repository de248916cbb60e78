"""The clock of the fake PBS: the time of a job does not pass while the job waits for a processor."""

from __future__ import annotations

import os
import subprocess

from tests.fakepbs.clock import JobClock, Process, live_processes


def test_real_time_passes_while_all_processes_sleep() -> None:
    clock = JobClock()
    clock.advance([Process(1, ready=False, cpu_seconds=0.1), Process(2, ready=False, cpu_seconds=0.0)], 0.5)
    assert clock.seconds == 0.5


def test_only_the_processor_time_used_passes_while_a_process_is_ready_to_run() -> None:
    clock = JobClock()
    for used in (0.01, 0.02, 0.03):
        clock.advance([Process(1, ready=True, cpu_seconds=used), Process(2, ready=False, cpu_seconds=0.0)], 1.0)
    assert round(clock.seconds, 6) == 0.03


def test_a_job_that_computes_all_the_time_has_the_time_of_an_idle_machine() -> None:
    clock = JobClock()
    clock.advance([Process(1, ready=True, cpu_seconds=2.0)], 1.0)
    assert clock.seconds == 1.0


def test_time_never_runs_backwards_when_a_process_ends() -> None:
    clock = JobClock()
    clock.advance([Process(1, ready=True, cpu_seconds=0.5), Process(2, ready=True, cpu_seconds=0.5)], 1.0)
    clock.advance([Process(1, ready=True, cpu_seconds=0.5)], 1.0)
    assert clock.seconds == 1.0


def test_the_processes_of_a_session_are_found_and_zombies_are_not() -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as sleeper:
        assert [process.number for process in live_processes()[sleeper.pid]] == [sleeper.pid]
        sleeper.kill()
        os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is a zombie until it is reaped
        assert sleeper.pid not in live_processes()
