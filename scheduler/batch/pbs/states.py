"""The words and exit codes of PBS, and what they mean. Tables only.

States and substates: PBS Professional Reference Guide; negative exit codes: its table of job exit codes. The rest was
observed on running servers of OpenPBS, release 23.06.06 and master of 2026-04 (tests/cases/pbs).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from scheduler.job.state import Cause, JobState

STATES: Mapping[str, JobState] = {
    "B": JobState.RUNNING,  # an array: at least one of its tasks has started
    "E": JobState.RUNNING,  # the payload has ended, PBS is delivering its output
    "H": JobState.HELD,
    "M": JobState.QUEUED,  # moved to another server
    "Q": JobState.QUEUED,
    "R": JobState.RUNNING,
    "S": JobState.SUSPENDED,
    "T": JobState.QUEUED,  # in transit to another queue
    "U": JobState.SUSPENDED,  # the owner of the workstation is using it
    "W": JobState.QUEUED,  # waits for its start time, or 30 minutes after a failed stage-in
    "deleted": JobState.CANCELLED,  # printed by pbs.sh, not by PBS
}
ENDED = ("F", "X")
"""F: finished. X: an array task that has finished while its array has not."""
DELETED, FAILED = "91", "93"
"""Substates. 91: qdel ended the job. The exit code alone (271, 265, 143) does not prove that: any signal gives it."""
NEGATIVE: Mapping[int, Cause] = {
    -1: Cause.CANNOT_START,
    -2: Cause.CANNOT_START,
    -3: Cause.CANNOT_START,
    -4: Cause.NODE_FAILURE,  # the daemon of the node was restarted
    -5: Cause.NODE_FAILURE,
    -6: Cause.NODE_FAILURE,
    -7: Cause.CANNOT_START,  # its checkpoint cannot be read
    -10: Cause.CANNOT_START,  # the user does not exist on the node
    -11: Cause.NODE_FAILURE,  # to be requeued
    -13: Cause.CANNOT_START,
    -14: Cause.NODE_FAILURE,
    -17: Cause.CANCELLED,  # by a hook
    -19: Cause.CANCELLED,
    -20: Cause.NODE_FAILURE,
    -21: Cause.CANNOT_START,
    -22: Cause.CANNOT_START,
    -23: Cause.CANNOT_START,
    -26: Cause.OUT_OF_MEMORY,
    -27: Cause.OUT_OF_MEMORY,
    -28: Cause.TIME_LIMIT,  # of CPU time
    -29: Cause.TIME_LIMIT,
    -30: Cause.CANNOT_START,
}
"""A negative ``Exit_status``, which PBS itself sets → the cause."""
LIMITS: Mapping[str, Cause] = {
    "walltime": Cause.TIME_LIMIT,
    "cput": Cause.TIME_LIMIT,
    "pcput": Cause.TIME_LIMIT,
    "mem": Cause.OUT_OF_MEMORY,
    "vmem": Cause.OUT_OF_MEMORY,
    "pmem": Cause.OUT_OF_MEMORY,
    "pvmem": Cause.OUT_OF_MEMORY,
}
"""A resource whose limit a job has exceeded → the cause."""
LIMIT_SIGNALS = (9, 15, 24)
"""Signals that PBS, or the kernel on its behalf, sends to a job that exceeds a limit: KILL, TERM, XCPU."""

IN_DOUBT = frozenset({124, 162, 163, 164, 183, 185, 186, 255})
"""Exit codes of qsub after which the job may exist, or with which the server could not be queried. 124: our own time
limit for a server that does not answer (the job existed afterwards). 255: a background qsub that was lost. The others
are connection errors (15010, 15011, 15012, 15031, 15033, 15034; qsub returns the last 8 bits)."""
COUNT_LIMIT, RESOURCE_LIMIT = 38, 39
"""Exit codes of qsub for a limit on the number of jobs, or on the resources of all jobs together, of a user, group,
project, queue or server ("complex"): 15142 and 15143."""
FULL = re.compile(r"would exceed .*\blimit\b|Maximum number of jobs\b", re.I)
"""The messages of these limits, and of older servers for ``max_queuable``, whatever the exit code:
``would exceed queue generic's per-user limit``, ``would exceed complex's per-project limit of jobs in 'Q' state``,
``Maximum number of jobs for group eic already in queue prod``, ``Maximum number of jobs in 'Q' state already in
complex``, ``would exceed user anna's limit on resource ncpus in queue prod for jobs in 'Q' state``. OpenPBS has 54."""
NOT_OF_OTHERS = re.compile(r"\bper-user\b|\b(for )?user \S+( already|'s) |\blimit on resource\b", re.I)
"""The limits that other users do not use up, and those on resources. A batch that exceeds one while its user has
nothing in the queue can never fit."""

LOG_CAUSES: Mapping[str, Cause] = {
    "PBS: job killed: walltime": Cause.TIME_LIMIT,
    "PBS: job killed: cput": Cause.TIME_LIMIT,
    "PBS: job killed: mem": Cause.OUT_OF_MEMORY,
    "PBS: job killed: vmem": Cause.OUT_OF_MEMORY,
    "Cgroup mem": Cause.OUT_OF_MEMORY,  # the cgroup hook: "Cgroup memory limit exceeded", "Cgroup memsw limit …"
}
"""What PBS writes into a job's log → the cause."""
