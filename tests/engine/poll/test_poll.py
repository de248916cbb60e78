"""A poll costs what has changed: of a batch of which the same is said as before no job is read, and nothing is written.
And whatever changes is noticed, whoever has changed it."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from scheduler import Cause, Job, JobState, JobType, Runner, Site
from scheduler.batch.base import find
from scheduler.engine.poll.poll import poll
from scheduler.engine.poll.settle import FRESH_SECONDS
from scheduler.job.state import Status
from scheduler.ledger.attempts import Move
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.owner import owner
from scheduler.ledger.polls import News
from scheduler.transports.base import Expanded, Program, Reply, Transport
from tests import CASES

NOW = int(time.time())


class Answering(Transport):
    """A site that gives these lines for an answer, and keeps what it was asked."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.code = 0
        self.asked = ""
        self.meanwhile: Callable[[], object] = lambda: None

    def run(
        self,
        program: Program,
        args: Sequence[str | Expanded] = (),
        *,
        stdin: bytes | Iterable[bytes] = b"",
        stdout: Callable[[bytes], None] | None = None,
        timeout: float = 60.0,
    ) -> Reply:
        assert isinstance(stdin, bytes)
        self.asked = stdin.decode()
        self.meanwhile()
        return Reply(program.name, self.code, "".join(f"{line}\n" for line in self.lines).encode(), b"")

    def close(self) -> None:
        """Nothing is open."""


class Desk:
    """A ledger with two batches of four jobs at a site, and what the site says of them."""

    def __init__(self, folder: Path, system: str = "slurm", *, packed: bool = False, size: int = 4) -> None:
        self.folder, self.ledger, self.line = folder, Ledger(folder), Answering()
        self.site = Site.from_mapping({"transport": "local", "scheduler": system, "work_dir": "/w"}, name="s")
        jobs = [
            {"first": n // size * size, "element": n, "job_id": f"j{n}", "campaign": None, "type": "script",
             "working_dir": f"/home/{n}", "patterns": "[]"}
            for n in range(2 * size)
        ]  # fmt: skip
        batches = [(first, size, f"x.tok-{first}", packed) for first in (0, size)]
        self.keys = self.ledger.record_intent(
            token="tok", site="s", site_json={}, python="", probe="", batches=batches, jobs=jobs
        )
        self.ledger.slots.give("s", None, owner=owner())
        self.ledger.record_folder("tok", "/w/tok")
        self.ledger.record_ids("tok", {0: "10", size: "20"})
        self.ledger.observe(dict.fromkeys(self.keys, Status(JobState.QUEUED)), {})

    def says(self, *lines: str, answered: str = "live 0 ") -> None:
        """From now on."""
        self.line.lines = [f"clock {NOW}", answered, *lines]

    def poll(self) -> set[str]:
        """Ask once. Gives the tables that were written, and "read" if the rows of jobs were."""
        before = self.ledger_changes()
        said: list[str] = []
        with self.ledger.database.reading() as db:
            db.set_trace_callback(said.append)
        poll(self.site, find(self.site.scheduler), self.ledger, self.line)
        with self.ledger.database.reading() as db:
            db.set_trace_callback(None)
        done = {one.split()[1].lower() for one in said if one.startswith("UPDATE")}
        assert bool(done) == (self.ledger_changes() > before) == any(one.startswith("BEGIN") for one in said)
        return done | ({"read"} if any("silent_since" in one and one.startswith("SELECT") for one in said) else set())

    def ledger_changes(self) -> int:
        with self.ledger.database.reading() as db:
            return db.total_changes

    def states(self) -> list[str]:
        return [str(row.status) for row in self.ledger.chosen()]

    def settled(self) -> None:
        """Nothing is left to be done."""
        self.poll()
        assert self.poll() == set()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = Desk(tmp_path)
    yield opened
    opened.ledger.close()


WAITING = ["l x.tok-0|0-3|10|PENDING|||Priority", "l x.tok-4|0-3|20|PENDING|||Priority"]
RUNNING = [f"l x.tok-{first}|{n}|{10 + first}|RUNNING|n{n}|{n + 1}|None" for first in (0, 4) for n in range(4)]


@pytest.mark.parametrize("lines", [WAITING, RUNNING], ids=["waiting", "running"])
def test_of_what_has_not_moved_no_job_is_read_and_nothing_is_written(desk: Desk, lines: list[str]) -> None:
    desk.says(*lines)
    assert desk.poll() == {"read", "jobs", "batches"}
    assert [desk.poll() for _ in range(3)] == [set()] * 3
    assert set(desk.states()) == {"queued" if lines is WAITING else "running"}


def test_another_process_need_not_read_them_either(desk: Desk) -> None:
    desk.says(*RUNNING)
    desk.poll()
    desk.ledger.close()
    desk.ledger = Ledger(desk.folder)
    assert desk.poll() == set()


def test_of_two_batches_only_the_one_that_moved_is_read(desk: Desk) -> None:
    desk.says(*WAITING)
    desk.settled()
    desk.says(WAITING[0], *RUNNING[4:])
    assert desk.poll() == {"read", "jobs", "batches"}
    with desk.ledger.database.reading() as db:
        assert [len(found) for found in desk.ledger.polls.elements(desk.ledger.polls.unfinished("s")[1:]).values()] == [
            4
        ]
        assert db.execute("SELECT count(*) FROM jobs WHERE state = 'queued' AND raw = 'PENDING'").fetchone()[0] == 4
    assert desk.states() == ["queued"] * 4 + ["running"] * 4


def _end(element: int, *, code: int = 0, ago: float = 0.0) -> str:
    ended = NOW - int(ago)
    return f"e 0 {element} 0 exit={code} signal= started=1 ended={ended} host=n1 id=1 missing= cannot="


def test_an_end_is_noticed_while_the_queue_says_the_same(desk: Desk) -> None:
    """The node is slow to tell its controller; a minute later the script is believed."""
    desk.says(*RUNNING)
    desk.settled()
    desk.says(*RUNNING, _end(1))
    assert "read" in desk.poll() and desk.states()[1] == "running"
    desk.says(*RUNNING, _end(1, code=3, ago=FRESH_SECONDS))
    desk.poll()
    assert desk.states() == ["running", "failed: exit code 3", *["running"] * 6]
    assert desk.line.asked.startswith("0\t/w/tok\tx.tok-0\t10\t0\t0-3\tarray\n")
    desk.poll()
    assert desk.line.asked.startswith("0\t/w/tok\tx.tok-0\t10\t0\t0,2-3\tarray\n")
    assert desk.poll() == set()


CHANGES = {
    "another word": "l x.tok-0|0-3|10|PENDING|||Resources",
    "held": "l x.tok-0|0-3|10|PENDING|||JobHeldUser",
    "a word that nobody knows": "l x.tok-0|0-3|10|BAFFLED|||None",
    "one runs": "l x.tok-0|0|10|RUNNING|n1|5|None\nl x.tok-0|1-3|10|PENDING|||Priority",
    "one is not there": "l x.tok-0|1-3|10|PENDING|||Priority",
    "none is there": "",
    "only the rest of the array": "l x.tok-0|rest|10|PENDING|||Priority",
    "one is cancelled": "l x.tok-0|0|10|CANCELLED|||None\nl x.tok-0|1-3|10|PENDING|||Priority",
    "begun twice": "l x.tok-0|0-3|10|PENDING|||Priority\nl x.tok-0|0-3|11|RUNNING|n1|5|None",
    "the history knows one": "l x.tok-0|1-3|10|PENDING|||Priority\nhistory 0 \nh 10_0|x.tok-0|TIMEOUT|0:0|n1|1|2||",
}


@pytest.mark.parametrize("line", CHANGES.values(), ids=list(CHANGES))
def test_what_the_queue_says_otherwise_is_noticed_and_what_it_then_says_again_too(desk: Desk, line: str) -> None:
    desk.says(*WAITING)
    desk.settled()
    before = desk.ledger.chosen()
    desk.says(line, WAITING[1])
    assert "read" in desk.poll()
    after = desk.ledger.chosen()
    assert [(row.status, row.silent) for row in after] != [(row.status, row.silent) for row in before]
    assert after[4:] == before[4:]
    desk.says(*WAITING)
    assert "read" in desk.poll()


@pytest.mark.parametrize("line", ["", "l x.tok-0|rest|10|PENDING|||Priority", "l x.tok-0|0-3|10|BAFFLED|||None"])
def test_what_settles_nothing_is_read_at_each_poll(desk: Desk, line: str) -> None:
    desk.says(line, WAITING[1])
    desk.poll()
    assert all("read" in desk.poll() for _ in range(2))


def test_silence_goes_on_being_counted(desk: Desk) -> None:
    desk.says(*RUNNING)
    desk.settled()
    desk.says("history 0 ", *RUNNING[1:])
    for _ in range(2):
        desk.poll()
    assert [row.silent for row in desk.ledger.chosen()] == [2, *[0] * 7]
    desk.says(*RUNNING)
    desk.settled()
    assert [row.silent for row in desk.ledger.chosen()] == [0] * 8


@pytest.mark.parametrize("answered", ["live 1 slurm_load_jobs error", "live 0 "], ids=["no answer", "broken off"])
def test_a_queue_that_did_not_answer_settles_nothing_and_unsettles_nothing(desk: Desk, answered: str) -> None:
    desk.says(*RUNNING)
    desk.settled()
    desk.line.code = 0 if answered.startswith("live 1") else 1
    desk.says(*(RUNNING if desk.line.code else []), answered=answered)
    desk.poll()
    assert set(desk.states()) == {"running"}
    desk.line.code = 0
    desk.says(*RUNNING)
    desk.settled()


def test_a_folder_that_is_missing_is_looked_at_each_time(desk: Desk) -> None:
    desk.says(*RUNNING)
    desk.settled()
    desk.says(*RUNNING, "missing 0")
    assert "read" in desk.poll() and "read" in desk.poll()


def test_lines_in_a_log_are_no_news_when_they_are_said_again(desk: Desk) -> None:
    desk.says(*RUNNING, "g 0 1 module: loaded")
    desk.settled()
    desk.says(*RUNNING, "g 0 1 slurmstepd: error: *** JOB 10 ON n1 CANCELLED AT 2026 DUE TO TIME LIMIT ***")
    assert "read" in desk.poll()


def test_a_batch_whose_id_is_not_known_is_read_until_it_is(desk: Desk) -> None:
    with desk.ledger.database.writing() as db:
        db.execute("UPDATE batches SET batch_id = NULL WHERE first = 0")
    desk.says(*WAITING, "i 0 0 10")
    assert desk.poll() == {"read", "jobs", "batches"}
    assert desk.ledger.batches("tok")[0].batch_id == "10"
    desk.says(*WAITING)
    assert "read" in desk.poll()
    assert desk.poll() == set()


def test_jobs_that_share_a_node_move_and_stay_together(tmp_path: Path) -> None:
    desk = Desk(tmp_path, packed=True)
    desk.says("l x.tok-0|N/A|10|PENDING|||Priority", "l x.tok-4|N/A|20|RUNNING|n1|5|None")
    desk.settled()
    assert desk.states() == ["queued"] * 4 + ["running"] * 4
    desk.says("l x.tok-0|N/A|10|RUNNING|n2|6|None", "l x.tok-4|N/A|20|RUNNING|n1|5|None", _end(5, code=1))
    desk.poll()
    assert desk.states() == ["running"] * 5 + ["failed: exit code 1"] + ["running"] * 2
    desk.says("l x.tok-0|N/A|10|RUNNING|n2|6|None", "l x.tok-4|N/A|20|RUNNING|n1|5|None")
    desk.settled()
    desk.ledger.close()


LIVE = {
    "pbs": ("x.tok-{first}|{n}|{id}[].h|Q|", "x.tok-{first}|{n}|{id}[].h|R|Job run at Fri Nov 27 at 10:00 on (n1)"),
    "shell": ("x.tok-{first}|{n}|QUEUED|", "x.tok-{first}|{n}|RUNNING|n1"),
}


@pytest.mark.parametrize("system", LIVE)
def test_other_batch_systems_lines_tell_whose_they_are_as_well(system: str, tmp_path: Path) -> None:
    desk = Desk(tmp_path, system)
    waits, runs = LIVE[system]
    lines = [f"l {waits.format(first=first, n=n, id=10 + first)}" for first in (0, 4) for n in range(4)]
    desk.says(*lines)
    desk.settled()
    desk.says(f"l {runs.format(first=0, n=0, id=10)}", *lines[1:])
    assert desk.poll() == {"read", "jobs", "batches"}
    assert desk.states() == ["running"] + ["queued"] * 7
    assert desk.poll() == set()
    desk.ledger.close()


def test_a_site_that_keeps_no_history_is_written_down_once(desk: Desk) -> None:
    desk.says(*RUNNING[1:], "history 1 Slurm accounting storage is disabled")
    desk.ledger.sites.claim_poll("s", 0)
    assert "sites" in desk.poll()
    desk.says(*RUNNING)
    desk.settled()


# What others write meanwhile


def test_a_status_that_another_process_writes_is_settled_anew(desk: Desk) -> None:
    """The answer to a submission came late: it says queued of what the queue has shown running."""
    desk.says(*RUNNING)
    desk.settled()
    other = Ledger(desk.folder)
    other.observe({desk.keys[2]: Status(JobState.QUEUED)}, {})
    other.close()
    assert desk.states()[2] == "queued"
    assert desk.poll() == {"read", "jobs", "batches"}
    assert set(desk.states()) == {"running"}


def test_what_is_written_while_the_site_is_asked_is_settled_by_the_next_poll(desk: Desk) -> None:
    """… or between the reading of the jobs and the writing down of what was heard."""
    other = Ledger(desk.folder)
    desk.says(*RUNNING)
    desk.settled()
    desk.line.meanwhile = lambda: other.observe({desk.keys[2]: Status(JobState.QUEUED)}, {})
    assert desk.poll() == set()
    desk.line.meanwhile = lambda: None
    desk.poll()
    assert set(desk.states()) == {"running"}
    version = desk.ledger.polls.version()
    other.observe({desk.keys[2]: Status(JobState.QUEUED)}, {})
    desk.ledger.polls.record(News(settled_digests={("tok", 0): "digest", ("tok", 4): "digest"}), version=version)
    other.close()
    assert [batch.settled_digest for batch in desk.ledger.polls.unfinished("s")] == ["", ""]


def test_a_job_that_was_ended_meanwhile_is_not_settled_by_what_was_said_before(desk: Desk) -> None:
    ended = Status(JobState.CANCELLED, Cause.CANCELLED)
    desk.says(*RUNNING)
    desk.line.meanwhile = lambda: desk.ledger.observe({desk.keys[2]: ended}, {})
    desk.poll()
    assert desk.states() == ["running"] * 2 + ["cancelled"] + ["running"] * 5
    assert [batch.settled_digest == "" for batch in desk.ledger.polls.unfinished("s")] == [True, False]


def test_a_job_that_goes_on_to_another_attempt_is_asked_after_there_and_comes_back(desk: Desk) -> None:
    desk.says(*RUNNING)
    desk.settled()
    failed = Status(JobState.FAILED, Cause.NODE_FAILURE)
    desk.ledger.observe({desk.keys[1]: failed}, {})
    desk.settled()
    [row] = desk.ledger.of_keys([desk.keys[1]])
    move = Move(row, first=0, element=0, resources="{}", why="again")
    batches = [(0, 1, "x.two-0", False)]
    assert desk.ledger.attempts.record(token="two", site="s", site_json={}, batches=batches, moves=[move])
    desk.ledger.slots.give("s", None, owner=owner())
    desk.ledger.record_folder("two", "/w/two")
    desk.ledger.record_ids("two", {0: "30"})
    desk.says(*RUNNING, "l x.two-0|N/A|30|RUNNING|n9|7|None")
    assert desk.poll() == {"read", "jobs", "batches"}
    assert desk.poll() == set()
    assert set(desk.states()) == {"running"}
    desk.ledger.attempts.take_back({desk.keys[1]: "refused"})
    desk.says(*RUNNING)
    desk.settled()
    assert desk.states() == ["running", "failed: node failure", *["running"] * 6]
    assert [line.split("\t")[5] for line in desk.line.asked.splitlines()] == ["0,2-3", "0-3"]


def test_an_older_ledger_has_settled_nothing(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "ledger.sqlite")
    db.executescript((CASES / "ledger" / "version-1.sql").read_text())
    db.close()
    ledger = Ledger(tmp_path)
    assert [(batch.settled_digest, batch.elements) for batch in ledger.polls.unfinished("hpc")] == [("", "0")]
    ledger.close()


# What a Runner reads


class Submitted(Answering):
    """A site that takes every batch first."""

    def run(self, program: Program, args: Sequence[str | Expanded] = (), **given: Any) -> Reply:
        """As `Answering`; what is sent is read, and thrown away."""
        if program.name != "submit":
            return super().run(program, args, **given)
        assert b"".join(given["stdin"])
        return Reply(program.name, 0, b"folder\t/w/tok\n0\t0\t10\n", b"")


def test_a_runner_reads_no_rows_while_nothing_changes_and_takes_in_what_does(tmp_path: Path) -> None:
    (tmp_path / "a.sh").write_text("true\n")
    keys = {"transport": "local", "scheduler": "slurm", "work_dir": "/w", "limits": {"poll_seconds": 0.001}}
    line = Submitted()
    jobs = [
        Job(f"j{n}", JobType.SCRIPT, script_path=tmp_path / "a.sh", working_dir=tmp_path / str(n)) for n in range(4)
    ]
    with Runner(Site.from_mapping(keys, name="s"), ledger=Ledger(tmp_path / "state"), transport=line) as runner:
        runner.submit(jobs)
        [name] = {row.name for row in runner.ledger.chosen()}

        def look(*lines: str) -> int:
            """How many rows of jobs were read."""
            line.lines, read, said = [f"clock {NOW}", "live 0 ", *lines], 0, list[str]()
            with runner.ledger.database.reading() as db:
                db.set_trace_callback(said.append)
            runner.poll()
            with runner.ledger.database.reading() as db:
                db.set_trace_callback(None)
                for query in filter(re.compile(r"SELECT (j\.\*|key, bundle)").match, said):
                    read += len(db.execute(query).fetchall())
            time.sleep(0.002)
            return read

        assert look(f"l {name}|0-3|10|PENDING|||Priority") == 8  # four were weighed, and four taken in
        assert [look(f"l {name}|0-3|10|PENDING|||Priority") for _ in range(3)] == [0] * 3
        running = [f"l {name}|0|10|RUNNING|n1|5|None", f"l {name}|1-3|10|PENDING|||Priority"]
        assert look(*running) == 5
        assert [str(job.status) for job in jobs] == ["running", "queued", "queued", "queued"]
        jobs[1].fail("by hand")
        assert look(*running) == 1
        assert [str(job.status) for job in jobs] == ["running", "queued", "queued", "queued"]


def test_whether_some_batch_waits_is_asked_without_holding_up_others(desk: Desk) -> None:
    other = Ledger(desk.folder)
    with other.database.writing():
        assert desk.ledger.slots.give("s", None, owner=owner()) == {}
    other.close()
