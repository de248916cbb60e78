"""Submissions of which certainly nothing was submitted: their state has the reason, and cancel needs no connection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from scheduler import BatchError, Job, JobState, JobType, Resources, Runner, Site, TransportError
from scheduler.engine.submit import upload
from scheduler.ledger.ledger import Ledger
from scheduler.transports.base import Expanded, Program, Reply, Transport

NOT_YET = "nothing of it is submitted yet: "
WAY_OUT = ". The next poll (scheduler status) tries again; scheduler cancel withdraws it"


class Moody(Transport):
    """A site in a mood: `away` (no connection), `cutting` (the connection is lost while it reads), `denying` (submit.sh
    stops before its first batch), `killed` (so does a signal), `accepting`.

    Attributes:
        ran: the names of the programs that were to run.
    """

    def __init__(self, mood: str) -> None:
        self.mood, self.ran = mood, list[str]()

    def run(
        self,
        program: Program,
        args: Sequence[str | Expanded] = (),
        *,
        stdin: bytes | Iterable[bytes] = b"",
        stdout: Callable[[bytes], None] | None = None,
        timeout: float = 60.0,
    ) -> Reply:
        self.ran.append(program.name)
        if self.mood == "away":
            raise TransportError("farm: no route to host")
        next(iter([stdin] if isinstance(stdin, bytes) else stdin))
        if self.mood == "cutting":
            raise TransportError("farm: connection lost")
        if self.mood == "accepting":
            return Reply(program.name, 0, b"folder\t/w/tok\n0\t0\t4711\n", b"")
        code = {"denying": 70, "killed": 143}[self.mood]
        return Reply(program.name, code, b"", b"cannot make the work_dir /w")

    def upload_streams(self) -> int:
        if self.mood == "away":
            raise TransportError("farm: no route to host")
        return 1

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "a.sh").write_text("true\n")
    return Job("a", JobType.SCRIPT, script_path=tmp_path / "a.sh", working_dir=tmp_path / "out")


def tried(folder: Path, site: Moody, job: Job, *moods: str) -> Runner:
    """A runner that has tried to submit a job once in each mood."""
    keys = {"transport": "ssh", "host": "farm", "scheduler": "slurm", "work_dir": "/w"}
    opened = Runner(Site.from_mapping(keys, name="s"), ledger=Ledger(folder / "state"), transport=site)
    for site.mood in moods:
        with pytest.raises((TransportError, BatchError)):
            opened.submit([job])
    site.ran.clear()
    return opened


def reason(runner: Runner) -> str:
    """Why the last job of the ledger has its state."""
    return runner.ledger.chosen()[-1].status.reason


def spooled(folder: Path) -> list[Path]:
    return list((folder / "state/spool").iterdir())


@pytest.mark.parametrize("moods", [["away"], ["denying"], ["away", "denying", "away"]], ids=" ".join)
def test_a_job_of_which_nothing_was_submitted_says_so_and_is_cancelled_without_a_connection(
    tmp_path: Path, job: Job, moods: list[str]
) -> None:
    site = Moody("")
    with tried(tmp_path, site, job, *moods) as opened:
        why = reason(opened)
        assert job.state is JobState.SUBMITTING
        assert why.startswith(NOT_YET) and why.endswith(WAY_OUT)
        assert ("no route to host" if moods[-1] == "away" else "cannot make the work_dir") in why
        opened.cancel([job])
        [row] = opened.ledger.chosen()
        assert (str(row.status), row.status.reason) == ("cancelled", "withdrawn before anything of it was submitted")
        opened.session.dispatcher.resume()
        opened.session.dispatcher.send_waiting()
    assert site.ran == [] and spooled(tmp_path) == []


@pytest.mark.parametrize(
    "moods",
    [["cutting"], ["killed"], ["cutting", "away"], ["cutting", "denying"], ["denying", "cutting"]],
    ids=" ".join,
)
def test_a_job_that_was_perhaps_submitted_is_not_cancelled_without_its_site(
    tmp_path: Path, job: Job, moods: list[str]
) -> None:
    site = Moody("")
    with tried(tmp_path, site, job, *moods) as opened:
        assert not reason(opened).startswith(NOT_YET)
        site.mood = "away"
        with pytest.raises(TransportError, match="It is not known whether the site has these jobs"):
            opened.cancel([job])
        assert job.state is JobState.SUBMITTING
    assert site.ran == ["submit"]


def test_a_bundle_of_an_earlier_version_was_perhaps_submitted(tmp_path: Path, job: Job) -> None:
    site = Moody("")
    with tried(tmp_path, site, job, "away") as opened:
        next((tmp_path / "state/spool").glob("*.unsubmitted")).unlink()
        with pytest.raises(TransportError):
            opened.cancel([job])
        assert job.state is JobState.SUBMITTING


def test_once_the_site_accepts_the_job_its_reason_is_gone(tmp_path: Path, job: Job) -> None:
    site = Moody("")
    with tried(tmp_path, site, job, "away", "denying") as opened:
        site.mood = "accepting"
        opened.submit([job])
        assert (job.state, job.status.reason) == (JobState.QUEUED, "")
    assert spooled(tmp_path) == []


def test_of_several_jobs_one_is_withdrawn_and_the_others_are_submitted(tmp_path: Path, job: Job) -> None:
    other = Job("b", JobType.SCRIPT, script_path=tmp_path / "a.sh", working_dir=tmp_path / "other")
    site = Moody("away")
    with tried(tmp_path, site, job) as opened:
        site.mood = "away"
        with pytest.raises(TransportError):
            opened.submit([job, other])
        opened.cancel([job])
        states = [row.status.state for row in opened.ledger.chosen()]
        assert states == [JobState.CANCELLED, JobState.SUBMITTING]
        site.mood = "accepting"
        opened.submit([other])
        assert [row.status.state for row in opened.ledger.chosen()] == [JobState.CANCELLED, JobState.QUEUED]


@pytest.mark.parametrize(("mood", "certain"), [("away", True), ("cutting", False)])
def test_large_files_are_sent_only_after_a_note_that_they_are(
    tmp_path: Path, job: Job, mood: str, certain: bool
) -> None:
    (tmp_path / "large").write_bytes(bytes(upload.LARGE_BYTES + 1))
    large = Job("l", JobType.SCRIPT, script_path=tmp_path / "a.sh", working_dir=tmp_path / "l",
                input_files=[tmp_path / "large"])  # fmt: skip
    with tried(tmp_path, Moody(""), large, mood) as opened:
        assert reason(opened).startswith(NOT_YET) is certain


def test_jobs_that_wait_for_a_slot_keep_their_reason(tmp_path: Path) -> None:
    (tmp_path / "a.sh").write_text("true\n")
    jobs = [
        Job(name, JobType.SCRIPT, script_path=tmp_path / "a.sh", working_dir=tmp_path / name,
            resources=Resources(walltime=walltime))
        for name, walltime in (("now", "1h"), ("later", "2h"))
    ]  # fmt: skip
    keys = {"transport": "ssh", "host": "farm", "scheduler": "slurm", "work_dir": "/w", "limits": {"queued": 1}}
    site = Site.from_mapping(keys, name="s")
    with Runner(site, ledger=Ledger(tmp_path / "state"), transport=Moody("away")) as opened:
        with pytest.raises(TransportError):
            opened.submit(jobs)
        now, later = (row.status.reason for row in opened.ledger.chosen())
    assert now.startswith(NOT_YET) and later.startswith("waiting for a free slot")
