"""What other users could read: modes of local and remote files, and where values of a job are stored or shown."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scheduler import Job, JobError, JobType, Runner, SchedulerError, Site
from scheduler.batch.base import find
from scheduler.engine import programs
from scheduler.engine.submit import spool as spooling
from scheduler.engine.submit.reply import read_submit_reply
from scheduler.ledger.ledger import Ledger
from scheduler.quoting import quote_path
from scheduler.render.bundle import render
from scheduler.transports.base import Expanded
from scheduler.transports.local.transport import LocalTransport
from tests.testcluster import Cluster
from tests.unpacked import until

Tried = Callable[[int], None]
SECRET = "hunter2-correct-horse-battery"
SLOW = 'echo begun >begun; sleep 1; cat "$JOB_PARAMS_FILE" >/dev/null; exit 3\n'


def here(folder: Path) -> Site:
    keys = {
        "transport": "local",
        "scheduler": "shell",
        "work_dir": str(folder / "work"),
        "limits": {"poll_seconds": 0.1},
    }
    return Site.from_mapping(keys, name="here")


def a_job(folder: Path) -> Job:
    """A job with a secret in a variable and in a param."""
    (folder / "a.sh").write_text(SLOW)
    return Job(
        "b0", JobType.SCRIPT, script_path=folder / "a.sh", env_vars={"TOKEN": SECRET}, params={"password": SECRET},
        working_dir=folder / "out",
    )  # fmt: skip


def modes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode)
        for path in folder.rglob("*")
        if not path.is_symlink()
    }


def holds(path: Path, text: str) -> bool:
    return path.is_file() and text.encode() in path.read_bytes()


def shown_by_ps() -> str:
    return subprocess.run(["ps", "-eww", "-o", "args="], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def loose(monkeypatch: pytest.MonkeyPatch) -> object:
    """A umask that lets everybody read, which must make no difference."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_secret_is_in_no_ledger_no_list_of_processes_no_error_and_no_repr(
    tmp_path: Path, loose: object, tried: Tried
) -> None:
    job, state = a_job(tmp_path), tmp_path / "state"
    with Runner(here(tmp_path), ledger=Ledger(state)) as runner:
        runner.submit([job])
        until(lambda: (tmp_path / "out/begun").exists())
        assert SECRET not in shown_by_ps()
        tried(1)
        runner.wait([job], timeout=600)
        assert [path for path in state.rglob("*") if holds(path, SECRET)] == []
        tried(1)
        told = [repr(job), repr(runner), str(job.status), str(job.get_results()), repr(vars(job)["results"])]
        told += [said for row in runner.ledger.chosen() for _, said in runner.ledger.history(row.key)]
        assert job.has_failed() and not [words for words in told if SECRET in words]
        tried(len(told))
    assert list((state / "spool").iterdir()) == []


def test_local_files_are_readable_by_their_owner_alone(tmp_path: Path, loose: object, tried: Tried) -> None:
    job, state = a_job(tmp_path), tmp_path / "deep/state"
    ledger = Ledger(state)
    bundle = render([job], here(tmp_path))
    spooling.write(bundle.files, ledger.spool(bundle.token))
    found = modes(tmp_path / "deep")
    tried(len(found))
    assert found.pop("state") == found.pop("state/spool") == 0o700
    assert {name.rpartition(".")[2] for name in found} >= {"sqlite", "gz"}
    assert [name for name, mode in found.items() if mode & 0o077] == []
    ledger.close()


def test_files_in_the_work_folder_are_readable_by_their_owner_alone(
    tmp_path: Path, loose: object, tried: Tried
) -> None:
    job = a_job(tmp_path)
    with Runner(here(tmp_path), ledger=Ledger(tmp_path / "state")) as runner:
        runner.submit([job])
        runner.wait([job], timeout=600)
    found = modes(tmp_path / "work")
    tried(len(found))
    assert len(found) > 10 and [name for name, mode in found.items() if mode & 0o077] == []


@pytest.mark.cluster
def test_files_on_the_cluster_are_readable_by_their_owner_alone(cluster: Cluster, tmp_path: Path, tried: Tried) -> None:
    """Including the logs of the batch system; and no list of processes or jobs shows the values of the job."""
    place = f"secret-{time.monotonic_ns()}"
    site = cluster.site("far", work_dir=f"$HOME/{place}", environment={"SITE_TOKEN": SECRET})
    job = a_job(tmp_path)
    with Runner(site, ledger=Ledger(tmp_path / "state")) as runner:
        runner.submit([job])
        until(lambda: cluster.enter("sh", "-c", f"ls /home/alice/{place}/*/0/dir/begun 2>/dev/null; true") != "")
        assert SECRET not in cluster.enter("ps", "-eww", "-o", "args=")
        assert SECRET not in cluster.enter("scontrol", "show", "job")
        runner.wait([job], timeout=600)
    found = cluster.enter("find", f"/home/alice/{place}", "!", "-type", "l", "-printf", "%m %p\\n").splitlines()
    tried(len(found) + 2)
    assert len(found) > 10
    assert [line for line in found if not line.split()[0].endswith("00")] == []
    cluster.enter("rm", "-rf", f"/home/alice/{place}")


def test_an_error_does_not_quote_a_long_value(tmp_path: Path, tried: Tried) -> None:
    long = SECRET * 50
    (tmp_path / "a.sh").write_text("true\n")
    for fields in ({"env_vars": {"T": [long]}}, {"params": {"p": {long, "b"}}}, {"arguments": [long + "\0"]}):
        tried(1)
        with pytest.raises(JobError) as caught:
            Job("b0", JobType.SCRIPT, script_path=tmp_path / "a.sh", **fields)
        assert len(str(caught.value)) < 400


def test_files_of_other_users_are_not_followed(tmp_path: Path, tried: Tried) -> None:
    """Links of another user in a work folder: nothing is written or removed through them."""
    tried(2)
    work, theirs = tmp_path / "work", tmp_path / "theirs"
    work.mkdir()
    theirs.mkdir()
    (theirs / "precious").write_text("precious")
    job = a_job(tmp_path)
    bundle = render([job], here(tmp_path), token="abcdefghjk")
    (work / ".incoming-abcdefghjk").symlink_to(theirs)
    spool = tmp_path / "spool.tar.gz"
    spooling.write(bundle.files, spool)
    args: list[str | Expanded] = [
        Expanded(quote_path(str(work), what="work_dir")),
        "abcdefghjk",
        "1",
        "",
        "0",
        "",
        "",
        "",
    ]
    reply = LocalTransport().run(programs.program("submit", "shell"), args, stdin=spool.read_bytes())
    assert read_submit_reply(reply, find("shell")).folder
    assert sorted(path.name for path in theirs.iterdir()) == ["precious"]


def test_a_state_folder_that_belongs_to_another_user_is_an_error(tmp_path: Path, tried: Tried) -> None:
    tried(1)
    (tmp_path / "state").write_text("a file")
    with pytest.raises(SchedulerError, match="cannot open the ledger"):
        Ledger(tmp_path / "state")
