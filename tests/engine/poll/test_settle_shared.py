"""How witnesses are weighed of a job that shares a node: the queue's words are about all that run there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scheduler.engine.poll.settle import settle
from scheduler.job.evidence import Evidence
from scheduler.job.state import Cause, JobState, Status
from tests.engine.poll.test_settle import RUNNING, SCANCELLED, TIME_LIMIT, answered, at, end, says

ALONE = ["scheduler: job 3 of 7 CANCELLED AT 2026-01-01T00:05:00"]
TOO_LONG = ["scheduler: job 3 of 7 CANCELLED AT 2026-01-01T00:05:00 DUE TO TIME LIMIT"]
QUEUED, COMPLETED, FAILED, CANCELLED = JobState.QUEUED, JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED
GOES_ON, GIVEN_BACK = says("RUNNING"), says("CANCELLED")
TOLD, NEVER = end(143, "TERM"), end(143, "TERM", started=None)
WAS_CANCELLED, OVER_TIME = (CANCELLED, Cause.CANCELLED, 143), (FAILED, Cause.TIME_LIMIT, 143)


def stands(before: Status = RUNNING, **evidence: Any) -> tuple[JobState, Cause, int | None]:
    status = settle(before, replace(answered(**evidence), shared=True))
    return status.state, status.cause, status.exit_code


@pytest.mark.parametrize(
    ("what", "evidence", "expected"),
    [
        ("ended well while others go on", {"end": end(0), "live": GOES_ON}, (COMPLETED, Cause.NONE, 0)),
        ("failed while others go on", {"end": end(3), "live": GOES_ON}, (FAILED, Cause.EXIT_CODE, 3)),
        ("killed while others go on", {"end": end(137), "live": GOES_ON}, (FAILED, Cause.SIGNAL, 137)),
        ("cancelled alone", {"end": TOLD, "live": GOES_ON, "log": ALONE}, WAS_CANCELLED),
        ("cancelled alone, and it ended with 0", {"end": end(0, "TERM"), "live": GOES_ON, "log": ALONE},
         (CANCELLED, Cause.CANCELLED, 0)),
        ("cancelled before the node was there", {"end": NEVER, "live": says("PENDING"), "log": ALONE},
         WAS_CANCELLED),
        ("over its own time", {"end": TOLD, "live": GOES_ON, "log": TOO_LONG}, OVER_TIME),
        ("over its own time, long before the node was cancelled",
         {"end": TOLD, "live": GIVEN_BACK, "log": TOO_LONG}, OVER_TIME),
        ("ended well before the node was cancelled", {"end": end(0), "live": GIVEN_BACK}, (COMPLETED, Cause.NONE, 0)),
        ("ended well before the node ran out of time", {"end": end(0), "history": says("TIMEOUT")},
         (COMPLETED, Cause.NONE, 0)),
        ("with the node, which was cancelled", {"end": TOLD, "live": GIVEN_BACK, "log": SCANCELLED},
         WAS_CANCELLED),
        ("with the node, which ran out of time", {"end": TOLD, "live": says("TIMEOUT"), "log": TIME_LIMIT},
         OVER_TIME),
        ("gone with the node, which failed", {"live": says("NODE_FAIL"), "silent_polls": 9},
         (FAILED, Cause.NODE_FAILURE, None)),
        ("told to stop, and nobody has said why yet", {"end": TOLD, "live": GOES_ON},
         (JobState.RUNNING, Cause.NONE, None)),
        ("killed with the node, which is requeued", {"end": TOLD, "live": says("PENDING", started=None)},
         (QUEUED, Cause.NONE, None)),
        ("ended well before the node was requeued", {"end": end(0), "live": says("PENDING", started=None)},
         (COMPLETED, Cause.NONE, 0)),
        ("ended well, and the requeued node runs again", {"end": end(0), "live": says("RUNNING", started=at(20))},
         (COMPLETED, Cause.NONE, 0)),
    ],
)  # fmt: skip
def test_a_job_that_shares_a_node(
    what: str, evidence: dict[str, Any], expected: tuple[JobState, Cause, int | None]
) -> None:
    assert stands(**evidence) == expected, what


def test_for_a_job_that_has_its_node_alone_the_queue_has_the_word() -> None:
    evidence = Evidence(end=end(0), live=says("TIMEOUT"), queue_answered=True)
    assert settle(RUNNING, evidence).cause is Cause.TIME_LIMIT
    assert settle(RUNNING, replace(evidence, shared=True)).state is COMPLETED
