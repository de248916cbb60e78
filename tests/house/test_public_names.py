"""The public names, which scripts of users depend on. Those of Job are in tests/job/test_job.py."""

from __future__ import annotations

import subprocess
import sys

import scheduler
from scheduler import Runner

PUBLIC = [
    *("BatchError", "Cause", "ConfigError", "Job", "JobError", "JobFailed", "JobState", "JobType", "LedgerError"),
    *(
        "OutputError",
        "Resources",
        "Retry",
        "Runner",
        "SchedulerError",
        "Site",
        "Status",
        "TransportError",
        "WaitTimeout",
    ),
]
VERBS = {
    *("submit", "poll", "wait", "cancel", "collect", "retry", "resubmit", "close", "keys", "jobs", "as_completed"),
    *("run_job", "check_job_status", "cancel_job"),  # for one job: AID2E's schedulers call these
}
COMMANDS = {
    "adopt",
    "backup",
    "run",
    "submit",
    "status",
    "wait",
    "collect",
    "cancel",
    "retry",
    "logs",
    "render",
    "sites",
    "check",
}


def test_the_package_has_these_names_and_no_others() -> None:
    assert scheduler.__all__ == PUBLIC
    assert dir(scheduler) == sorted([*PUBLIC, "__version__"])
    assert [getattr(scheduler, name).__name__ for name in PUBLIC] == PUBLIC


def test_a_runner_has_these_verbs_and_no_others() -> None:
    assert {name for name, value in vars(Runner).items() if callable(value) and not name.startswith("_")} == VERBS


def test_the_command_has_these_subcommands_and_no_others() -> None:
    command = [sys.executable, "-m", "scheduler.cli", "--help"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    listed = printed.partition("Commands:\n")[2].splitlines()
    assert {line.split()[0] for line in listed if line[:3].strip()} == COMMANDS
