"""Outputs that were removed or changed on this machine are reported, and collected again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler import Job, JobType, OutputError, Runner, Site
from scheduler.ledger.ledger import Ledger


class World:
    """A campaign of one job with two outputs, which has completed. It ran in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        (folder / "a.sh").write_text("echo 1 >a.root; echo 2 >b.root; echo '{}' >result.json\n")
        keys = {"transport": "local", "scheduler": "shell", "work_dir": str(folder / "work")}
        self.site = Site.from_mapping({**keys, "limits": {"poll_seconds": 0.02}}, name="local")

    def runner(self) -> Runner:
        return Runner(self.site, campaign="scan", ledger=Ledger(self.folder / "state"))

    def jobs(self) -> list[Job]:
        return [
            Job(f"j{n}", JobType.SCRIPT, script_path=self.folder / "a.sh", working_dir=self.out, output_files=names)
            for n, names in enumerate((["a.root"], ["b.root"]))
        ]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    with world.runner() as runner:
        jobs = world.jobs()
        runner.submit(jobs)
        runner.wait(jobs, timeout=600)
        assert [job.outputs for job in jobs] == [
            {"a.root": [str(world.out / "a.root")]},
            {"b.root": [str(world.out / "b.root")]},
        ]
    yield world


@pytest.mark.parametrize("how", ["removed", "changed", "longer"])
def test_outputs_that_were_removed_or_changed_are_reported_when_the_job_is_adopted(how: str, world: World) -> None:
    file = world.out / "a.root"
    if how == "removed":
        file.unlink()
    else:
        file.write_text("7\n" if how == "changed" else "more\n")
    what = f"'{file}' was {'removed' if how == 'removed' else 'changed'} on this machine since it was collected"
    first, second = world.jobs()
    with world.runner() as runner:
        runner.submit([first, second])
        runner.wait([first, second], timeout=600)
        assert first.is_completed() and what in first.status.reason and "collect --again" in first.status.reason
        with pytest.raises(OutputError, match=r"'j0': .* was (removed|changed) on this machine"):
            first.outputs  # noqa: B018
        assert first.get_results() == {}
        assert (second.status.reason, second.outputs) == ("", {"b.root": [str(world.out / "b.root")]})
        runner.session.collect_again(runner.keys([first]), to=None)
        assert first.result() == {} and file.read_text() == "1\n"
    third = world.jobs()[0]
    with world.runner() as runner:
        runner.submit([third])
        assert third.status.reason == "" and third.outputs == {"a.root": [str(file)]}


def test_a_file_with_another_time_and_the_same_content_is_as_it_was(world: World) -> None:
    os.utime(world.out / "a.root", (1, 1))
    [first, _] = world.jobs()
    with world.runner() as runner:
        runner.submit([first])
        assert first.status.reason == "" and first.outputs


def test_outputs_can_be_collected_once_more_to_another_folder(world: World, tmp_path: Path) -> None:
    jobs = world.jobs()
    (world.out / "b.root").unlink()
    with world.runner() as runner:
        runner.submit(jobs)
        runner.session.collect_again(runner.keys(jobs), to=tmp_path / "else")
        assert (tmp_path / "else/j0/a.root").read_text() == "1\n" and (tmp_path / "else/j1/b.root").read_text() == "2\n"
        with pytest.raises(OutputError):
            jobs[1].outputs  # noqa: B018


def test_an_output_that_the_site_does_not_have_any_more_is_an_error_of_its_job_alone(world: World) -> None:
    jobs = world.jobs()
    with world.runner() as runner:
        runner.submit(jobs)
        Path(jobs[0].remote_outputs[0].path).unlink()
        Path(jobs[1].remote_outputs[0].path).write_text("3\n")
        for job, why in zip(jobs, ("no longer exists", "is not the file that was collected"), strict=True):
            with pytest.raises(OutputError, match=f"'{job.job_id}': .*{why}"):
                runner.session.collect_again(runner.keys([job]), to=None)
            assert job.is_completed()
