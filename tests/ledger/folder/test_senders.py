"""A process that sends a bundle is known by a lock: a killed one is recognised at once, whatever has its number now."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scheduler.ledger.folder import senders
from scheduler.ledger.folder.senders import LEASE_SECONDS, Senders
from scheduler.ledger.ledger import Ledger
from tests import ROOT

from ..test_slots import record

_SENDS = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from scheduler.ledger.ledger import Ledger
from tests.ledger.test_slots import record
ledger = Ledger(Path(sys.argv[1]))
record(ledger, "tok", 1)
with ledger.slots.sending("tok") as other:
    print(ledger.database.me(), flush=True)
    time.sleep(600)
"""


@contextmanager
def sending(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that sends the bundle ``tok``; its output is its name."""
    command = [sys.executable, "-c", _SENDS, str(folder), str(ROOT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def name_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_process_that_sends_is_named_and_a_killed_one_is_recognised_at_once(tmp_path: Path) -> None:
    with sending(tmp_path) as process:
        name_of(process)
        ledger = Ledger(tmp_path)
        other = ledger.slots.other_sender("tok")
        assert other.startswith(f"process {process.pid} on ")
        assert f"since {time.localtime().tm_year}-" in other
        with ledger.slots.sending("tok") as seen:
            assert seen == other
        process.send_signal(signal.SIGSTOP)
        assert ledger.slots.other_sender("tok") == other  # it may continue
        process.kill()
        process.wait()
    assert ledger.slots.other_sender("tok") == ""
    with ledger.slots.sending("tok") as seen:
        assert seen == ""
    ledger.close()


def test_a_process_number_that_is_in_use_again_means_nothing(tmp_path: Path) -> None:
    with sending(tmp_path) as process:
        name = name_of(process)
    path = tmp_path / "senders" / name
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "pid": os.getpid(), "host": "another-host"}))
    assert Senders(tmp_path).is_gone(name)
    assert not Senders(tmp_path).describe(name).startswith(f"process {process.pid} ")


def test_a_lock_of_another_machine_counts_while_it_is_renewed(tmp_path: Path) -> None:
    with sending(tmp_path) as process:
        name = name_of(process)
        path, ours = tmp_path / "senders" / name, Senders(tmp_path)
        path.write_text(json.dumps({**json.loads(path.read_text()), "boot": "that of another machine"}))
        assert not ours.is_gone(name)
        os.utime(path, (time.time() - 2 * LEASE_SECONDS,) * 2)
        assert ours.is_gone(name)


def test_a_lease_is_renewed_while_a_bundle_is_sent(tmp_path: Path) -> None:
    ours = Senders(tmp_path)
    path = tmp_path / "senders" / ours.me()
    with ours.renewed(every_seconds=0.01):
        os.utime(path, (1.0, 1.0))
        while path.stat().st_mtime < 2.0:
            time.sleep(0.01)


def test_a_process_whose_lock_was_lost_is_still_known_by_boot_namespace_and_start(tmp_path: Path) -> None:
    if not Path("/proc/self/stat").exists():
        pytest.skip("this system has no /proc")
    path = tmp_path / "senders" / "0123456789abcdef"
    path.parent.mkdir()
    path.write_text(json.dumps(senders._own_facts()))
    assert not Senders(tmp_path).is_gone(path.name)
    for changed in ("boot", "namespace", "born"):
        path.write_text(json.dumps({**senders._own_facts(), changed: "another"}))
        assert Senders(tmp_path).is_gone(path.name)
        path.write_text(json.dumps(senders._own_facts()))


def test_the_files_of_ended_processes_are_removed(tmp_path: Path) -> None:
    with sending(tmp_path) as process:
        name = name_of(process)
        Senders(tmp_path).me()
        assert (tmp_path / "senders" / name).exists()
    me = "import sys, pathlib; from scheduler.ledger.folder import senders as s; s.Senders(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", f"{me}.me()", str(tmp_path)], check=True)
    assert not (tmp_path / "senders" / name).exists()


@pytest.mark.parametrize("text", ["", "HOST:4711", "another-host:1", "0" * 16, "../ledger.sqlite", "broken"])
def test_a_name_without_a_lock_is_of_an_ended_process(tmp_path: Path, text: str) -> None:
    assert Senders(tmp_path).is_gone(text)


def test_a_forked_process_has_a_name_of_its_own_and_holds_no_lock_of_its_parent(tmp_path: Path) -> None:
    ours = Senders(tmp_path)
    name = ours.me()
    child = os.fork()
    if child == 0:
        os._exit(0 if ours.me() != name and not ours.is_gone(name) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert ours.me() == name


def test_a_thread_leaves_a_bundle_alone_that_another_one_sends(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    record(ledger, "tok", 1)
    with ledger.slots.sending("tok") as first, ledger.slots.sending("tok") as second:
        assert first == ""
        assert second.startswith(f"process {os.getpid()} on ")
    with ledger.slots.sending("tok") as third:
        assert third == ""
    ledger.close()


def test_the_lock_is_released_when_the_last_user_in_this_process_closes(tmp_path: Path) -> None:
    ours, second = Senders(tmp_path), Senders(tmp_path)
    path = tmp_path / "senders" / ours.me()
    assert second.me() == path.name
    for _ in range(2):
        ours.close()
        assert path.exists()
    second.close()
    assert not path.exists()
    assert ours.me() != path.name


def test_a_process_that_cannot_write_its_name_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(os, "write", full)
        Senders(tmp_path).me()
    assert list((tmp_path / "senders").iterdir()) == []
    assert Senders(tmp_path).me()
