"""The words of Slurm's queue, accounting and logs, and what they mean. Tables only.

States: https://slurm.schedmd.com/job_state_codes.html. Everything else was observed on Slurm 22.05, 24.11 and 26.05.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from scheduler.job.state import Cause, JobState

STATES: Mapping[str, tuple[JobState, Cause]] = {
    # base states
    "PENDING": (JobState.QUEUED, Cause.NONE),
    "RUNNING": (JobState.RUNNING, Cause.NONE),
    "SUSPENDED": (JobState.SUSPENDED, Cause.NONE),
    "COMPLETED": (JobState.COMPLETED, Cause.NONE),
    "FAILED": (JobState.FAILED, Cause.UNKNOWN),
    "CANCELLED": (JobState.CANCELLED, Cause.CANCELLED),
    "TIMEOUT": (JobState.FAILED, Cause.TIME_LIMIT),
    "DEADLINE": (JobState.FAILED, Cause.TIME_LIMIT),
    "OUT_OF_MEMORY": (JobState.FAILED, Cause.OUT_OF_MEMORY),
    "NODE_FAIL": (JobState.FAILED, Cause.NODE_FAILURE),
    "BOOT_FAIL": (JobState.FAILED, Cause.NODE_FAILURE),
    "PREEMPTED": (JobState.FAILED, Cause.PREEMPTED),
    # flags, printed instead of the base state
    "COMPLETING": (JobState.RUNNING, Cause.NONE),
    "CONFIGURING": (JobState.QUEUED, Cause.NONE),
    "POWER_UP_NODE": (JobState.QUEUED, Cause.NONE),
    "EXPEDITING": (JobState.QUEUED, Cause.NONE),  # its node failed, and it is started again first of all (26.05)
    "REQUEUED": (JobState.QUEUED, Cause.NONE),
    "REQUEUE_FED": (JobState.QUEUED, Cause.NONE),
    "REQUEUE_HOLD": (JobState.HELD, Cause.NONE),
    "SPECIAL_EXIT": (JobState.HELD, Cause.NONE),
    "RESV_DEL_HOLD": (JobState.HELD, Cause.NONE),
    "RESIZING": (JobState.RUNNING, Cause.NONE),
    "SIGNALING": (JobState.RUNNING, Cause.NONE),
    "STAGE_OUT": (JobState.RUNNING, Cause.NONE),
    "UPDATE_DB": (JobState.RUNNING, Cause.NONE),
    "STOPPED": (JobState.SUSPENDED, Cause.NONE),
    "REVOKED": (JobState.QUEUED, Cause.NONE),  # another cluster of the federation has started the job
    "LAUNCH_FAILED": (JobState.HELD, Cause.NONE),
    "RECONFIG_FAIL": (JobState.HELD, Cause.NONE),
}
"""A state of squeue or sacct → the job's state and cause."""

HELD_REASONS = (
    "JobHeldUser", "JobHeldAdmin", "JobHoldMaxRequeue", "job requeued in held state", "launch failed requeued held",
)  # fmt: skip
"""Reasons with which a PENDING job is held: it does not start until someone releases it."""
KILLED_REASONS = ("RaisedSignal", "JobLaunchFailure")
"""How a reason begins with which a FAILED job was killed by a signal: the second one is what Slurm 22.05 reports for a
script that was killed by SIGKILL. It has another meaning too: the accounting is asked as well."""
NEVER_STARTS = "DependencyNeverSatisfied"
"""The reason with which a PENDING job can never start."""

IN_DOUBT = re.compile(
    r"timed?[ -]?out|unable to contact|connecting|connection|connect failure|communicat|zero bytes"
    r"|unexpected message|message (send|receive)|incomplete message|header lengths|broken pipe|network is"
    r"|no route to host|transport endpoint|standby mode|socket (error|closed)|stream socket",
    re.I,
)
"""Errors of sbatch after which the controller may have accepted the job: in 3 of 3 trials a frozen one ran it. They are
no refusal, whatever the exit code is."""
FULL = re.compile(r"\b(QOS|Assoc)(Grp|Max)\w*Submit\w*Limit\b|temporarily unable to accept job|Job limit exceeded")
"""Limits on a user's queued jobs, as sbatch prints them when it refuses a job (Slurm's list of job reason codes,
https://slurm.schedmd.com/job_reason_codes.html). A limit on running jobs keeps a job pending and is not among them."""

LOG_CAUSES: Mapping[str, Cause] = {
    "DUE TO TIME LIMIT": Cause.TIME_LIMIT,
    "exceeded memory limit": Cause.OUT_OF_MEMORY,
    "oom-kill": Cause.OUT_OF_MEMORY,
    "oom_kill": Cause.OUT_OF_MEMORY,
    "Out Of Memory": Cause.OUT_OF_MEMORY,
    "DUE TO PREEMPTION": Cause.PREEMPTED,
    "DUE TO NODE FAILURE": Cause.NODE_FAILURE,
    "CANCELLED AT": Cause.CANCELLED,  # last: the lines of the other causes contain it too
}
"""What slurmstepd writes into a job's log → the cause."""
LOG_OF_REQUEUE = "DUE TO JOB REQUEUE"
"""In a line of slurmstepd about an earlier run of the same job."""


def meaning(word: str) -> tuple[JobState | None, Cause]:
    """The state and cause of a word of squeue or sacct; None if the word is unknown.

    ``CANCELLED by 1001`` includes a user id; sacct cuts a long word to ``CANCELLED+``.
    """
    return STATES.get(word.split(" ", 1)[0].rstrip("+"), (None, Cause.NONE))
