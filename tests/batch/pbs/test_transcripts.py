"""Every recorded case of OpenPBS has the outcome in expected.tsv, which has one row for each case."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scheduler.batch.pbs.attributes import Attributes, observation
from scheduler.batch.pbs.system import SYSTEM
from scheduler.engine.poll.settle import settle
from scheduler.job.evidence import End, Evidence, Observation
from scheduler.job.state import Cause, JobState, Status
from tests.batch.counts import EVERY

from .qstat_forms import read_jobs
from .replay import BUILDS, Expected, FakeCommands, case, expected, names


def rows(how: str) -> list[object]:
    """The rows with this reader, each as a parameter with its own id."""
    return [pytest.param(row, id=f"{row.build}-{row.name}") for row in expected() if row.how == how]


@pytest.mark.parametrize("build", BUILDS)
def test_every_case_has_an_expected_outcome(build: str) -> None:
    assert sorted(row.name for row in expected() if row.build == build) == names(build)


@pytest.mark.parametrize("row", rows("submit"))
def test_an_answer_of_qsub_is_accepted_refused_or_unknown(row: Expected) -> None:
    found = case(row.name, row.build)
    words = found.text if found.exit_code == 0 else found.err.decode() + found.text
    assert type(SYSTEM.read_submit(found.exit_code, words)).__name__.lower() == row.outcome


@pytest.mark.parametrize("row", rows("jobs"))
def test_attributes_of_jobs_mean_their_states_causes_and_exit_codes(row: Expected) -> None:
    assert " ".join(in_words(of) for of in read_jobs(case(row.name, row.build).text)) == row.outcome


@pytest.mark.parametrize("row", rows("table"))
def test_a_table_gives_the_states_of_unfinished_jobs(row: Expected, tmp_path: Path) -> None:
    found = case(row.name, row.build)
    commands = FakeCommands(tmp_path)
    commands.answers("qstat", found.out, found.err, found.exit_code)
    ids = sorted({re.sub(r"\[\d+\]", "[]", word) for word in re.findall(r"^\d+\S*", found.text, re.M)})
    asked = "".join(f"0\t/f\tname-{job_id}\t{job_id}\t0\t0-9\tarray\n" for job_id in ids)
    reply = commands.run("batch_live asked", {"asked": asked})
    seen = SYSTEM.read_live(reply.stdout.decode().splitlines(), EVERY)
    if row.outcome == "no answer":
        assert reply.returncode == found.exit_code
        assert reply.stderr == found.err
    else:
        assert reply.returncode == 0
        assert [in_table(index, one) for (_, index), one in seen.items()] == row.outcome.split()


LOGGED = {"time-limit": Cause.TIME_LIMIT, "out-of-memory": Cause.OUT_OF_MEMORY, "nothing-said": Cause.SIGNAL}


@pytest.mark.parametrize("row", rows("log"))
def test_without_a_history_the_log_distinguishes_a_limit_from_another_signal(row: Expected) -> None:
    log = case(row.name, row.build).text.splitlines()[-4:]
    end = End(requeues=0, exit_code=143, signal="TERM")
    evidence = Evidence(end=end, log=log, log_cause=SYSTEM.log_cause(log), queue_answered=True, history_answered=None)
    assert settle(Status(JobState.RUNNING), evidence).cause is LOGGED[row.outcome]


HISTORY = {
    # outcome → whether the query succeeded, whether the site keeps no history
    "off": (False, True),
    "not known": (True, False),
    "no answer": (False, False),
    "refused": (False, False),
}


@pytest.mark.parametrize("row", rows("history"))
def test_a_query_that_returns_no_job_shows_why(row: Expected, tmp_path: Path) -> None:
    found = case(row.name, row.build)
    commands = FakeCommands(tmp_path)
    dsv = b"" if found.out.lstrip().startswith(b"{") else found.out  # the prologue of the JSON exists in no other form
    commands.answers("qstat", dsv, found.err, found.exit_code)
    reply = commands.run("batch_history gone", {"gone": "name\t1.pbslogin\t0\n"})
    assert SYSTEM.read_history(reply.stdout.decode().splitlines(), {"1.pbslogin": "name"}, EVERY) == {}
    assert (reply.returncode == 0, SYSTEM.no_history(reply.stderr.decode())) == HISTORY[row.outcome]


@pytest.mark.parametrize("row", rows("cancel"))
def test_cancelling_a_finished_job_is_no_error_and_other_errors_of_qdel_are_reported(
    row: Expected, tmp_path: Path
) -> None:
    found = case(row.name, row.build)
    commands = FakeCommands(tmp_path)
    commands.answers("qdel", found.out, found.err, found.exit_code)
    reply = commands.run("batch_cancel asked", {"asked": "/f\tname\t1.pbslogin\t0\t\n"})
    assert reply.returncode == (0 if row.outcome == "done" else found.exit_code)
    assert reply.stderr == (b"" if row.outcome == "done" else found.err)


@pytest.mark.parametrize("build", BUILDS)
def test_every_form_of_an_answer_has_the_same_meaning(build: str) -> None:
    compared = 0
    for name in names(build):
        for plain, other in (("-xf", "-xjson"), ("-f", "-json"), ("-f", "-dsv"), ("-xf", "-xdsv")):
            twin = name.removesuffix(plain) + other
            if (
                name.endswith(plain) and twin in names(build) and name != "qstat-two-f"
            ):  # on master, the JSON has only the first job
                assert observations(name, build) == observations(twin, build), (name, twin)
                compared += 1
    assert compared > 50


def observations(name: str, build: str) -> list[Observation]:
    """The observations of all jobs in a case."""
    return [observation(of) for of in read_jobs(case(name, build).text)]


def in_table(index: int, seen: Observation) -> str:
    """``231[3]:R``; H for a task of a held array."""
    return seen.batch_id.split(".")[0].replace("[]", f"[{index}]") + f":{seen.raw}"


def in_words(of: Attributes) -> str:
    """``failed:time-limit``, ``failed:exit-code:3``, ``queued``; ``array`` for a whole array, which has no outcome."""
    if "[]" in of["id"]:
        return "array"
    seen = observation(of)
    parts = [seen.state.word if seen.state else "?", seen.cause.word.replace(" ", "-"), seen.exit_code]
    return ":".join(str(part) for part in parts if part not in ("", None))
