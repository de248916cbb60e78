"""What jobs tell of a process that is submitting them is removed when that process has gone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scheduler import Job, JobType, Runner, Site, TransportError
from scheduler.job.state import JobState
from scheduler.ledger.ledger import Ledger
from scheduler.transports.base import Reply
from scheduler.transports.local.transport import LocalTransport
from tests.wrapped import Wrapped


class Unreachable(Wrapped):
    """No command reaches the site."""

    def run(self, *_: object, **__: object) -> Reply:
        raise TransportError("unreachable, on purpose")


def _runner(folder: Path) -> Runner:
    site = Site.from_mapping({"transport": "local", "scheduler": "shell", "work_dir": str(folder / "w")}, name="s")
    return Runner(site, ledger=Ledger(folder / "state"), transport=Unreachable(LocalTransport()))


def test_a_job_does_not_name_a_killed_sender_any_more_after_the_next_resume(tmp_path: Path) -> None:
    (tmp_path / "a.sh").write_text("true\n")
    job = Job("a", JobType.SCRIPT, script_path=tmp_path / "a.sh", working_dir=tmp_path / "out")
    with _runner(tmp_path) as runner, pytest.raises(TransportError):
        runner.submit([job])
    with _runner(tmp_path) as runner:
        [row] = runner.ledger.chosen()
        status = replace(row.status, reason="being submitted by process 77 on old-laptop")
        runner.ledger.observe({row.key: status}, {row.key: "it is busy"}, was=JobState.SUBMITTING)
        assert "old-laptop" in runner.ledger.chosen()[0].status.reason
        with pytest.raises(TransportError):
            runner.session.dispatcher.resume()
        [row] = runner.ledger.chosen()
        assert row.status.state is JobState.SUBMITTING
        assert "old-laptop" not in row.status.reason
