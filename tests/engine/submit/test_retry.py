"""Failed jobs are retried, on a machine without a batch system: once, by any process, with all their files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scheduler import Cause, ConfigError, Job, JobError, JobType, Resources, Retry, Runner, Site
from scheduler.batch.base import find
from scheduler.cli.reconnect import open_session
from scheduler.engine.poll.poll import poll
from scheduler.engine.submit.retry import requests_by_user
from scheduler.job.state import JobState, Status
from scheduler.ledger.ledger import Ledger
from scheduler.transports.local.transport import LocalTransport
from small_functions import fail_first, failing_first
from tests import ROOT
from tests.clocks import path_with_sleep
from tests.unpacked import until
from tests.wrapped import Counting

RETRY_ONCE = Retry(times=1, exit_codes=[7])
FAILS_FIRST = """\
echo run >>"$RUNS/$JOB_ID"
echo "attempt $(wc -l <"$RUNS/$JOB_ID" | tr -d ' ')"
[ "$(wc -l <"$RUNS/$JOB_ID")" -gt 1 ] || exit 7
"""
LOCAL = {"transport": "local", "scheduler": "shell"}


class World:
    """A site with its work_dir, a ledger, and jobs that write a line to a file each time they run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.work, self.runs = folder, folder / "work it's", folder / "runs"
        self.runs.mkdir()

    def site(self, **more: Any) -> Site:
        keys = {**LOCAL, "work_dir": str(self.work), "limits": {"poll_seconds": 0.05, "running": 4}}
        return Site.from_mapping(keys | more, name="local")

    def runner(self, **options: Any) -> Runner:
        site = options.pop("site", None) or self.site()
        return Runner(site, ledger=Ledger(self.folder / "state"), **options)

    def job(self, job_id: str, text: str = FAILS_FIRST, **more: Any) -> Job:
        script, temporary = self.folder / f"{job_id}.sh", self.folder / f"{job_id}.{os.getpid()}"
        temporary.write_text(text)
        temporary.replace(script)  # at once: another process may be reading it
        given = {"retry": RETRY_ONCE, "env_vars": {"RUNS": str(self.runs)}, "working_dir": self.folder / "out" / job_id}
        return Job(job_id, JobType.SCRIPT, script_path=script, **{**given, **more})

    def ran(self, job_id: str) -> int:
        """How often it has started."""
        file = self.runs / job_id
        return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    yield World(tmp_path)


def test_a_failed_job_is_retried_and_has_the_results_of_its_last_attempt(world: World) -> None:
    one = world.job("a")
    with world.runner() as runner:
        runner.submit([one])
        runner.wait([one], timeout=600)
        [row] = runner.ledger.of_keys(runner.keys([one]))
        [first] = runner.ledger.attempts.of([row.key])
    assert (str(one.status), one.status.retries, world.ran("a")) == ("completed", 1, 2)
    assert one.attempts == 2
    assert Path(str(one.stdout)).read_text() == "attempt 2\n"
    assert (str(first.status), first.retries) == ("failed: exit code 7", 0)
    assert (Path(str(first.folder)) / "0/stdout.0").read_text() == "attempt 1\n"


def test_a_job_that_completes_in_its_first_attempt_has_one(world: World) -> None:
    one = world.job("a", "true")
    with world.runner() as runner:
        runner.submit([one])
        runner.wait([one], timeout=600)
    assert one.is_completed() and one.attempts == 1


def test_a_retry_needs_no_local_files_of_the_job(world: World) -> None:
    data = world.folder / "data"
    data.mkdir()
    (data / "it's.txt").write_text("42")
    text = 'cat "data/it\'s.txt" && rm -r data && cat "$JOB_PARAMS_FILE" && ' + FAILS_FIRST
    more = {
        "params": {"x": "it's"},
        "arguments": ["{{ x }}"],
        "input_files": [data],
        "retry": Retry(times=2, exit_codes=[7]),
    }
    one = world.job("a", text.replace("-gt 1", "-gt 2"), **more)
    with world.runner() as runner:
        runner.submit([one])
        shutil.rmtree(data)
        Path(str(one.script_path)).unlink()
        runner.wait([one], timeout=600)
    assert (one.is_completed(), one.status.retries, world.ran("a")) == (True, 2, 3)
    assert Path(str(one.stdout)).read_text() == '42{"x": "it\'s"}attempt 3\n'


def test_a_function_is_retried_whether_it_was_sent_as_source_or_pickled(world: World) -> None:
    runs = {name: str(world.runs / name) for name in ("source", "pickle")}
    more = {"retry": RETRY_ONCE}
    as_source = Job("s", function=fail_first, params={"runs": runs["source"]}, working_dir=world.folder / "s", **more)  # type: ignore[arg-type]
    as_pickle = Job("p", function=failing_first(runs["pickle"]), working_dir=world.folder / "p", **more)  # type: ignore[arg-type]
    with world.runner() as runner:
        runner.submit([as_source, as_pickle])
        runner.wait(timeout=600)
    for one in (as_source, as_pickle):
        assert (one.get_results().get("answer"), one.attempts) == (42, 2), one.get_results()


def test_each_retry_after_a_time_limit_asks_for_more_time_up_to_the_site_limit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt is at its time limit as soon as its payload has started."""
    ended = {seconds: f"'{world.runs}/a.{n}'" for n, seconds in enumerate((60, 120, 180), start=1)}
    monkeypatch.setenv("PATH", path_with_sleep(world.folder / "bin", ended))
    retry = Retry(times=5, on=["time limit"], walltime_factor=2)
    text = 'echo run >>"$RUNS/a"; touch "$RUNS/a.$(wc -l <"$RUNS/a" | tr -d " ")"; exec sleep 3600'
    one = world.job("a", text, retry=retry, resources=Resources(walltime="1m"))
    site = world.site(limits={"poll_seconds": 0.05, "walltime": "3m"})
    with world.runner(site=site) as runner:
        runner.submit([one])
        runner.wait([one], timeout=600)
        history = [text for _, text in runner.ledger.history(runner.keys([one])[0])]
    assert (one.status.cause, one.status.retries, world.ran("a")) == (Cause.TIME_LIMIT, 2, 3)
    assert one.status.reason.endswith("; not retried: it had all the time that the site allows, 00:03:00")
    assert "attempt 2, after failed: time limit: walltime 00:01:00 → 00:02:00" in history
    assert "attempt 3, after failed: time limit: walltime 00:02:00 → 00:03:00" in history


def test_the_retry_rule_of_a_site_applies_to_jobs_without_one(world: World) -> None:
    site = world.site(retry={"times": 1, "exit_codes": [7]})
    without, never = world.job("without", retry=None), world.job("never", retry=Retry())
    with world.runner(site=site) as runner:
        runner.submit([without, never])
        runner.wait(timeout=600)
    assert [without.is_completed(), never.is_completed()] == [True, False]
    assert [world.ran("without"), world.ran("never")] == [2, 1]


def test_an_unknown_key_of_retry_in_a_site_file_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"retry\.exit_code: no such key; did you mean 'exit_codes'"):
        Site.from_mapping({**LOCAL, "work_dir": "/w", "retry": {"exit_code": [1]}}, name="s")


def test_more_memory_than_the_site_allows_is_refused_before_anything_is_sent(world: World) -> None:
    site = world.site(limits={"memory": "1 GB"})
    with (
        world.runner(site=site) as runner,
        pytest.raises(JobError, match=r"memory: 2048M is above the limit of site 'local', 1024M"),
    ):
        runner.submit([world.job("a", resources=Resources(memory="2 GB"))])
    with pytest.raises(ConfigError, match=r"defaults\.memory: is above limits\.memory"):
        world.site(limits={"memory": "1 GB"}, defaults={"memory": "2 GB"})


def test_retries_of_array_tasks_share_a_new_array_and_cost_one_more_command(world: World) -> None:
    jobs = [world.job(f"j{n}", FAILS_FIRST if n % 2 else "true") for n in range(40)]
    transport = Counting(LocalTransport())
    with world.runner(transport=transport) as runner:
        runner.submit(jobs)
        until(lambda: all((world.runs / f"j{n}").exists() for n in range(1, 40, 2)))
        until(lambda: len(list(world.work.glob("*/ends/*.0"))) == 40)
        transport.ran.clear()
        runner.poll()
        assert transport.ran == ["poll", "submit"]
        assert [job.status.retries for job in jobs] == [0, 1] * 20
        rows = runner.ledger.of_keys(runner.keys(jobs))
        again = [row for row in rows if row.retries]
        assert len({row.bundle for row in rows}) == 2
        assert {(row.first, row.in_array) for row in again} == {(0, True)}
        runner.wait(jobs, timeout=600)
        assert transport.ran.count("submit") == 1
    assert all(job.is_completed() for job in jobs)
    assert [world.ran(f"j{n}") for n in range(1, 40, 2)] == [2] * 20


def test_jobs_of_several_submissions_are_retried_in_one_command(world: World) -> None:
    transport = Counting(LocalTransport())
    with world.runner(transport=transport) as runner:
        jobs = [world.job(f"j{n}") for n in range(3)]
        for one in jobs:
            runner.submit([one])
        until(lambda: len(list(world.work.glob("*/ends/*.0"))) == 3)
        transport.ran.clear()
        runner.poll()
        assert transport.ran == ["poll", "submit"]
        runner.wait(jobs, timeout=600)
    assert [job.is_completed() for job in jobs] == [True] * 3
    assert [Path(str(job.stdout)).read_text() for job in jobs] == ["attempt 2\n"] * 3


def test_a_job_whose_remote_folder_was_deleted_keeps_its_status_and_others_are_retried(world: World) -> None:
    gone, kept = world.job("gone"), world.job("kept")
    with world.runner() as runner:
        runner.submit([gone])
        runner.submit([kept])
        until(lambda: len(list(world.work.glob("*/ends/*.0"))) == 2)
        [row] = runner.ledger.of_keys(runner.keys([gone]))
        lost = Path(str(row.folder))
        end = lost / "0/script.sh"  # the poll still reads its end file
        end.unlink()
        runner.wait(timeout=600)
    assert (str(gone.status), gone.status.retries, world.ran("gone")) == ("failed: exit code 7", 0, 1)
    assert f"not retried: the folder of the earlier attempt, {lost}/0, no longer exists" in gone.status.reason
    assert Path(str(gone.stdout)).read_text() == "attempt 1\n"
    assert (kept.is_completed(), world.ran("kept")) == (True, 2)


def test_a_job_whose_template_was_deleted_is_not_retried_and_others_are(world: World) -> None:
    own = world.folder / "own.j2"
    own.write_text('{% extends "shell.sh.j2" %}\n')
    one, other = world.job("a", template=own), world.job("b")
    with world.runner() as runner:
        runner.submit([one, other])
        own.unlink()
        runner.wait(timeout=600)
    assert (str(one.status), world.ran("a"), other.is_completed()) == ("failed: exit code 7", 1, True)
    assert "not retried: job 'a' on site 'local': template" in one.status.reason


def test_a_cancelled_job_is_not_retried_however_it_ends(world: World) -> None:
    text = 'echo run >>"$RUNS/$JOB_ID"; trap "exit 7" TERM; touch begun; while :; do sleep 0.1; done'
    one, late = world.job("one", text), world.job("late")
    with world.runner() as runner:
        runner.submit([one, late])
        until(lambda: Path(one.working_dir, "begun").exists())
        until(lambda: list(world.work.glob("*/ends/1.0")))
        runner.cancel([one, late])  # the second has finished, and no poll has observed it yet
        runner.wait(timeout=600)
    assert [world.ran("one"), world.ran("late")] == [1, 1]
    assert [str(one.status), str(late.status)] == ["cancelled", "failed: exit code 7"]


def test_a_job_that_is_due_for_a_retry_is_not_collected(world: World) -> None:
    one = world.job("a")
    with world.runner() as runner:
        runner.submit([one])
        until(lambda: list(world.work.glob("*/ends/0.0")))
        ledger, key = runner.ledger, runner.keys([one])[0]
        work = runner.session
        poll(work.context)  # like a process that is killed before it plans the retry
        assert work.due_for_retry(ledger.of_keys([key])) == {key}
        runner.collect([one])
        assert not ledger.of_keys([key])[0].collected
        assert not one.final  # a job that is due for a retry is not final
        runner.wait([one], timeout=600)
    assert one.is_completed()


def test_if_the_work_dir_cannot_be_written_other_jobs_are_still_followed(world: World) -> None:
    go = world.folder / "go"
    one, other = world.job("a"), world.job("other", f"until [ -e '{go}' ]; do sleep 0.1; done")
    with world.runner() as runner:
        runner.submit([one, other])
        until(lambda: list(world.work.glob("*/ends/0.0")))
        poll(runner.session.context)
        aside = world.work.rename(world.folder / "aside")
        world.work.write_text("a file instead of the work_dir")
        runner.poll()
        assert "nothing was submitted: " in runner.trouble
        assert (one.queued, one.status.retries) == (True, 1)
        world.work.unlink()
        aside.rename(world.work)
        go.touch()
        runner.wait(timeout=600)
    assert [one.is_completed(), other.is_completed(), world.ran("a")] == [True, True, 2]


# At the user's request


def test_a_collected_job_can_be_retried_by_the_user_and_its_results_are_replaced(world: World) -> None:
    one = world.job("a", retry=None, resources=Resources(memory="300 MB", walltime="5m"))
    with world.runner() as runner:
        runner.submit([one])
        runner.wait([one], timeout=600)
        assert (one.has_failed(), one.exit_code) == (True, 7)
        runner.retry([one], memory="6GB", walltime="4h")
        assert (one.queued, one.get_results(), one.end_time) == (True, {}, None)
        [row] = runner.ledger.of_keys(runner.keys([one]))
        assert ('"memory": "6144M"' in row.resources, '"walltime": "04:00:00"' in row.resources) == (True, True)
        runner.wait([one], timeout=600)
    assert (one.is_completed(), one.attempts) == (True, 2)
    assert "error" not in one.get_results()


def test_a_user_retry_names_the_jobs_that_cannot_be_retried_and_submits_the_others(world: World) -> None:
    bad, good, runs = world.job("bad", retry=None), world.job("good", "true"), world.job("runs", "sleep 3600")
    with world.runner() as runner:
        runner.submit([bad, good, runs])
        runner.wait([bad, good], timeout=600)
        with pytest.raises(JobError, match="2 of 3 jobs are not retried, 'good' first: it completed"):
            runner.retry([good, bad, runs])
        with pytest.raises(JobError, match=r"'runs' first: it has not finished"):
            runner.retry([runs])
        with pytest.raises(JobError, match="was not submitted by this runner"):
            runner.retry([world.job("stranger")])
        runner.wait([bad], timeout=600)
        runner.cancel([runs])
        runner.wait([runs], timeout=600)
    assert (bad.is_completed(), world.ran("bad")) == (True, 2)


def test_a_user_retry_may_not_ask_for_more_than_the_site_allows(world: World) -> None:
    one = world.job("a", retry=None)
    with world.runner(site=world.site(limits={"poll_seconds": 0.05, "memory": "1 GB"})) as runner:
        runner.submit([one])
        runner.wait([one], timeout=600)
        with pytest.raises(
            JobError, match="job 'a': resources: memory: 6144M is above the limit of site 'local', 1024M"
        ):
            runner.retry([one], memory="6 GB")
        with pytest.raises(JobError, match="has no unit"):
            runner.retry([one], memory="6")
        assert one.has_failed()


def test_a_user_retry_reports_a_missing_remote_folder_and_keeps_the_results(world: World) -> None:
    one = world.job("a", retry=None)
    with world.runner() as runner:
        runner.submit([one])
        runner.wait([one], timeout=600)
        results = dict(one.get_results())
        shutil.rmtree(world.work)
        with pytest.raises(JobError, match=r"the folder of the earlier attempt, .*, no longer exists"):
            runner.retry([one])
    assert (str(one.status), one.get_results()) == ("failed: exit code 7", results)


# Killed processes


_KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.engine.submit.test_retry import World
from tests.wrapped import Counting
from scheduler.ledger.ledger import Ledger
from scheduler.transports.local.transport import LocalTransport
world = World.__new__(World)
world.folder = Path(sys.argv[1]); world.work, world.runs = world.folder / "work it's", world.folder / "runs"

class Deadly(Counting):
    def run(self, program, *args, **more):
        if program.name == "submit" and "submit" in self.ran:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run(program, *args, **more)

runner = world.runner(transport=Deadly(LocalTransport()))
one = world.job("a")
runner.submit([one])
runner.wait([one], timeout=600)
"""


def test_after_a_process_is_killed_between_plan_and_submission_the_next_one_submits(world: World) -> None:
    command = [sys.executable, "-c", _KILLED, str(world.folder), str(ROOT)]
    assert subprocess.run(command, timeout=600).returncode == -signal.SIGKILL
    ledger = Ledger(world.folder / "state")
    [row] = ledger.chosen()
    assert (str(row.status), row.retries, row.sent) == ("submitting", 1, False)
    with open_session("local", ledger) as work:
        work.wait([row.key], timeout=600)
    [row] = ledger.chosen()
    assert (str(row.status), row.retries, world.ran("a")) == ("completed", 1, 2)
    assert not list((world.folder / "state/spool").iterdir())
    ledger.close()


_DRIVER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.engine.submit.test_retry import World
world = World.__new__(World)
world.folder = Path(sys.argv[1]); world.work, world.runs = world.folder / "work it's", world.folder / "runs"
jobs = [world.job(f"j{n}") for n in range(6)]
with world.runner(campaign="scan") as runner:
    time.sleep(max(0.0, float(sys.argv[3]) - time.time()))
    runner.submit(jobs)
    runner.wait(jobs, timeout=600)
print(" ".join(f"{job.status}/{job.status.retries}" for job in jobs))
"""


@pytest.mark.slow
def test_several_processes_retry_a_job_once(world: World) -> None:
    start = str(time.time() + 2.0)
    command = [sys.executable, "-c", _DRIVER, str(world.folder), str(ROOT), start]
    drivers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = [driver.communicate(timeout=600)[0].strip() for driver in drivers]
    assert printed == [" ".join(["completed/1"] * 6)] * 3
    assert [world.ran(f"j{n}") for n in range(6)] == [2] * 6


def test_an_interrupted_copy_of_an_earlier_attempt_is_repeated(world: World) -> None:
    one = world.job("a", retry=None)
    with world.runner() as runner:
        runner.submit([one])
        runner.wait([one], timeout=600)
        runner.retry([one])
        [row] = runner.ledger.of_keys(runner.keys([one]))
        bundle = Path(str(row.folder))
        runner.wait([one], timeout=600)
        for path in (
            "batches/0/id",
            "batches/0/tried",
            "batches/0/copied",
            "0/script.sh",
            "guards/0",
        ):
            (bundle / path).unlink()
        (bundle / "ends/0.0").rename(bundle / "ends/.old")
        runner.session.dispatcher.send(row.bundle)
        until(lambda: (bundle / "ends/0.0").exists())
    assert (bundle / "0/script.sh").read_text().count("\nelement=0\n") == 1
    assert (bundle / "0/shared").is_symlink() and not (bundle / "0/shared/shared").exists()


@pytest.mark.parametrize(("batch_system", "exclude"), [("slurm", ("n1",)), ("pbs", ()), ("shell", ())])
def test_a_node_is_excluded_and_named_only_where_the_batch_system_can_exclude_it(
    world: World, batch_system: str, exclude: tuple[str, ...]
) -> None:
    with world.runner() as runner:
        job = world.job("n", retry=Retry(times=1))
        runner.submit([job])
        runner.wait([job], timeout=600)
        [row] = runner.ledger.of_keys(runner.keys([job]))
        failed = replace(row, status=Status(JobState.FAILED, Cause.NODE_FAILURE, node="n1"))
        context = replace(runner.session.context, system=find(batch_system))
        [request] = requests_by_user([failed], context, memory=None, walltime=None)
    assert request.again.exclude == exclude
    assert request.why.partition("node failure")[2] == (": not on n1" if exclude else "")
