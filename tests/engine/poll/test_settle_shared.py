"""How evidence about a job of a pack is settled: the queue reports on all jobs of its node together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scheduler.engine.poll.settle import settle
from scheduler.job.evidence import Evidence
from scheduler.job.state import Cause, JobState, Status
from tests.engine.poll.test_settle import RUNNING, SCANCELLED, TIME_LIMIT, answered, at, end, slurm

ALONE = ["scheduler: job 3 of 7 CANCELLED AT 2026-01-01T00:05:00"]
TOO_LONG = ["scheduler: job 3 of 7 CANCELLED AT 2026-01-01T00:05:00 DUE TO TIME LIMIT"]
QUEUED, COMPLETED, FAILED, CANCELLED = JobState.QUEUED, JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED
STILL_RUNNING, PACK_CANCELLED = slurm("RUNNING"), slurm("CANCELLED")
RECEIVED_TERM, NEVER_STARTED = end(143, "TERM"), end(143, "TERM", started=None)
WAS_CANCELLED, OVER_TIME = (CANCELLED, Cause.CANCELLED, 143), (FAILED, Cause.TIME_LIMIT, 143)


def stands(before: Status = RUNNING, **evidence: Any) -> tuple[JobState, Cause, int | None]:
    status = settle(before, replace(answered(**evidence), shared=True))
    return status.state, status.cause, status.exit_code


@pytest.mark.parametrize(
    ("what", "evidence", "expected"),
    [
        ("ended well while others run", {"end": end(0), "live": STILL_RUNNING}, (COMPLETED, Cause.NONE, 0)),
        ("failed while others run", {"end": end(3), "live": STILL_RUNNING}, (FAILED, Cause.EXIT_CODE, 3)),
        ("killed while others run", {"end": end(137), "live": STILL_RUNNING}, (FAILED, Cause.SIGNAL, 137)),
        ("cancelled alone", {"end": RECEIVED_TERM, "live": STILL_RUNNING, "log": ALONE}, WAS_CANCELLED),
        ("cancelled alone, and it ended with 0", {"end": end(0, "TERM"), "live": STILL_RUNNING, "log": ALONE},
         (CANCELLED, Cause.CANCELLED, 0)),
        ("cancelled before the pack had a node", {"end": NEVER_STARTED, "live": slurm("PENDING"), "log": ALONE},
         WAS_CANCELLED),
        ("over its own time", {"end": RECEIVED_TERM, "live": STILL_RUNNING, "log": TOO_LONG}, OVER_TIME),
        ("over its own time, long before the pack was cancelled",
         {"end": RECEIVED_TERM, "live": PACK_CANCELLED, "log": TOO_LONG}, OVER_TIME),
        ("ended well before the pack was cancelled", {"end": end(0), "live": PACK_CANCELLED},
         (COMPLETED, Cause.NONE, 0)),
        ("ended well before the pack was over its time", {"end": end(0), "history": slurm("TIMEOUT")},
         (COMPLETED, Cause.NONE, 0)),
        ("with the pack, which was cancelled", {"end": RECEIVED_TERM, "live": PACK_CANCELLED, "log": SCANCELLED},
         WAS_CANCELLED),
        ("with the pack, which was over its time", {"end": RECEIVED_TERM, "live": slurm("TIMEOUT"), "log": TIME_LIMIT},
         OVER_TIME),
        ("with the node, which failed", {"live": slurm("NODE_FAIL"), "silent_polls": 9},
         (FAILED, Cause.NODE_FAILURE, None)),
        ("received TERM, and no source has reported why yet", {"end": RECEIVED_TERM, "live": STILL_RUNNING},
         (JobState.RUNNING, Cause.NONE, None)),
        ("killed with the pack, which is requeued", {"end": RECEIVED_TERM, "live": slurm("PENDING", started=None)},
         (QUEUED, Cause.NONE, None)),
        ("ended well before the pack was requeued", {"end": end(0), "live": slurm("PENDING", started=None)},
         (COMPLETED, Cause.NONE, 0)),
        ("ended well, and the requeued pack runs", {"end": end(0), "live": slurm("RUNNING", started=at(20))},
         (COMPLETED, Cause.NONE, 0)),
    ],
)  # fmt: skip
def test_a_job_of_a_pack(what: str, evidence: dict[str, Any], expected: tuple[JobState, Cause, int | None]) -> None:
    assert stands(**evidence) == expected, what


def test_for_a_job_that_shares_no_node_the_queue_takes_precedence() -> None:
    evidence = Evidence(end=end(0), live=slurm("TIMEOUT"), queue_answered=True)
    assert settle(RUNNING, evidence).cause is Cause.TIME_LIMIT
    assert settle(RUNNING, replace(evidence, shared=True)).state is COMPLETED
