"""Jobs that fail are tried again, on a machine without a batch system: by whoever sees it, once, with all they need."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scheduler import Cause, ConfigError, Job, JobError, JobType, Resources, Retry, Runner, Site
from scheduler.cli.reconnect import open_session
from scheduler.engine.poll import poll
from scheduler.ledger.ledger import Ledger
from scheduler.transports.local.transport import LocalTransport
from tests import ROOT
from tests.sleeping import path_with_sleep
from tests.unpacked import until
from tests.wrapped import Counting

ONCE_MORE = Retry(times=1, exit_codes=[7])
FAILS_FIRST = """\
echo run >>"$RUNS/$JOB_ID"
echo "attempt $(wc -l <"$RUNS/$JOB_ID" | tr -d ' ')"
[ "$(wc -l <"$RUNS/$JOB_ID")" -gt 1 ] || exit 7
"""
LOCAL = {"transport": "local", "scheduler": "shell"}


class World:
    """A work folder, a ledger, jobs that leave a line each time they run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.work, self.runs = folder, folder / "work it's", folder / "runs"
        self.runs.mkdir()

    def site(self, **more: Any) -> Site:
        keys = {**LOCAL, "work_dir": str(self.work), "limits": {"poll_seconds": 0.05, "running": 4}}
        return Site.from_mapping(keys | more, name="here")

    def runner(self, **options: Any) -> Runner:
        site = options.pop("site", None) or self.site()
        return Runner(site, ledger=Ledger(self.folder / "state"), **options)

    def job(self, job_id: str, text: str = FAILS_FIRST, **more: Any) -> Job:
        script = self.folder / f"{job_id}.sh"
        script.write_text(text)
        given = {"retry": ONCE_MORE, "env_vars": {"RUNS": str(self.runs)}, "working_dir": self.folder / "out" / job_id}
        return Job(job_id, JobType.SCRIPT, script_path=script, **{**given, **more})

    def ran(self, job_id: str) -> int:
        """How often it has begun."""
        file = self.runs / job_id
        return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    yield World(tmp_path)


def test_a_job_that_fails_is_tried_again_and_what_came_of_it_is_the_last_attempts(world: World) -> None:
    one = world.job("a")
    with world.runner() as runner:
        runner.submit([one])
        runner.wait([one], timeout=600)
        [row] = runner.ledger.of_keys(runner.keys([one]))
        [first] = runner.ledger.attempts.of([row.key])
    assert (str(one.status), one.status.retries, world.ran("a")) == ("completed", 1, 2)
    assert one.get_results()["attempts"] == 2
    assert Path(one.get_results()["stdout"]).read_text() == "attempt 2\n"
    assert (str(first.status), first.retries) == ("failed: exit code 7", 0)
    assert (Path(str(first.folder)) / "0/stdout.0").read_text() == "attempt 1\n"


def test_a_job_that_succeeds_at_once_has_no_count_of_attempts(world: World) -> None:
    one = world.job("a", "true")
    with world.runner() as runner:
        runner.submit([one])
        runner.wait([one], timeout=600)
    assert one.is_completed() and "attempts" not in one.get_results()


def test_nothing_that_it_needs_must_exist_here_any_more(world: World) -> None:
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
    assert Path(one.get_results()["stdout"]).read_text() == '42{"x": "it\'s"}attempt 3\n'


def _fails_first(runs: str) -> dict[str, int]:
    import sys

    with open(runs, "a") as file:  # noqa: PTH123
        file.write("run\n")
    if os.path.getsize(runs) < 5:  # noqa: PTH202
        sys.exit(7)
    return {"answer": 42}


def test_a_function_is_tried_again_whether_it_went_as_source_or_as_a_pickle(world: World) -> None:
    runs = {name: str(world.runs / name) for name in ("source", "pickle")}
    more = {"retry": ONCE_MORE}
    as_source = Job("s", function=_fails_first, params={"runs": runs["source"]}, working_dir=world.folder / "s", **more)  # type: ignore[arg-type]
    as_pickle = Job("p", function=lambda: _fails_first(runs["pickle"]), working_dir=world.folder / "p", **more)  # type: ignore[arg-type]
    with world.runner() as runner:
        runner.submit([as_source, as_pickle])
        runner.wait(timeout=600)
    for one in (as_source, as_pickle):
        assert (one.get_results().get("answer"), one.get_results().get("attempts")) == (42, 2), one.get_results()


def test_more_time_is_asked_for_after_the_time_limit_until_the_site_allows_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of an attempt is over as soon as its payload has begun."""
    ended = {seconds: f"'{world.runs}/a.{n}'" for n, seconds in enumerate((60, 120, 180), start=1)}
    monkeypatch.setenv("PATH", path_with_sleep(world.folder / "bin", ended))
    retry = Retry(times=5, on=["time limit"], walltime_factor=2)
    text = 'echo run >>"$RUNS/a"; touch "$RUNS/a.$(wc -l <"$RUNS/a" | tr -d " ")"; exec sleep 3600'
    one = world.job("a", text, retry=retry, resources=Resources(walltime="1m"))
    site = world.site(limits={"poll_seconds": 0.05, "walltime": "3m"})
    with world.runner(site=site) as runner:
        runner.submit([one])
        runner.wait([one], timeout=600)
        history = [said for _, said in runner.ledger.history(runner.keys([one])[0])]
    assert (one.status.cause, one.status.retries, world.ran("a")) == (Cause.TIME_LIMIT, 2, 3)
    assert one.status.reason.endswith("; not tried again: it had all the time that the site allows, 00:03:00")
    assert "attempt 2, after failed: time limit: walltime 00:01:00 → 00:02:00" in history
    assert "attempt 3, after failed: time limit: walltime 00:02:00 → 00:03:00" in history


def test_the_retry_of_a_site_is_for_jobs_that_say_nothing(world: World) -> None:
    site = world.site(retry={"times": 1, "exit_codes": [7]})
    silent, never = world.job("silent", retry=None), world.job("never", retry=Retry())
    with world.runner(site=site) as runner:
        runner.submit([silent, never])
        runner.wait(timeout=600)
    assert [silent.is_completed(), never.is_completed()] == [True, False]
    assert [world.ran("silent"), world.ran("never")] == [2, 1]


def test_a_wrong_key_of_retry_in_a_site_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"retry\.exit_code: no such key; did you mean 'exit_codes'"):
        Site.from_mapping({**LOCAL, "work_dir": "/w", "retry": {"exit_code": [1]}}, name="s")


def test_more_memory_than_the_site_allows_is_refused_before_anything_is_sent(world: World) -> None:
    site = world.site(limits={"memory": "1 GB"})
    with world.runner(site=site) as runner, pytest.raises(JobError, match=r"memory: 2048M is over .* allows: 1024M"):
        runner.submit([world.job("a", resources=Resources(memory="2 GB"))])
    with pytest.raises(ConfigError, match=r"defaults\.memory: is over limits\.memory"):
        world.site(limits={"memory": "1 GB"}, defaults={"memory": "2 GB"})


def test_single_elements_of_arrays_share_a_new_array_and_cost_one_more_command(world: World) -> None:
    jobs = [world.job(f"j{n}", FAILS_FIRST if n % 2 else "true") for n in range(40)]
    transport = Counting(LocalTransport())
    with world.runner(transport=transport) as runner:
        runner.submit(jobs)
        until(lambda: all((world.runs / f"j{n}").exists() for n in range(1, 40, 2)))
        until(lambda: len(list(world.work.glob("*/ends/*.0"))) == 40)
        transport.said.clear()
        runner.poll()
        assert transport.said == ["poll", "submit"]
        assert [job.status.retries for job in jobs] == [0, 1] * 20
        rows = runner.ledger.of_keys(runner.keys(jobs))
        again = [row for row in rows if row.retries]
        assert len({row.bundle for row in rows}) == 2
        assert {(row.first, row.in_array) for row in again} == {(0, True)}
        runner.wait(jobs, timeout=600)
        assert transport.said.count("submit") == 1
    assert all(job.is_completed() for job in jobs)
    assert [world.ran(f"j{n}") for n in range(1, 40, 2)] == [2] * 20


def test_jobs_of_several_submissions_are_tried_again_in_one_command(world: World) -> None:
    transport = Counting(LocalTransport())
    with world.runner(transport=transport) as runner:
        jobs = [world.job(f"j{n}") for n in range(3)]
        for one in jobs:
            runner.submit([one])
        until(lambda: len(list(world.work.glob("*/ends/*.0"))) == 3)
        transport.said.clear()
        runner.poll()
        assert transport.said == ["poll", "submit"]
        runner.wait(jobs, timeout=600)
    assert [job.is_completed() for job in jobs] == [True] * 3
    assert [Path(job.get_results()["stdout"]).read_text() for job in jobs] == ["attempt 2\n"] * 3


def test_a_folder_that_is_gone_leaves_the_job_what_it_was_and_harms_no_other(world: World) -> None:
    gone, there = world.job("gone"), world.job("there")
    with world.runner() as runner:
        runner.submit([gone])
        runner.submit([there])
        until(lambda: len(list(world.work.glob("*/ends/*.0"))) == 2)
        [row] = runner.ledger.of_keys(runner.keys([gone]))
        lost = Path(str(row.folder))
        end = lost / "0/script.sh"  # its end file is there still, and is read by the poll that decides
        end.unlink()
        runner.wait(timeout=600)
    assert (str(gone.status), gone.status.retries, world.ran("gone")) == ("failed: exit code 7", 0, 1)
    assert f"not tried again: the folder of the attempt before, {lost}/0, is gone" in gone.status.reason
    assert Path(gone.get_results()["stdout"]).read_text() == "attempt 1\n"
    assert (there.is_completed(), world.ran("there")) == (True, 2)


def test_a_template_that_is_gone_keeps_one_job_from_another_attempt_and_no_other(world: World) -> None:
    own = world.folder / "own.j2"
    own.write_text('{% extends "shell.sh.j2" %}\n')
    one, other = world.job("a", template=own), world.job("b")
    with world.runner() as runner:
        runner.submit([one, other])
        own.unlink()
        runner.wait(timeout=600)
    assert (str(one.status), world.ran("a"), other.is_completed()) == ("failed: exit code 7", 1, True)
    assert "not tried again: job 'a' on site 'here': template" in one.status.reason


def test_what_was_cancelled_is_not_tried_again_however_it_ends(world: World) -> None:
    text = 'echo run >>"$RUNS/$JOB_ID"; trap "exit 7" TERM; touch begun; while :; do sleep 0.1; done'
    one, late = world.job("one", text), world.job("late")
    with world.runner() as runner:
        runner.submit([one, late])
        until(lambda: Path(one.working_dir, "begun").exists())
        until(lambda: list(world.work.glob("*/ends/1.0")))
        runner.cancel([one, late])  # the second has ended, and nobody has seen it yet
        runner.wait(timeout=600)
    assert [world.ran("one"), world.ran("late")] == [1, 1]
    assert [str(one.status), str(late.status)] == ["cancelled", "failed: exit code 7"]


def test_outputs_of_a_job_that_is_about_to_be_tried_again_are_left_alone(world: World) -> None:
    one = world.job("a")
    with world.runner() as runner:
        runner.submit([one])
        until(lambda: list(world.work.glob("*/ends/0.0")))
        ledger, key = runner.ledger, runner.keys([one])[0]
        work = runner.session
        poll.poll(work.site, work.system, ledger, work.transport)  # as one that is killed before it plans
        assert work.due(ledger.of_keys([key])) == {key}
        runner.collect([one])
        assert not ledger.of_keys([key])[0].collected
        assert not one.final  # an end that is about to be followed by another attempt is none
        runner.wait([one], timeout=600)
    assert one.is_completed()


def test_a_work_folder_that_cannot_be_written_is_no_reason_not_to_follow_the_others(world: World) -> None:
    go = world.folder / "go"
    one, other = world.job("a"), world.job("other", f"until [ -e '{go}' ]; do sleep 0.1; done")
    with world.runner() as runner:
        runner.submit([one, other])
        until(lambda: list(world.work.glob("*/ends/0.0")))
        poll.poll(runner.site, runner.session.system, runner.ledger, runner.transport)
        aside = world.work.rename(world.folder / "aside")
        world.work.write_text("a file where the work folder was")
        runner.poll()
        assert "nothing was submitted: " in runner.trouble
        assert (one.queued, one.status.retries) == (True, 1)
        world.work.unlink()
        aside.rename(world.work)
        go.touch()
        runner.wait(timeout=600)
    assert [one.is_completed(), other.is_completed(), world.ran("a")] == [True, True, 2]


# By hand


def test_by_hand_a_job_is_tried_again_though_it_is_home_and_its_results_are_replaced(world: World) -> None:
    one = world.job("a", retry=None, resources=Resources(memory="300 MB", walltime="5m"))
    with world.runner() as runner:
        runner.submit([one])
        runner.wait([one], timeout=600)
        assert (one.has_failed(), one.get_results()["exit_code"]) == (True, 7)
        runner.retry([one], memory="6GB", walltime="4h")
        assert (one.queued, one.get_results(), one.end_time) == (True, {}, None)
        [row] = runner.ledger.of_keys(runner.keys([one]))
        assert ('"memory": "6144M"' in row.resources, '"walltime": "04:00:00"' in row.resources) == (True, True)
        runner.wait([one], timeout=600)
    assert (one.is_completed(), one.get_results()["attempts"]) == (True, 2)
    assert "error" not in one.get_results()


def test_by_hand_what_cannot_be_tried_again_is_refused_with_the_reason_and_the_others_go(world: World) -> None:
    bad, good, runs = world.job("bad", retry=None), world.job("good", "true"), world.job("runs", "sleep 3600")
    with world.runner() as runner:
        runner.submit([bad, good, runs])
        runner.wait([bad, good], timeout=600)
        with pytest.raises(JobError, match="2 of 3 jobs are not tried again, 'good' first: it completed"):
            runner.retry([good, bad, runs])
        with pytest.raises(JobError, match=r"'runs' first: it has not ended"):
            runner.retry([runs])
        with pytest.raises(JobError, match="was not submitted by this runner"):
            runner.retry([world.job("stranger")])
        runner.wait([bad], timeout=600)
        runner.cancel([runs])
        runner.wait([runs], timeout=600)
    assert (bad.is_completed(), world.ran("bad")) == (True, 2)


def test_by_hand_no_more_than_the_site_allows(world: World) -> None:
    one = world.job("a", retry=None)
    with world.runner(site=world.site(limits={"poll_seconds": 0.05, "memory": "1 GB"})) as runner:
        runner.submit([one])
        runner.wait([one], timeout=600)
        with pytest.raises(JobError, match="job 'a': resources: memory: 6144M is over what site 'here' allows: 1024M"):
            runner.retry([one], memory="6 GB")
        with pytest.raises(JobError, match="has no unit"):
            runner.retry([one], memory="6")
        assert one.has_failed()


def test_by_hand_a_folder_that_is_gone_is_said_and_the_results_that_are_home_stay(world: World) -> None:
    one = world.job("a", retry=None)
    with world.runner() as runner:
        runner.submit([one])
        runner.wait([one], timeout=600)
        results = dict(one.get_results())
        shutil.rmtree(world.work)
        with pytest.raises(JobError, match=r"the folder of the attempt before, .*, is gone"):
            runner.retry([one])
    assert (str(one.status), one.get_results()) == ("failed: exit code 7", results)


# Whatever is killed


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
        if program.name == "submit" and "submit" in self.said:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run(program, *args, **more)

runner = world.runner(transport=Deadly(LocalTransport()))
one = world.job("a")
runner.submit([one])
runner.wait([one], timeout=600)
"""


def test_a_driver_killed_between_the_plan_and_the_sending_leaves_what_the_next_one_sends(world: World) -> None:
    command = [sys.executable, "-c", _KILLED, str(world.folder), str(ROOT)]
    assert subprocess.run(command, timeout=600).returncode == -signal.SIGKILL
    ledger = Ledger(world.folder / "state")
    [row] = ledger.chosen()
    assert (str(row.status), row.retries, row.sent) == ("submitting", 1, False)
    with open_session("here", ledger) as work:
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
def test_two_drivers_try_a_job_again_once(world: World) -> None:
    start = str(time.time() + 2.0)
    command = [sys.executable, "-c", _DRIVER, str(world.folder), str(ROOT), start]
    drivers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [driver.communicate(timeout=600)[0].strip() for driver in drivers]
    assert said == [" ".join(["completed/1"] * 6)] * 3
    assert [world.ran(f"j{n}") for n in range(6)] == [2] * 6


def test_a_copy_that_was_cut_off_is_made_anew(world: World) -> None:
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
