"""The claim of submit.sh: one process at a time works on a bundle, and a dead one does not hold it for ever."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.engine import programs
from scheduler.engine.submit.spool import EMPTY_TAR
from scheduler.transports.base import Reply
from scheduler.transports.local.transport import LocalTransport

MINUTES = 60


def in_shell(text: str) -> str:
    """What the functions of our programs print on this machine."""
    script = f"{programs.prelude()}\n{text}"
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def living() -> Iterator[int]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process.pid
        process.kill()


def submit(work: Path, *, claim: str, minutes_ago: int = 0) -> Reply:
    """Run submit.sh for a bundle that has this claim."""
    work.mkdir(exist_ok=True)
    link = work / ".claim-tok"
    link.symlink_to(claim)
    subprocess.run(["touch", "-h", "-d", f"{minutes_ago} minutes ago", str(link)], check=True)
    arguments = [str(work), "tok", "0", "", "", "", "", ""]
    return LocalTransport().run(programs.program("submit", "shell"), arguments, stdin=EMPTY_TAR)


def test_a_living_process_keeps_its_claim_under_any_host_name_and_is_named(tmp_path: Path, living: int) -> None:
    claim = f"old-name {living}:{in_shell(f'born {living}')} {in_shell('machine')} 2026-11-28T17:03:20+0000"
    reply = submit(tmp_path, claim=claim, minutes_ago=600)
    assert f"busy\tprocess {living} on old-name, since 2026-11-28T17:03:20+0000\n" in reply.out


@pytest.mark.parametrize("host", ["old-name", os.uname().nodename])
def test_a_claim_whose_process_number_is_in_use_again_is_released_at_once(
    tmp_path: Path, living: int, host: str
) -> None:
    claim = f"{host} {living}:another-boot.123 {in_shell('machine')} 2026-11-28T17:03:20+0000"
    reply = submit(tmp_path, claim=claim)
    assert "empty\t\n" in reply.out
    assert not list(tmp_path.glob(".claim*"))


@pytest.mark.parametrize(("minutes_ago", "answer"), [(1, "busy"), (30, "empty")])
def test_a_claim_of_another_machine_or_container_counts_while_it_is_renewed(
    tmp_path: Path, living: int, minutes_ago: int, answer: str
) -> None:
    host = os.uname().nodename  # two machines may have the same name
    claim = f"{host} {living}:{in_shell(f'born {living}')} another-machine.1 2026-11-28T17:03:20+0000"
    reply = submit(tmp_path, claim=claim, minutes_ago=minutes_ago)
    assert f"{answer}\t" in reply.out


def test_a_claim_of_an_earlier_version_is_released_after_some_minutes(tmp_path: Path) -> None:
    assert "busy\t" in submit(tmp_path / "new", claim=f"{os.uname().nodename}:1:x.1").out
    assert "empty\t" in submit(tmp_path / "old", claim=f"{os.uname().nodename}:1:x.1", minutes_ago=30).out
