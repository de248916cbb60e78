"""The attributes of PBS jobs in invalid, truncated and partly unreadable answers, and what they mean."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from scheduler.batch.pbs.attributes import observation, read_dsv
from scheduler.batch.pbs.system import SYSTEM
from scheduler.job.state import Cause, JobState
from tests.batch.counts import EVERY

from .qstat_forms import read_jobs

PLAIN = """\
Job Id: 1.host
    Job_Name = one
    job_state = F
    substate = 93
    Variable_List = A=x,
\tB=first
second = line
    comment = Job run at Mon Nov 23 at 22:06 on (host:ncpus=1) and exceeded reso
\turce walltime
    Exit_status = -29

Job Id: 2.host
    job_state = Q
"""
JSON = """{
\t"timestamp":\t1,
\t"Jobs":\t{
\t\t"1.host":\t{
\t\t\t"Job_Name":\t"C:\\dir \x03 "quoted" na\udce9",
\t\t\t"resources_used":\t{
\t\t\t\t"walltime":\t"00:00:05"
\t\t\t},
\t\t\t"job_state":\t"F",
\t\t\t"substate":\t93,
\t\t\t"Variable_List":\t{
\t\t\t\t"job_state":\tNaN,
\t\t\t\t"A":\t007
\t\t\t},
\t\t\t"Exit_status":\t3
\t\t},
\t\t"2[].host":\t{
\t\t\t"job_state":\t"B"
\t\t}
\t}
}
"""


def test_lines_broken_inside_a_word_are_joined_and_newlines_in_values_are_kept() -> None:
    first, second = read_jobs(PLAIN)
    assert first["Variable_List"] == "A=x,B=first\nsecond = line"
    assert observation(first).cause is Cause.TIME_LIMIT
    assert second == {"id": "2.host", "job_state": "Q"}


@pytest.mark.parametrize("lines", range(3, JSON.count("\n")))
def test_only_the_complete_jobs_of_a_truncated_answer_are_read(lines: int) -> None:
    """Otherwise a finished job might seem to have no Exit_status."""
    cut = "\n".join(JSON.split("\n")[:lines])
    assert read_jobs(cut) in ([], read_jobs(JSON)[:1], read_jobs(JSON))


def test_invalid_json_is_read_line_by_line() -> None:
    first, second = read_jobs(JSON)
    assert first["Job_Name"] == 'C:dir \x03 "quoted" na\udce9'
    assert first["resources_used.walltime"] == "00:00:05"
    assert (observation(first).state, observation(first).exit_code) == (JobState.FAILED, 3)
    assert second == {"id": "2[].host", "job_state": "B"}


def test_json_on_one_line_is_read() -> None:
    (job,) = read_jobs('{"Jobs": {"7.host": {"job_state": "R", "Resource_List": {"ncpus": 2}}}}')
    assert job == {"id": "7.host", "job_state": "R", "Resource_List.ncpus": "2"}


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"Jobs": 3}', '{"Jobs": {"1.host": null}}', "nonsense\n"])
def test_an_answer_without_a_job_gives_no_job(text: str) -> None:
    assert read_jobs(text) == []


def test_escaped_characters_of_dsv_are_restored() -> None:
    job = read_dsv(r"Job Id: 1.host|Variable_List=A=a\|b\\,B=line1\nline2,C=x\,y|job_state=F|substate=92|Exit_status=0")
    assert job["Variable_List"] == "A=a|b\\,B=line1\nline2,C=x,y"
    assert job["job_state"] == "F"
    assert observation(job).state is JobState.COMPLETED


def test_a_value_that_ends_in_a_backslash_does_not_hide_the_next_attribute() -> None:
    job = read_dsv("Job Id: 1.host|A=a\\\\|job_state=R")
    assert job == {"id": "1.host", "A": "a\\", "job_state": "R"}


def test_a_value_cannot_overwrite_another_attribute() -> None:
    assert read_dsv("Job Id: 1.host|job_state=R|comment=x|job_state=F")["job_state"] == "R"


def test_one_unreadable_line_of_the_history_does_not_affect_the_others() -> None:
    lines = [
        "",
        "|",
        "one|nonsense",
        "one|Job Id: |job_state",
        "one|Job Id: 1.host|job_state=Q|substate=10",
        "two|\udcff",
    ]
    assert list(SYSTEM.read_history(lines, {}, EVERY)) == [("one", 0)]


def test_a_job_of_another_name_with_the_id_of_our_job_is_ignored() -> None:
    assert (
        SYSTEM.read_history(["one|Job Id: 1.host|Job_Name=other|job_state=F|substate=91"], {"1.host": "one"}, EVERY)
        == {}
    )


def test_unreadable_lines_of_the_queue_do_not_affect_the_others() -> None:
    lines = ["", "one", "one|x|1.host|R|", "one|0|1.host|R", "two|3|2[].host|Z|what|is this", "three|0|3.host|H|a | b"]
    seen = SYSTEM.read_live(lines, EVERY)
    assert list(seen) == [("two", 3), ("three", 0)]
    assert (seen["two", 3].state, seen["two", 3].active) == (None, True)
    assert (seen["three", 0].state, seen["three", 0].reason) == (JobState.HELD, "a | b")


ENDS = {
    "Exit_status=0": (JobState.COMPLETED, Cause.NONE, 0),
    "Exit_status=3": (JobState.FAILED, Cause.EXIT_CODE, 3),
    "Exit_status=126": (JobState.FAILED, Cause.EXIT_CODE, 126),
    "Exit_status=255": (JobState.FAILED, Cause.EXIT_CODE, 255),
    "Exit_status=137": (JobState.FAILED, Cause.SIGNAL, 137),
    "Exit_status=265": (JobState.FAILED, Cause.SIGNAL, 137),
    "Exit_status=271": (JobState.FAILED, Cause.SIGNAL, 143),
    "Exit_status=271|substate=91": (JobState.CANCELLED, Cause.CANCELLED, 143),
    "substate=91": (JobState.CANCELLED, Cause.CANCELLED, None),
    "substate=92|depend=afterok:1.host@host": (JobState.FAILED, Cause.DEPENDENCY, None),
    "substate=92": (JobState.FAILED, Cause.UNKNOWN, None),
    "Exit_status=0|substate=93": (JobState.FAILED, Cause.UNKNOWN, 0),
    "Exit_status=-29": (JobState.FAILED, Cause.TIME_LIMIT, None),
    "Exit_status=-28": (JobState.FAILED, Cause.TIME_LIMIT, None),
    "Exit_status=-27": (JobState.FAILED, Cause.OUT_OF_MEMORY, None),
    "Exit_status=-26": (JobState.FAILED, Cause.OUT_OF_MEMORY, None),
    "Exit_status=-11": (JobState.FAILED, Cause.NODE_FAILURE, None),
    "Exit_status=-3": (JobState.FAILED, Cause.CANNOT_START, None),
    "Exit_status=-19": (JobState.CANCELLED, Cause.CANCELLED, None),
    "Exit_status=-99": (JobState.FAILED, Cause.UNKNOWN, None),
    "Exit_status=soon": (JobState.FAILED, Cause.UNKNOWN, None),
    "Exit_status=271|comment=Job run and exceeded resource walltime": (JobState.FAILED, Cause.TIME_LIMIT, 143),
    "Exit_status=1|comment=Job run and exceeded resource vmem": (JobState.FAILED, Cause.OUT_OF_MEMORY, 1),
    "Exit_status=265|resources_used.walltime=01:00:03|Resource_List.walltime=01:00:00": (
        JobState.FAILED, Cause.TIME_LIMIT, 137,
    ),
    "Exit_status=137|resources_used.mem=1048576kb|Resource_List.mem=1gb": (JobState.FAILED, Cause.OUT_OF_MEMORY, 137),
    "Exit_status=139|resources_used.mem=1048576kb|Resource_List.mem=1gb": (JobState.FAILED, Cause.SIGNAL, 139),
    "Exit_status=1|resources_used.walltime=2|Resource_List.walltime=00:00:01": (JobState.FAILED, Cause.EXIT_CODE, 1),
    "Exit_status=265|resources_used.mem=1mb|Resource_List.mem=1gb|Resource_List.walltime=unset": (
        JobState.FAILED, Cause.SIGNAL, 137,
    ),
}  # fmt: skip


@pytest.mark.parametrize("words", ENDS)
@pytest.mark.parametrize("state", ["F", "X"])
def test_limits_signals_and_qdel_are_distinguished_by_evidence(state: str, words: str) -> None:
    seen = observation(read_dsv(f"Job Id: 1.host|job_state={state}|{words}"))
    assert (seen.state, seen.cause, seen.exit_code) == ENDS[words]


def test_an_array_task_that_shows_the_attributes_of_its_array_was_deleted_whatever_its_exit_status() -> None:
    for words in ("substate=70|Exit_status=0", "substate=92|Exit_status=0", "substate=91|Exit_status=1"):
        seen = observation(read_dsv(f"Job Id: 5[2].host|job_state=F|{words}|comment=Subjob finished"))
        assert (seen.state, seen.cause, seen.exit_code) == (JobState.CANCELLED, Cause.CANCELLED, None)
        assert (seen.batch_id, seen.reason) == ("5[].host", "")  # the comment is not about this task


def test_the_exit_status_of_an_earlier_run_is_ignored_while_the_requeued_job_runs() -> None:
    seen = observation(
        read_dsv("Job Id: 1.host|job_state=R|substate=42|Exit_status=-4|obittime=Mon Nov 23 22:11:45 2026")
    )
    assert (seen.state, seen.cause, seen.exit_code, seen.ended) == (JobState.RUNNING, Cause.NONE, None, None)


def test_times_and_the_node_are_read() -> None:
    seen = observation(
        read_dsv(
            "Job Id: 1.host|job_state=F|Exit_status=0|exec_host=n1/0*2+n2/0|stime=Mon Nov  2 22:05:43 2026"
            "|obittime=Mon Nov  2 22:05:44 2026"
        )
    )
    assert seen.node == "n1"
    assert seen.started == datetime(2026, 11, 2, 22, 5, 43, tzinfo=timezone.utc)
    assert seen.ended == datetime(2026, 11, 2, 22, 5, 44, tzinfo=timezone.utc)


SUBMITTED = {
    (0, "12.pbs-01.host"): "Accepted",
    (0, "12[].host\n"): "Accepted",
    (0, "a hook of the site says\n12.host\n"): "Accepted",
    (0, ""): "Unknown",
    (0, "12"): "Unknown",
    (0, "12[3].host"): "Unknown",
    (124, ""): "Unknown",
    (137, ""): "Unknown",
    (255, "Failed to recv data from background qsub"): "Unknown",
    (162, "qsub: cannot connect to server"): "Unknown",
    (183, "qsub: Protocol error"): "Unknown",
    (1, "qsub: script contains cr, lf"): "Refused",
    (170, "qsub: Unknown queue"): "Refused",
    (188, "qsub: Job violates queue and/or server resource limits"): "Refused",
}


@pytest.mark.parametrize(("code", "words"), SUBMITTED)
def test_only_a_certain_answer_is_accepted_or_refused(code: int, words: str) -> None:
    assert type(SYSTEM.read_submit(code, words)).__name__ == SUBMITTED[code, words]


def test_a_comment_is_the_reason_unless_pbs_wrote_it_for_the_whole_array_and_reruns_are_shown() -> None:
    held = "Job held by anna on Mon Nov 23 22:05:22 2026"
    of_array = ["Subjob terminated", "Subjob failed", "Subjob finished", "Job Array Began at Mon Nov 23 at 22:09"]
    of_array += ["Job run at Sat Nov 28 at 21:54 on (pbslogin:ncpus=2)"]  # of a task that waits to be run again
    own = ["Not Running: Not enough free nodes available and terminated", held]
    for comment, reason in [*((one, "") for one in of_array), *((one, one) for one in own)]:
        assert observation(read_dsv(f"Job Id: 1.host|job_state=Q|comment={comment}")).reason == reason
        (live,) = SYSTEM.read_live([f"name|0|1.host|Q|{comment}"], EVERY).values()
        assert live.reason == reason
    for count, shown in ((1, "F 93 Exit_status=2"), (3, "F 93 Exit_status=2 run_count=3")):
        line = f"Job Id: 1.host|job_state=F|substate=93|Exit_status=2|run_count={count}"
        assert observation(read_dsv(line)).raw == shown
