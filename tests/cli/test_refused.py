"""Jobs that the batch system refused are retried with the site file as it is today."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from scheduler import BatchError, Cause, JobState
from scheduler.cli.reconnect import site_of_jobs
from scheduler.site.catalog import find_site
from scheduler.transports.base import Expanded, Program, Reply

from ..engine.accepting import Accepting, World

SITE = "transport: local\nscheduler: slurm\nwork_dir: /w\naccount: {account}\n"


class Refusing(Accepting):
    """A site that refuses each batch."""

    def run(
        self, program: Program, args: Sequence[str | Expanded] = (), *, stdin: bytes | Iterable[bytes] = b"",
        stdout: Callable[[bytes], None] | None = None, timeout: float = 60.0,
    ) -> Reply:  # fmt: skip
        super().run(program, args, stdin=stdin, stdout=stdout, timeout=timeout)
        lines = f"folder\t/w/{args[1]}\n0\t1\tsbatch: error: Invalid account\n"
        return Reply(program.name, 0, lines.encode(), b"")


def test_a_refused_job_is_retried_after_the_site_was_fixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEDULER_CONFIG_DIR", str(tmp_path / "settings"))
    file = tmp_path / "settings/sites/hpc.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(SITE.format(account="wrong"))
    world = World(tmp_path)
    job, runner = world.job(), world.runner(site=find_site("hpc"), transport=Refusing())
    with pytest.raises(BatchError, match="Invalid account"):
        runner.submit([job])
    assert job.status.cause is Cause.REFUSED
    file.write_text(SITE.format(account="right"))
    key = runner.session.context.key
    assert site_of_jobs(key, world.ledger).account == "wrong"
    today = site_of_jobs(key, world.ledger, for_attempts=True)
    assert today.account == "right"
    again = world.job()
    world.runner(site=today).resubmit([again])
    [row] = world.ledger.chosen()
    assert (again.state, again.status.retries, row.retries) == (JobState.QUEUED, 1, 1)
    world.ledger.close()
