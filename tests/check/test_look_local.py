"""Checks of this machine, without a batch system and with a fake PBS."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scheduler.check.finding import Mark
from scheduler.check.trial import run_trial_jobs
from scheduler.cli.commands.check import check
from scheduler.transports.local.transport import LocalTransport
from tests.fakepbs_host import LocalFakePbs
from tests.unpacked import until

from .inspection import by_name, failures, findings_at, local_site


def test_this_machine_passes_all_checks_and_runs_trial_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    site = local_site(tmp_path, limits={"poll_seconds": 0.1})
    assert failures(findings_at(site)) == []
    assert failures(by_name(run_trial_jobs(site, LocalTransport(), image=None, timeout=600))) == []
    assert [path.name for path in tmp_path.iterdir()] == ["work it's"]


@pytest.mark.skipif(shutil.which("sbatch") is not None, reason="this machine has Slurm")
def test_missing_slurm_on_this_machine_is_reported(tmp_path: Path) -> None:
    found = findings_at(local_site(tmp_path, scheduler="slurm"))
    assert failures(found) == ["batch system"] and "sbatch" in found["batch system"].words


@pytest.fixture
def pbs(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalFakePbs]:
    """The fake PBS on this machine, on PATH."""
    prefix = Path("/tmp") / f"pbs-{time.monotonic_ns()}"  # the path of its socket must be short
    started = LocalFakePbs.started(prefix)
    monkeypatch.setenv("PATH", started.path)
    try:
        yield started
    finally:
        started.stop()
        shutil.rmtree(prefix)


def test_a_working_pbs_passes_all_checks(tmp_path: Path, pbs: LocalFakePbs) -> None:
    site = local_site(tmp_path, scheduler="pbs", queue="limitq", limits={"walltime": "10m"})
    found = findings_at(site)
    assert failures(found) == []
    assert found["batch system"].words.startswith("PBS 23.06.06") and found["history"].mark is Mark.OK
    assert found["walltime"].words == "limitq allows 00:10:00; the site file allows 00:10:00"
    assert found["array size"].words == "the batch system allows 10000 array tasks; the site file allows 1000"


@pytest.mark.parametrize(
    ("keys", "name", "words"),
    [
        ({"queue": "nosuch"}, "queue", "'nosuch' does not exist"),
        ({"queue": "closedq"}, "queue", "'closedq' is not enabled"),
        ({"queue": "stoppedq"}, "queue", "'stoppedq' is not started"),
        ({"queue": "limitq", "limits": {"walltime": "1h"}}, "walltime", "limitq allows 00:10:00"),
    ],
)
def test_each_problem_with_a_pbs_queue_is_reported(
    tmp_path: Path, pbs: LocalFakePbs, keys: dict[str, Any], name: str, words: str
) -> None:
    found = findings_at(local_site(tmp_path, scheduler="pbs", **keys))
    assert failures(found) == [name] and words in found[name].words


def test_a_pbs_without_history_or_without_server_is_reported(tmp_path: Path, pbs: LocalFakePbs) -> None:
    (pbs.prefix / "home" / "nohistory").touch()
    assert "job_history_enable" in findings_at(local_site(tmp_path, scheduler="pbs"))["history"].words
    (pbs.prefix / "home" / "down").touch()
    site = local_site(tmp_path, scheduler="pbs")
    until(lambda: failures(findings_at(site)))
    found = findings_at(site)
    assert failures(found) == ["batch system"] and "cannot connect to server" in found["batch system"].words


def test_check_prints_json_and_returns_1_if_a_check_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "here.yaml"
    file.write_text(json.dumps(local_site(tmp_path).to_json()["settings"]))
    assert check(str(file), job=False, image=None, timeout=1, json=True) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["ok"] and printed["site"] == "here"
    assert list(printed["findings"][0]) == ["name", "state", "words", "do"]
    file.write_text(json.dumps(local_site(tmp_path, python="/nowhere/python").to_json()["settings"]))
    assert check(str(file), job=False, image=None, timeout=1, json=True) == 1
    assert not json.loads(capsys.readouterr().out)["ok"]
