"""The fake PBS prints what a real server printed about held, begun and deleted arrays, column for column."""

from __future__ import annotations

import getpass
import os
import re
import subprocess
import tempfile
from pathlib import Path

from tests.fakepbs_host import LocalFakePbs

from .replay import CASES

_LONGEST_SECONDS = 240


def _plain(text: str) -> list[str]:
    """Remove what differs from run to run: the user, the numbers of jobs and sessions, times, and walltimes."""
    text = re.sub(rf"\b(alice|{re.escape(getpass.getuser())})\b *", "USER ", text)
    text = re.sub(r"\b\d+(\[[0-9,x-]*\])?\.pbslogin\b *", r"N\1.pbslogin ", text)
    text = re.sub(r"[A-Z][a-z]{2} [A-Z][a-z]{2} +\d+ (at )?\d+:\d+(:\d+ \d{4})?", "TIME", text)
    text = re.sub(r"(USER workq +\w+ +)(?:-- |\d+)(?= )", lambda match: match[1].rstrip() + " SESSION", text)
    return re.sub(r" R (00:00| -- )$", " R ELAPSED", text, flags=re.M).rstrip().splitlines()


def test_held_begun_and_deleted_arrays_are_shown_as_by_a_real_server() -> None:
    with tempfile.TemporaryDirectory(prefix="pbs-") as folder:
        home = Path(folder, "home")
        home.mkdir()
        pbs = LocalFakePbs.started(Path(folder, "pbs"), cpus=8, memory=16 * 2**30)
        try:
            environment = {**os.environ, "PATH": pbs.path, "HOME": str(home), "USER": getpass.getuser()}
            command = ["sh", str(CASES / "arrays.sh")]
            printed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_LONGEST_SECONDS)
        finally:
            pbs.stop()
    assert _plain(printed.stdout) == _plain((CASES / "arrays.txt").read_text())
