"""A submission that is killed while its bundle is written leaves nothing in the spool that is never removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scheduler import Job, JobType, Runner, Site
from scheduler.engine.submit import leftovers
from scheduler.ledger.ledger import Ledger
from tests import ROOT
from tests.hostile.test_replies import CannedReplies

_KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from scheduler.engine.submit import spool
from scheduler.ledger.ledger import Ledger
from tests.engine.submit.test_leftovers import submit

def dies(*given, **named):
    if sys.argv[3] == "after":
        written(*given, **named)
    else:
        path = given[1]
        path.with_suffix(".part").write_bytes(b"x")
        path.with_suffix(".large").mkdir()
        (path.with_suffix(".large") / "0").write_bytes(b"x")
    os.kill(os.getpid(), signal.SIGKILL)

written, spool.write = spool.write, dies
submit(Path(sys.argv[1]), Ledger(Path(sys.argv[1]) / "state"), "killed")
"""


def submit(folder: Path, ledger: Ledger, job_id: str) -> None:
    (folder / "a.sh").write_text("true\n")
    keys = {"transport": "local", "scheduler": "slurm", "work_dir": "/w", "limits": {"poll_seconds": 0.001}}
    answer = CannedReplies({"submit": b"folder\t/w/tok\n0\t0\t7\n"})
    job = Job(job_id, JobType.SCRIPT, script_path=folder / "a.sh", working_dir=folder / job_id)
    Runner(Site.from_mapping(keys, name="s"), ledger=ledger, transport=answer).submit([job])


def in_spool(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "state/spool").iterdir())


@pytest.mark.parametrize("when", ["while", "after"])
def test_the_next_submission_removes_what_a_killed_one_left(when: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _KILLED, str(tmp_path), str(ROOT), when]
    assert subprocess.run(command, timeout=600).returncode == -signal.SIGKILL
    assert len(in_spool(tmp_path)) == 3
    ledger = Ledger(tmp_path / "state")
    submit(tmp_path, ledger, "next")
    assert in_spool(tmp_path) == []
    assert [row.job_id for row in ledger.chosen()] == ["next"]


def test_what_another_process_or_thread_is_writing_is_kept(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "state")
    with leftovers.claimed("mine", ledger) as path:
        path.with_suffix(".part").write_bytes(b"x")
        other = Ledger(tmp_path / "state")
        leftovers.remove(other)
        assert in_spool(tmp_path) == ["mine.tar.owner", "mine.tar.part"]
    program = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\nfrom scheduler.engine.submit import leftovers\n"
        "from scheduler.ledger.ledger import Ledger\n"
        "with leftovers.claimed('theirs', Ledger(Path(sys.argv[1]))): print(flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "state"), str(ROOT)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        leftovers.remove(ledger)
        assert "theirs.tar.owner" in in_spool(tmp_path)
        process.kill()
    leftovers.remove(ledger)
    assert in_spool(tmp_path) == ["mine.tar.part"]


def test_files_of_an_earlier_version_are_removed_when_they_are_a_day_old(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "state")
    for name, hours in (("old.tar.part", 30), ("old.tar.gz", 25), ("new.tar.part", 1)):
        path = tmp_path / "state/spool" / name
        path.write_bytes(b"x")
        os.utime(path, (0, time.time() - 3600 * hours))
    leftovers.remove(ledger)
    assert in_spool(tmp_path) == ["new.tar.part"]
