"""Queue limits: jobs above the limit wait locally, and any process submits them when slots become free."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scheduler import Cause, Job, JobState, JobType, Runner, Site
from scheduler.batch.outcome import Full, Refused
from scheduler.batch.pbs.system import SYSTEM as PBS
from scheduler.batch.slurm.system import SYSTEM as SLURM
from scheduler.job.state import Status
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.slots import EXPIRY_SECONDS, PROBE_SECONDS
from scheduler.transports.base import Program, Reply
from scheduler.transports.local.transport import LocalTransport

# The ledger alone


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "state")
    yield opened
    opened.close()


def record(ledger: Ledger, token: str, *sizes: int, packed: bool = False) -> list[int]:
    """A bundle of batches of these sizes."""
    firsts = [sum(sizes[:n]) for n in range(len(sizes))]
    jobs = [
        {"first": first, "element": first + n, "job_id": f"{token} {first + n}", "campaign": None, "type": "script",
         "working_dir": f"/home/{token}/{first + n}", "patterns": "[]"}
        for first, size in zip(firsts, sizes, strict=True) for n in range(size)
    ]  # fmt: skip
    batches = [(first, size, f"x.{token}-{first}", packed) for first, size in zip(firsts, sizes, strict=True)]
    return ledger.record_intent(token=token, site="hpc", site_json={}, python="", probe="", batches=batches, jobs=jobs)


def assigned(ledger: Ledger, most: int | None, now: float | None = None) -> dict[str, list[int]]:
    return ledger.slots.assign("hpc", most, owner=ledger.database.me(), now=now)


def test_slots_are_assigned_up_to_the_limit_and_to_the_oldest_first(ledger: Ledger) -> None:
    first = record(ledger, "a", 40, 40, 40)
    record(ledger, "b", 10)
    assert assigned(ledger, 100) == {"a": [0, 40]}
    assert assigned(ledger, 100) == {}
    ledger.observe({key: Status(JobState.COMPLETED) for key in first[:40]}, {})
    assert assigned(ledger, 100) == {"a": [80], "b": [0]}


def test_without_a_limit_every_batch_gets_a_slot(ledger: Ledger) -> None:
    record(ledger, "a", 40, 40)
    assert assigned(ledger, None) == {"a": [0, 40]}


def test_jobs_that_share_a_node_count_as_one(ledger: Ledger) -> None:
    record(ledger, "a", 64, 64, 64, packed=True)
    assert assigned(ledger, 2) == {"a": [0, 64]}


def test_an_array_larger_than_the_limit_is_submitted_alone(ledger: Ledger) -> None:
    record(ledger, "a", 40, 1)
    assert assigned(ledger, 10) == {"a": [0]}
    assert assigned(ledger, 10) == {}


def test_two_processes_get_different_slots(ledger: Ledger, tmp_path: Path) -> None:
    record(ledger, "a", *[1] * 20)
    other = Ledger(tmp_path / "state")
    given = [assigned(one, most)["a"] for one, most in ((ledger, 5), (other, 12), (ledger, 20))]
    assert given == [[*range(5)], [*range(5, 12)], [*range(12, 20)]]
    other.close()


def test_after_a_refusal_a_full_queue_has_room_only_for_what_it_has(ledger: Ledger) -> None:
    keys = record(ledger, "a", *[1] * 6)
    assigned(ledger, None)
    ledger.slots.record_full("hpc", "a", [4, 5])
    assert assigned(ledger, None) == {}
    ledger.observe({keys[0]: Status(JobState.COMPLETED)}, {})
    assert assigned(ledger, None) == {"a": [4]}
    assert [batch.first for batch in ledger.batches("a") if batch.full] == [4, 5]


def test_a_full_queue_is_probed_with_one_batch_after_a_time(ledger: Ledger) -> None:
    record(ledger, "a", *[1] * 6)
    assigned(ledger, None)
    ledger.slots.record_full("hpc", "a", [3, 4, 5])
    later = time.time() + PROBE_SECONDS + 1
    assert assigned(ledger, None, later - 60) == {}
    assert assigned(ledger, None, later) == {"a": [3]}
    assert assigned(ledger, None, later + 60) == {}  # its outcome is not known yet
    ledger.slots.record_full("hpc", "a", [3])
    assert assigned(ledger, None) == {}


def test_while_a_queue_accepts_more_than_before_the_room_doubles(ledger: Ledger) -> None:
    """The limit was raised, or lifted: that is noticed at once, and not by one batch in five minutes."""
    record(ledger, "a", *[1] * 60)
    assigned(ledger, 100)
    ledger.slots.record_full("hpc", "a", range(2, 60))
    given = assigned(ledger, 100, time.time() + PROBE_SECONDS + 1)
    assert given == {"a": [2]}
    sizes = []
    while given:
        ledger.slots.record_accepted("hpc")
        given = assigned(ledger, 100)
        sizes += [len(firsts) for firsts in given.values()]
    assert sizes == [4, 8, 16, 29]
    record(ledger, "b", *[1] * 60)
    assert assigned(ledger, 100) == {"b": [*range(40)]}  # nothing is left of the old room


def test_a_queue_without_jobs_of_ours_is_tried_again_at_the_next_poll_but_not_sooner(ledger: Ledger) -> None:
    keys = record(ledger, "a", *[1] * 8)
    assigned(ledger, None)
    ledger.slots.record_full("hpc", "a", range(2, 8))
    ledger.observe({key: Status(JobState.COMPLETED) for key in keys[:2]}, {})
    now = time.time()
    assert ledger.slots.assign("hpc", None, owner=ledger.database.me(), pause=60, now=now + 30) == {"a": [2, 3]}
    ledger.slots.record_full("hpc", "a", [2, 3])
    for later, given in ((30, {}), (61, {"a": [2]}), (90, {})):
        assert ledger.slots.assign("hpc", None, owner=ledger.database.me(), pause=60, now=now + later) == given
    ledger.slots.record_accepted("hpc")
    assert assigned(ledger, None) == {"a": [3, 4]}


def test_a_limit_of_long_ago_is_forgotten_and_one_from_the_future_is_tried(ledger: Ledger) -> None:
    record(ledger, "a", *[1] * 20)
    assigned(ledger, None)
    ledger.slots.record_full("hpc", "a", range(5, 20))
    set_back = time.time() - 1e6
    assert assigned(ledger, None, set_back) == {"a": [5]}
    ledger.slots.record_full("hpc", "a", [5])
    assert assigned(ledger, None, time.time() + EXPIRY_SECONDS + 1) == {"a": [*range(5, 20)]}


def test_what_was_learned_of_a_site_can_be_forgotten(ledger: Ledger) -> None:
    record(ledger, "a", *[1] * 6)
    assigned(ledger, None)
    ledger.slots.record_full("hpc", "a", [3, 4, 5])
    ledger.sites.record_history("hpc", "none")
    assert not ledger.sites.keeps_history("hpc")
    ledger.sites.forget_learned("hpc")
    assert ledger.sites.keeps_history("hpc")
    assert assigned(ledger, None) == {"a": [3, 4, 5]}


def test_a_batch_cancelled_while_it_waits_gets_no_slot(ledger: Ledger) -> None:
    keys = record(ledger, "a", 1, 1, 1)
    assigned(ledger, 1)
    cancelled = Status(JobState.CANCELLED, Cause.CANCELLED)
    assert ledger.slots.cancel_waiting({keys[0]: cancelled, keys[1]: cancelled}) == {keys[1]}
    assert assigned(ledger, None) == {"a": [2]}


@pytest.mark.parametrize(
    ("outcome", "full"),
    [
        (SLURM.read_submit(1, "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job "
         "violates accounting/QOS policy (job submit limit, user's size and/or time limits)\n"), True),
        (SLURM.read_submit(1, "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: …"), True),
        (SLURM.read_submit(1, "sbatch: error: QOSMaxCpuPerJobLimit\nsbatch: error: …"), False),
        (SLURM.read_submit(1, "sbatch: error: invalid partition specified: nosuch\n"), False),
        (PBS.read_submit(38, "qsub: a message of another version"), True),
        (PBS.read_submit(188, "qsub: Job violates queue and/or server resource limits\n"), False),
    ],
)  # fmt: skip
def test_a_full_queue_is_distinguished_from_a_refusal(outcome: object, full: bool) -> None:
    assert isinstance(outcome, Full if full else Refused)


_PLACES = ("queue generic's", "complex's")
_OF = ("", "user anna ", "group eic ", "project p1 ")
PBS_LIMITS = [
    *(f"would exceed {place} per-{who} limit{only}" for place in _PLACES for who in ("user", "group", "project")
      for only in ("", " of jobs in 'Q' state")),
    *(f"Maximum number of jobs {only}{of and 'for ' + of}already in {place}"
      for of in _OF for place in ("queue q", "complex") for only in ("", "in 'Q' state ")),
    *(f"would exceed {whose} on resource ncpus in {place}{only}"
      for whose in ("limit", "per-user limit", "per-group limit", "per-project limit", "user anna's limit",
                    "group eic's limit", "project p1's limit")
      for place in ("queue q", "complex") for only in ("", " for jobs in 'Q' state")),
]  # fmt: skip
"""The messages of PBS's limits per queue and server, for everybody, one of a kind, and each of a kind."""


@pytest.mark.parametrize("words", PBS_LIMITS)
def test_every_limit_of_pbs_on_jobs_and_their_resources_means_full(words: str) -> None:
    for code in (38, 39, 198):
        outcome = PBS.read_submit(code, f"qsub: {words}\n")
        assert outcome == Full(f"qsub: {words}", code)


# From submission to the end, on this machine

Make = Callable[..., Job]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a job that writes its id to the file `ran` and waits for the file `go`."""
    script = tmp_path / "s.sh"
    script.write_text(f"cd '{tmp_path}'; echo $JOB_ID >>ran; until [ -e go ]; do sleep 0.1; done")
    return lambda job_id: Job(job_id, JobType.SCRIPT, script_path=script, working_dir=tmp_path / "out" / job_id)


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Callable[..., Runner]]:
    """Makes runners with one ledger for a site with a queue limit of four jobs."""
    opened: list[Runner] = []

    def make(**more: Any) -> Runner:
        limits = {"queued": 4, "running": 16, "poll_seconds": 0.05}
        keys = {"transport": "local", "scheduler": "shell", "work_dir": str(tmp_path / "work"), "limits": limits}
        opened.append(Runner(Site.from_mapping(keys, name="few"), ledger=Ledger(tmp_path / "state"), **more))
        return opened[-1]

    yield make
    for one in opened:
        one.cancel(one._tracked)
        one.close()


def ran(tmp_path: Path) -> list[str]:
    path = tmp_path / "ran"
    return path.read_text().split() if path.exists() else []


def test_waiting_jobs_are_submitted_as_slots_become_free_and_each_runs_once(
    make: Make, runner: Callable[..., Runner], tmp_path: Path
) -> None:
    jobs, first = [make(f"j{n}") for n in range(11)], runner()
    first.submit(jobs)
    _poll_until(first, lambda: len(ran(tmp_path)) == 4)
    for _ in range(3):
        first.poll()
    assert len(ran(tmp_path)) == 4
    assert [job.status.reason for job in jobs[4:]] == [
        "waiting for a free slot: the queue limit of the site is reached"
    ] * 7
    (tmp_path / "go").touch()
    first.wait(jobs, timeout=600)
    assert all(job.is_completed() for job in jobs)
    assert sorted(ran(tmp_path)) == sorted(job.job_id for job in jobs)


class Recording(LocalTransport):
    """This machine; the names of the programs that were run are recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.programs: list[str] = []

    def run(self, program: Program, *args: Any, **how: Any) -> Reply:
        self.programs.append(program.name)
        return super().run(program, *args, **how)


def test_while_no_slot_is_free_nothing_is_sent(make: Make, runner: Callable[..., Runner], tmp_path: Path) -> None:
    transport = Recording()
    jobs, one = [make(f"j{n}") for n in range(9)], runner(transport=transport)
    one.submit(jobs)
    _poll_until(one, lambda: len(ran(tmp_path)) == 4)
    transport.programs.clear()
    for _ in range(3):
        time.sleep(0.1)
        one.poll()
    assert transport.programs == ["poll"] * 3
    (tmp_path / "go").touch()
    one.wait(jobs, timeout=600)


def test_a_later_process_submits_waiting_jobs(make: Make, runner: Callable[..., Runner], tmp_path: Path) -> None:
    runner(campaign="c").submit(make(f"j{n}") for n in range(9))
    (tmp_path / "go").touch()
    later, jobs = runner(campaign="c"), [make(f"j{n}") for n in range(9)]
    later.submit(jobs)
    later.wait(jobs, timeout=600)
    assert all(job.is_completed() for job in jobs)
    assert sorted(ran(tmp_path)) == sorted(job.job_id for job in jobs)


def test_a_job_cancelled_while_it_waits_does_not_run_but_the_others_do(
    make: Make, runner: Callable[..., Runner], tmp_path: Path
) -> None:
    jobs, one = [make(f"j{n}") for n in range(9)], runner()
    one.submit(jobs)
    one.cancel(jobs[6:8])
    one.poll()
    assert [job.status.state for job in jobs[6:8]] == [JobState.CANCELLED] * 2
    (tmp_path / "go").touch()
    one.wait(jobs, timeout=600)
    assert sorted(ran(tmp_path)) == sorted({job.job_id for job in jobs} - {"j6", "j7"})


def _poll_until(runner: Runner, happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)
        runner.poll()
