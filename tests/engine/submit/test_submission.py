"""The submission of one bundle to a scripted site: what is refused, what is sent once more, what is recorded."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from scheduler import BatchError, Cause, Job, JobError, JobState, JobType, Runner, Site
from scheduler.ledger.ledger import Ledger
from scheduler.transports.base import Expanded, Program, Reply, Transport
from small_functions import representing

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"


class Replying(Transport):
    """A site that replies to submit.sh with given lines.

    Attributes:
        text, code: its reply: standard output and the exit code.
        args: the arguments of the last program.
        sent: bytes that the last program read from stdin.
    """

    def __init__(self, text: str, code: int = 0) -> None:
        self.text, self.code = text, code
        self.args: list[str | Expanded] = []
        self.sent = 0

    def run(
        self,
        program: Program,
        args: Sequence[str | Expanded] = (),
        *,
        stdin: bytes | Iterable[bytes] = b"",
        stdout: Callable[[bytes], None] | None = None,
        timeout: float = 60.0,
    ) -> Reply:
        self.args = list(args)
        self.sent = sum(map(len, [stdin] if isinstance(stdin, bytes) else stdin))
        return Reply(program.name, self.code, self.text.encode(), b"the error")

    def close(self) -> None:
        """Nothing is open."""


def runner(folder: Path, transport: Transport) -> Runner:
    keys = {"transport": "local", "scheduler": "slurm", "work_dir": "/w", "python": "/opt/python"}
    return Runner(Site.from_mapping(keys, name="s"), ledger=Ledger(folder / "state"), transport=transport)


def script(folder: Path) -> Job:
    (folder / "a.sh").write_text("true\n")
    return Job("a", JobType.SCRIPT, script_path=folder / "a.sh", working_dir=folder / "out")


def test_a_pickle_for_another_python_is_refused_and_nothing_of_it_is_recorded(tmp_path: Path) -> None:
    job = Job("closure", function=representing(object()), working_dir=tmp_path / "out")
    with runner(tmp_path, Replying("folder\t/w/tok\npython\t3.6\n")) as opened:
        wanted = (
            rf"site 's': .*cloudpickle .* version, {HERE}; the site's '/opt/python' is 3\.6\. Nothing was submitted"
        )
        with pytest.raises(JobError, match=wanted):
            opened.submit([job])
        assert opened.ledger.chosen() == []
        assert list((tmp_path / "state/spool").iterdir()) == []
    assert job.state is JobState.CREATED


def test_a_bundle_is_closed_once_every_batch_has_a_definite_outcome(tmp_path: Path) -> None:
    job, site = script(tmp_path), Replying("folder\t/w/tok\n")
    with runner(tmp_path, site) as opened:
        opened.submit([job])
        [row] = opened.ledger.chosen()
        assert (job.state, row.sent, row.folder) == (JobState.SUBMITTING, False, "/w/tok")
        site.text = "folder\t/w/tok\n0\t0\t4711\n"
        opened.submit([job])
        [row] = opened.ledger.chosen()
        assert (job.state, row.sent, row.batch_id) == (JobState.QUEUED, True, "4711")
        assert list((tmp_path / "state/spool").iterdir()) == []


def test_a_full_queue_leaves_the_job_waiting_for_a_slot(tmp_path: Path) -> None:
    job = script(tmp_path)
    full = "sbatch: error: QOSMaxSubmitJobPerUserLimit"
    with runner(tmp_path, Replying(f"folder\t/w/tok\n0\t1\t{full}\n")) as opened:
        opened.submit([job])
        [row] = opened.ledger.chosen()
    assert (job.state, row.waiting) == (JobState.SUBMITTING, True)
    assert job.status.reason == f"waiting for a free slot: {full}"


def test_a_refusal_quotes_the_batch_system(tmp_path: Path) -> None:
    job = script(tmp_path)
    with (
        runner(tmp_path, Replying("folder\t/w/tok\n0\t1\tsbatch: error: invalid account\n")) as opened,
        pytest.raises(BatchError, match="sbatch: error: invalid account"),
    ):
        opened.submit([job])
    assert (job.state, job.status.cause) == (JobState.FAILED, Cause.REFUSED)


def test_an_error_of_submit_sh_itself_is_reported_and_the_bundle_is_kept(tmp_path: Path) -> None:
    job = script(tmp_path)
    with runner(tmp_path, Replying("", code=70)) as opened:
        with pytest.raises(BatchError, match="site 's': nothing was submitted: the error"):
            opened.submit([job])
        assert [row.status.state for row in opened.ledger.chosen()] == [JobState.SUBMITTING]
        assert len(list((tmp_path / "state/spool").glob("*.tar.gz"))) == 1


def test_a_bundle_that_neither_side_has_any_more_is_lost(tmp_path: Path) -> None:
    job, site = script(tmp_path), Replying("empty\t\n")
    with runner(tmp_path, site) as opened:
        opened.submit([job])
        for file in (tmp_path / "state/spool").iterdir():
            file.unlink()
        opened.submit([job])
    assert (job.state, job.status.cause) == (JobState.FAILED, Cause.LOST)
    assert job.status.reason == "its bundle is neither on the site nor in the local spool; it was never submitted"


def test_who_holds_a_bundle_is_named_and_no_longer_once_it_is_free(tmp_path: Path) -> None:
    job, site = script(tmp_path), Replying("folder\t/w/tok\n")
    with runner(tmp_path, site) as opened:
        opened.submit([job])
        site.text = "folder\t/w/tok\nbusy\tprocess 3 on laptop-a, since 2026-11-28T23:02:00+0000\n"
        opened.submit([job])
        assert job.status.reason == (
            "an earlier submission of it may still be at work on the site: process 3 on laptop-a, since "
            "2026-11-28T23:02:00+0000; if it was killed, this is known after 10 minutes"
        )
        site.text = "folder\t/w/tok\n"
        opened.submit([job])
        assert (job.state, job.status.reason) == (JobState.SUBMITTING, "")
        site.text = "folder\t/w/tok\n0\t0\t4711\n"
        opened.submit([job])
        assert job.state is JobState.QUEUED
