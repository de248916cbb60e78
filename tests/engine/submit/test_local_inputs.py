"""On a site where jobs run in their working_dir, an input replaces nothing of the user, and no job changes an input."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from scheduler import Job, JobError, JobType, Runner, Site
from scheduler.ledger.ledger import Ledger


class Room:
    """A local site, a script that changes its inputs, and two inputs: a file and a folder."""

    def __init__(self, folder: Path) -> None:
        keys = {"transport": "local", "scheduler": "shell", "work_dir": str(folder / "jobs")}
        self.site = Site.from_mapping({**keys, "limits": {"poll_seconds": 0.2}}, name="here")
        self.ledger, self.folder, self.out = Ledger(folder / "state"), folder, folder / "out"
        (folder / "s.sh").write_text("echo changed >>a.txt; echo changed >>d/x\n")
        (folder / "d").mkdir()
        for name in ("a.txt", "d/x"):
            (folder / name).write_text("input\n")

    def submitted(self, *inputs: Path) -> tuple[Runner, Job]:
        runner = Runner(self.site, ledger=self.ledger)
        script = self.folder / "s.sh"
        job = Job("j", JobType.SCRIPT, script_path=script, working_dir=self.out, input_files=inputs)
        runner.submit([job])
        return runner, job

    def refused(self, words: str, *inputs: Path) -> None:
        with pytest.raises(JobError, match=words):
            self.submitted(*inputs)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_what_the_user_has_in_the_working_dir_is_not_replaced(room: Room) -> None:
    room.out.mkdir()
    for name in ("a.txt", "d"):
        (room.out / name).mkdir() if name == "d" else (room.out / name).touch()
        room.refused(f"input_files: {name!r} would replace .*{name}", room.folder / "a.txt", room.folder / "d")
        (room.out / name).rename(room.folder / f"old {name}")
    (room.out / "a.txt").symlink_to("nowhere")
    room.refused("input_files: 'a.txt' would replace", room.folder / "a.txt")
    assert (room.out / "a.txt").is_symlink()
    assert not list((room.folder / "jobs").glob("*")), "nothing was sent"


def test_an_input_that_is_in_the_working_dir_is_refused(room: Room) -> None:
    room.out.mkdir()
    (room.out / "a.txt").write_text("mine\n")
    (room.folder / "link").symlink_to(room.out / "a.txt")
    room.refused("'a.txt' is in the working_dir .*/out' itself: on site 'here' jobs run in", room.out / "a.txt")
    (room.folder / "elsewhere").mkdir()
    (room.folder / "elsewhere" / "a.txt").hardlink_to(room.out / "a.txt")
    room.refused("is in the working_dir", room.folder / "elsewhere" / "a.txt")
    assert (room.out / "a.txt").read_text() == "mine\n"


def test_copies_of_an_earlier_job_are_replaced_until_the_user_changes_them(room: Room) -> None:
    inputs = room.folder / "a.txt", room.folder / "d"
    for content in ("input\n", "another\n"):
        inputs[0].write_text(content)
        runner, job = room.submitted(*inputs)
        runner.wait([job])
        assert job.is_completed(), job.status
        assert (room.out / "a.txt").read_text() == f"{content}changed\n"
        assert inputs[0].read_text() == content
    assert job.end_time is not None
    while time.time() < job.end_time.timestamp() + 2:  # the end of a job is known to the second
        time.sleep(0.1)
    (room.out / "d" / "note").write_text("mine\n")
    room.refused("'d' would replace .*/out/d', which no earlier job has copied there, or which has changed", *inputs)
    assert (room.out / "d" / "note").read_text() == "mine\n"
