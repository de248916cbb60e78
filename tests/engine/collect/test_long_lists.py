"""Outputs whose list is too long to be read at once: it is read in parts, and a job that alone has too many is bad."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from scheduler import Cause, Job, JobState, JobType, OutputError, Runner, Site
from scheduler.engine.collect import collect, listing
from scheduler.errors import ReplyTooLong
from scheduler.ledger.ledger import Ledger
from scheduler.transports.base import Expanded, Program, Reply
from scheduler.transports.local.transport import LocalTransport
from tests.wrapped import Wrapped


class Listings(Wrapped):
    """Counts the jobs of each list of outputs. A list of more than `most` jobs is too long."""

    def __init__(self, most: int = 1000) -> None:
        super().__init__(LocalTransport())
        self.counts: list[int] = []
        self.most = most

    def run(self, program: Program, args: Sequence[str | Expanded] = (), **streams: object) -> Reply:
        if program.name == "manifest":
            stdin = streams["stdin"]
            assert isinstance(stdin, bytes)
            self.counts.append(stdin.count(b"\n"))
            if self.counts[-1] > self.most:
                raise ReplyTooLong("the output is larger than 64 MiB")
        return super().run(program, args, **streams)  # type: ignore[arg-type]


def _jobs(tmp_path: Path, *counts: int) -> list[Job]:
    script = tmp_path / "many.sh"
    script.write_text('for n in $(seq "$1"); do echo "$n" >"$n.dat"; done\n')
    return [
        Job(f"j{number}", JobType.SCRIPT, script_path=script, arguments=[count], output_files=["*.dat"],
            working_dir=tmp_path / f"j{number}")
        for number, count in enumerate(counts)
    ]  # fmt: skip


def _runner(tmp_path: Path, transport: Listings) -> Runner:
    limits = {"poll_seconds": 0.1, "running": 4}
    values = {"transport": "local", "scheduler": "shell", "work_dir": str(tmp_path / "work"), "limits": limits}
    site = Site.from_mapping(values, name="many")
    return Runner(site, ledger=Ledger(tmp_path / "state"), transport=transport)


def _finish(runner: Runner, jobs: Sequence[Job]) -> None:
    runner.submit(jobs)
    while not all(job.state.final for job in jobs):
        runner.poll()


def test_a_job_with_too_many_files_is_bad_and_the_others_are_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "JOBS_PER_LIST", 4)
    monkeypatch.setattr(listing, "MOST_FILES", 25)
    jobs = _jobs(tmp_path, 3, 2, 40, 3, 2, 1)
    with _runner(tmp_path, Listings()) as runner:
        _finish(runner, jobs)
        runner.wait(jobs, timeout=600)
    assert [job.state for job in jobs] == [JobState.COMPLETED] * 2 + [JobState.FAILED] + [JobState.COMPLETED] * 3
    assert jobs[2].status.cause is Cause.BAD_OUTPUT and "more than 25 files" in jobs[2].status.reason
    assert [len(list((tmp_path / f"j{n}").glob("*.dat"))) for n in (0, 1, 3, 4, 5)] == [3, 2, 3, 2, 1]


@pytest.mark.parametrize(("most", "expected"), [(1000, [5]), (3, [5, 2, 3]), (1, [5, 2, 1, 1, 3, 1, 2, 1, 1])])
def test_a_list_that_is_too_long_is_read_in_halves(tmp_path: Path, most: int, expected: list[int]) -> None:
    jobs, transport = _jobs(tmp_path, 1, 1, 1, 1, 1), Listings(most)
    with _runner(tmp_path, transport) as runner:
        _finish(runner, jobs)
        runner.session.collect([row.key for row in runner.ledger.chosen()])
        assert transport.counts == expected
        runner.wait(jobs, timeout=600)
    assert all(job.state is JobState.COMPLETED for job in jobs)


def test_a_site_whose_every_list_is_too_long_ends_the_collection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "MOST_SPLITS", 2)
    jobs, transport = _jobs(tmp_path, 1, 1, 1, 1, 1, 1), Listings(0)
    with _runner(tmp_path, transport) as runner:
        _finish(runner, jobs)
        with pytest.raises(OutputError, match="too many or too long"):
            runner.session.collect([row.key for row in runner.ledger.chosen()])
