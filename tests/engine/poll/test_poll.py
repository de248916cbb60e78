"""A poll reads and writes only what has changed: of a batch with unchanged lines it reads no job and writes nothing.
Every change is noticed, also one by another process."""

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
from scheduler.engine.context import SiteContext
from scheduler.engine.poll.poll import poll
from scheduler.engine.poll.settle import FRESH_SECONDS
from scheduler.job.state import Status
from scheduler.ledger.attempts import Move
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.polls import News
from scheduler.transports.base import Expanded, Program, Reply, Transport
from tests import CASES

NOW = int(time.time())


class Answering(Transport):
    """A site that replies with given lines.

    Attributes:
        lines, code: its reply: the lines and the exit code.
        request: what the last program read from stdin.
        meanwhile: called while a program runs.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.code = 0
        self.request = ""
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
        self.request = stdin.decode()
        self.meanwhile()
        return Reply(program.name, self.code, "".join(f"{line}\n" for line in self.lines).encode(), b"")

    def close(self) -> None:
        """Nothing is open."""


class Desk:
    """A ledger with two batches of four jobs at a site, and the replies of the site."""

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
        self.ledger.slots.assign("s", None, owner=self.ledger.database.me())
        self.ledger.record_folder("tok", "/w/tok")
        form = {"pbs": "{}[].server", "shell": "tok-{}"}.get(system, "{}")
        self.ledger.record_ids("tok", {0: form.format(10), size: form.format(20)})
        self.ledger.observe(dict.fromkeys(self.keys, Status(JobState.QUEUED)), {})

    def replies(self, *lines: str, answered: str = "live 0 ") -> None:
        """The reply from now on."""
        self.line.lines = [f"clock {NOW}", answered, *lines]

    def poll(self) -> set[str]:
        """Poll once. Returns the tables that were written, and "read" if rows of jobs were read."""
        before = self.ledger_changes()
        statements: list[str] = []
        with self.ledger.database.reading() as db:
            db.set_trace_callback(statements.append)
        poll(SiteContext(self.site, find(self.site.scheduler), self.ledger, self.line, recorded_as="s"))
        with self.ledger.database.reading() as db:
            db.set_trace_callback(None)
        done = {one.split()[1].lower() for one in statements if one.startswith("UPDATE")}
        assert bool(done) == (self.ledger_changes() > before) == any(one.startswith("BEGIN") for one in statements)
        return done | (
            {"read"} if any("silent_since" in one and one.startswith("SELECT") for one in statements) else set()
        )

    def ledger_changes(self) -> int:
        with self.ledger.database.reading() as db:
            return db.total_changes

    def states(self) -> list[str]:
        return [str(row.status) for row in self.ledger.chosen()]

    def settled(self) -> None:
        """After one poll, the next one has nothing to do."""
        self.poll()
        assert self.poll() == set()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = Desk(tmp_path)
    yield opened
    opened.ledger.close()


WAITING = ["l x.tok-0|0-3|10|PENDING|||Priority", "l x.tok-4|0-3|20|PENDING|||Priority"]
RUNNING = [f"l x.tok-{first}|{n}|{20 if first else 10}|RUNNING|n{n}|{n + 1}|None" for first in (0, 4) for n in range(4)]


@pytest.mark.parametrize("lines", [WAITING, RUNNING], ids=["waiting", "running"])
def test_of_an_unchanged_batch_no_job_is_read_and_nothing_is_written(desk: Desk, lines: list[str]) -> None:
    desk.replies(*lines)
    assert desk.poll() == {"read", "jobs", "batches"}
    assert [desk.poll() for _ in range(3)] == [set()] * 3
    assert set(desk.states()) == {"queued" if lines is WAITING else "running"}


def test_another_process_does_not_read_them_either(desk: Desk) -> None:
    desk.replies(*RUNNING)
    desk.poll()
    desk.ledger.close()
    desk.ledger = Ledger(desk.folder)
    assert desk.poll() == set()


def test_of_two_batches_only_the_changed_one_is_read(desk: Desk) -> None:
    desk.replies(*WAITING)
    desk.settled()
    desk.replies(WAITING[0], *RUNNING[4:])
    assert desk.poll() == {"read", "jobs", "batches"}
    with desk.ledger.database.reading() as db:
        changed = desk.ledger.polls.unfinished("s")[1:]
        assert [len(found) for found in desk.ledger.polls.elements(changed).values()] == [4]
        assert db.execute("SELECT count(*) FROM jobs WHERE state = 'queued' AND raw = 'PENDING'").fetchone()[0] == 4
    assert desk.states() == ["queued"] * 4 + ["running"] * 4


def _end(element: int, *, code: int = 0, ago: float = 0.0) -> str:
    ended = NOW - int(ago)
    return f"e 0 {element} 0 exit={code} signal= started=1 ended={ended} host=n1 id=1 missing= cannot="


def test_an_end_file_is_read_while_the_queue_is_unchanged(desk: Desk) -> None:
    """The node is slow to report to its controller; a minute later the end file alone is enough."""
    desk.replies(*RUNNING)
    desk.settled()
    desk.replies(*RUNNING, _end(1))
    assert "read" in desk.poll() and desk.states()[1] == "running"
    desk.replies(*RUNNING, _end(1, code=3, ago=FRESH_SECONDS))
    desk.poll()
    assert desk.states() == ["running", "failed: exit code 3", *["running"] * 6]
    assert desk.line.request.startswith("0\t/w/tok\tx.tok-0\t10\t0\t0-3\tarray\n")
    desk.poll()
    assert desk.line.request.startswith("0\t/w/tok\tx.tok-0\t10\t0\t0,2-3\tarray\n")
    assert desk.poll() == set()


CHANGES = {
    "another reason": "l x.tok-0|0-3|10|PENDING|||Resources",
    "held": "l x.tok-0|0-3|10|PENDING|||JobHeldUser",
    "an unknown state": "l x.tok-0|0-3|10|BAFFLED|||None",
    "one runs": "l x.tok-0|0|10|RUNNING|n1|5|None\nl x.tok-0|1-3|10|PENDING|||Priority",
    "one is missing": "l x.tok-0|1-3|10|PENDING|||Priority",
    "all are missing": "",
    "only the rest of the array": "l x.tok-0|rest|10|PENDING|||Priority",
    "one is cancelled": "l x.tok-0|0|10|CANCELLED|||None\nl x.tok-0|1-3|10|PENDING|||Priority",
    "in the queue twice": "l x.tok-0|0-3|10|PENDING|||Priority\nl x.tok-0|0-3|11|RUNNING|n1|5|None",
    "the history has one": "l x.tok-0|1-3|10|PENDING|||Priority\nhistory 0 \nh 10_0|x.tok-0|TIMEOUT|0:0|n1|1|2||",
}


@pytest.mark.parametrize("line", CHANGES.values(), ids=list(CHANGES))
def test_a_change_in_the_queue_is_read_and_so_is_the_change_back(desk: Desk, line: str) -> None:
    desk.replies(*WAITING)
    desk.settled()
    before = desk.ledger.chosen()
    desk.replies(line, WAITING[1])
    assert "read" in desk.poll()
    after = desk.ledger.chosen()
    assert [(row.status, row.silent) for row in after] != [(row.status, row.silent) for row in before]
    assert after[4:] == before[4:]
    desk.replies(*WAITING)
    assert "read" in desk.poll()


@pytest.mark.parametrize("line", ["", "l x.tok-0|rest|10|PENDING|||Priority", "l x.tok-0|0-3|10|BAFFLED|||None"])
def test_lines_that_do_not_settle_a_batch_are_read_at_each_poll(desk: Desk, line: str) -> None:
    desk.replies(line, WAITING[1])
    desk.poll()
    assert all("read" in desk.poll() for _ in range(2))


def test_silent_polls_are_counted(desk: Desk) -> None:
    desk.replies(*RUNNING)
    desk.settled()
    desk.replies("history 0 ", *RUNNING[1:])
    for _ in range(2):
        desk.poll()
    assert [row.silent for row in desk.ledger.chosen()] == [2, *[0] * 7]
    desk.replies(*RUNNING)
    desk.settled()
    assert [row.silent for row in desk.ledger.chosen()] == [0] * 8


@pytest.mark.parametrize("answered", ["live 1 slurm_load_jobs error", "live 0 "], ids=["no answer", "interrupted"])
def test_a_queue_that_did_not_answer_changes_nothing(desk: Desk, answered: str) -> None:
    desk.replies(*RUNNING)
    desk.settled()
    desk.line.code = 0 if answered.startswith("live 1") else 1
    desk.replies(*(RUNNING if desk.line.code else []), answered=answered)
    desk.poll()
    assert set(desk.states()) == {"running"}
    desk.line.code = 0
    desk.replies(*RUNNING)
    desk.settled()


def test_a_missing_folder_is_read_at_each_poll(desk: Desk) -> None:
    desk.replies(*RUNNING)
    desk.settled()
    desk.replies(*RUNNING, "missing 0")
    assert "read" in desk.poll() and "read" in desk.poll()


def test_unchanged_log_lines_are_not_read_again_and_new_ones_are(desk: Desk) -> None:
    desk.replies(*RUNNING, "g 0 1 module: loaded")
    desk.settled()
    desk.replies(*RUNNING, "g 0 1 slurmstepd: error: *** JOB 10 ON n1 CANCELLED AT 2026 DUE TO TIME LIMIT ***")
    assert "read" in desk.poll()


def test_a_batch_without_an_id_is_read_until_it_has_one(desk: Desk) -> None:
    with desk.ledger.database.writing() as db:
        db.execute("UPDATE batches SET batch_id = NULL WHERE first = 0")
    desk.replies(*WAITING, "i 0 0 10")
    assert desk.poll() == {"read", "jobs", "batches"}
    assert desk.ledger.batches("tok")[0].batch_id == "10"
    desk.replies(*WAITING)
    assert "read" in desk.poll()
    assert desk.poll() == set()


def test_a_number_that_was_recorded_as_the_id_is_replaced_by_the_id_of_the_queue(desk: Desk) -> None:
    desk.ledger.record_ids("tok", {0: "17"})
    desk.replies("l x.tok-0|0-3|10|PENDING|||None", "l x.tok-4|0-3|20|PENDING|||None")
    desk.poll()
    assert [row.batch_id for row in desk.ledger.chosen()] == ["10"] * 4 + ["20"] * 4


def test_the_id_of_a_job_that_was_seen_running_is_kept_although_a_second_copy_is_in_the_queue(desk: Desk) -> None:
    desk.replies("l x.tok-0|0-3|10|RUNNING|n1|1790000000|None", "l x.tok-4|0-3|20|PENDING|||None")
    desk.poll()
    desk.replies("l x.tok-0|0-3|11|PENDING|||None", "l x.tok-4|0-3|20|PENDING|||None")
    desk.poll()
    assert {row.batch_id for row in desk.ledger.chosen()} == {"10", "20"}


def test_jobs_of_a_pack_change_together(tmp_path: Path) -> None:
    desk = Desk(tmp_path, packed=True)
    desk.replies("l x.tok-0|N/A|10|PENDING|||Priority", "l x.tok-4|N/A|20|RUNNING|n1|5|None")
    desk.settled()
    assert desk.states() == ["queued"] * 4 + ["running"] * 4
    desk.replies("l x.tok-0|N/A|10|RUNNING|n2|6|None", "l x.tok-4|N/A|20|RUNNING|n1|5|None", _end(5, code=1))
    desk.poll()
    assert desk.states() == ["running"] * 5 + ["failed: exit code 1"] + ["running"] * 2
    desk.replies("l x.tok-0|N/A|10|RUNNING|n2|6|None", "l x.tok-4|N/A|20|RUNNING|n1|5|None")
    desk.settled()
    desk.ledger.close()


LIVE = {
    "pbs": (
        "x.tok-{first}|{n}|{id}[].server|Q|",
        "x.tok-{first}|{n}|{id}[].server|R|Job run at Fri Nov 27 at 10:00 on (n1)",
    ),
    "shell": ("x.tok-{first}|{n}|QUEUED|", "x.tok-{first}|{n}|RUNNING|n1"),
}


@pytest.mark.parametrize("system", LIVE)
def test_lines_of_other_batch_systems_name_their_batch_too(system: str, tmp_path: Path) -> None:
    desk = Desk(tmp_path, system)
    waits, runs = LIVE[system]
    lines = [f"l {waits.format(first=first, n=n, id=20 if first else 10)}" for first in (0, 4) for n in range(4)]
    desk.replies(*lines)
    desk.settled()
    desk.replies(f"l {runs.format(first=0, n=0, id=10)}", *lines[1:])
    assert desk.poll() == {"read", "jobs", "batches"}
    assert desk.states() == ["running"] + ["queued"] * 7
    assert desk.poll() == set()
    desk.ledger.close()


def test_a_site_without_a_history_is_recorded_once(desk: Desk) -> None:
    desk.replies(*RUNNING[1:], "history 1 Slurm accounting storage is disabled")
    desk.ledger.sites.claim_poll("s", 0)
    assert "sites" in desk.poll()
    desk.replies(*RUNNING)
    desk.settled()


# What other processes record meanwhile


def test_a_status_that_another_process_records_is_settled_again(desk: Desk) -> None:
    """The reply to a submission was recorded late: it makes a job queued that the queue has shown running."""
    desk.replies(*RUNNING)
    desk.settled()
    other = Ledger(desk.folder)
    other.observe({desk.keys[2]: Status(JobState.QUEUED)}, {})
    other.close()
    assert desk.states()[2] == "queued"
    assert desk.poll() == {"read", "jobs", "batches"}
    assert set(desk.states()) == {"running"}


def test_a_status_recorded_during_a_poll_is_settled_by_the_next_one(desk: Desk) -> None:
    """… or between the reading of the jobs and the recording of the digests."""
    other = Ledger(desk.folder)
    desk.replies(*RUNNING)
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


def test_a_job_that_became_final_during_a_poll_is_not_changed_by_it(desk: Desk) -> None:
    ended = Status(JobState.CANCELLED, Cause.CANCELLED)
    desk.replies(*RUNNING)
    desk.line.meanwhile = lambda: desk.ledger.observe({desk.keys[2]: ended}, {})
    desk.poll()
    assert desk.states() == ["running"] * 2 + ["cancelled"] + ["running"] * 5
    assert [batch.settled_digest == "" for batch in desk.ledger.polls.unfinished("s")] == [True, False]


def test_a_retried_job_is_polled_in_its_new_batch_and_returns_if_the_retry_is_refused(desk: Desk) -> None:
    desk.replies(*RUNNING)
    desk.settled()
    failed = Status(JobState.FAILED, Cause.NODE_FAILURE)
    desk.ledger.observe({desk.keys[1]: failed}, {})
    desk.settled()
    [row] = desk.ledger.of_keys([desk.keys[1]])
    move = Move(row, first=0, element=0, resources="{}", why="again")
    batches = [(0, 1, "x.two-0", False)]
    assert desk.ledger.attempts.record(token="two", site="s", site_json={}, batches=batches, moves=[move])
    desk.ledger.slots.assign("s", None, owner=desk.ledger.database.me())
    desk.ledger.record_folder("two", "/w/two")
    desk.ledger.record_ids("two", {0: "30"})
    desk.replies(*RUNNING, "l x.two-0|N/A|30|RUNNING|n9|7|None")
    assert desk.poll() == {"read", "jobs", "batches"}
    assert desk.poll() == set()
    assert set(desk.states()) == {"running"}
    desk.ledger.attempts.undo({desk.keys[1]: "refused"})
    desk.replies(*RUNNING)
    desk.settled()
    assert desk.states() == ["running", "failed: node failure", *["running"] * 6]
    assert [line.split("\t")[5] for line in desk.line.request.splitlines()] == ["0,2-3", "0-3"]


def test_a_ledger_of_an_older_version_has_no_digests(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "ledger.sqlite")
    db.executescript((CASES / "ledger" / "version-1.sql").read_text())
    db.close()
    ledger = Ledger(tmp_path)
    assert [(batch.settled_digest, batch.elements) for batch in ledger.polls.unfinished("hpc")] == [("", "0")]
    ledger.close()


# What a Runner reads


class Submitted(Answering):
    """A site that accepts every batch."""

    def run(self, program: Program, args: Sequence[str | Expanded] = (), **given: Any) -> Reply:
        """As `Answering`; a bundle is read and dropped."""
        if program.name != "submit":
            return super().run(program, args, **given)
        assert b"".join(given["stdin"])
        return Reply(program.name, 0, b"folder\t/w/tok\n0\t0\t10\n", b"")


def test_a_runner_reads_no_rows_while_nothing_changes_and_updates_its_jobs(tmp_path: Path) -> None:
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
            """Poll once. Returns how many rows of jobs were read."""
            line.lines, read, statements = [f"clock {NOW}", "live 0 ", *lines], 0, list[str]()
            with runner.ledger.database.reading() as db:
                db.set_trace_callback(statements.append)
            runner.poll()
            with runner.ledger.database.reading() as db:
                db.set_trace_callback(None)
                for query in filter(re.compile(r"SELECT (j\.\*|key, bundle)").match, statements):
                    read += len(db.execute(query).fetchall())
            time.sleep(0.002)
            return read

        assert look(f"l {name}|0-3|10|PENDING|||Priority") == 8  # four are settled, and four read for the Job objects
        assert [look(f"l {name}|0-3|10|PENDING|||Priority") for _ in range(3)] == [0] * 3
        running = [f"l {name}|0|10|RUNNING|n1|5|None", f"l {name}|1-3|10|PENDING|||Priority"]
        assert look(*running) == 5
        assert [str(job.status) for job in jobs] == ["running", "queued", "queued", "queued"]
        jobs[1].fail("by hand")
        assert look(*running) == 1
        assert [str(job.status) for job in jobs] == ["running", "queued", "queued", "queued"]


def test_looking_for_waiting_batches_does_not_block_on_a_writer(desk: Desk) -> None:
    other = Ledger(desk.folder)
    with other.database.writing():
        assert desk.ledger.slots.assign("s", None, owner=desk.ledger.database.me()) == {}
    other.close()
