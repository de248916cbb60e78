"""A job's scripts, unpacked here and run as a batch system would run them. Nothing stands between a test and the sh."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scheduler import Job, JobType, Site
from scheduler.batch.base import text_of
from scheduler.engine.poll.reply import read_end
from scheduler.engine.programs import prelude
from scheduler.engine.submit import spool
from scheduler.job.evidence import End
from scheduler.render.bundle import Bundle, render

SHELLS: dict[str, list[str]] = {"bash": ["bash"], "dash": ["dash"], "busybox": ["busybox", "sh"]}
HERE = Site.from_mapping({"transport": "local", "scheduler": "slurm", "work_dir": "/tmp"}, name="here")

PBS_FUNCTIONS = f"{prelude()}\n{text_of('pbs', 'pbs.sh')}"
"""The shell functions of PBS, as our programs have them."""


def installed(shell: str) -> bool:
    """Whether the machine has it."""
    return shutil.which(SHELLS[shell][0]) is not None


def unpack(bundle: Bundle, folder: Path) -> Path:
    """The bundle as a folder, as it is over there."""
    folder.mkdir(parents=True)
    spooled = folder.with_suffix(".tar.gz")
    spool.write(bundle.files, spooled, together=bundle.together)
    subprocess.run(["tar", "-xzmf", spooled, "-C", folder], check=True)
    return folder


class Unpacked:
    """One script job whose payload is `text`, in a bundle of its own below `folder`."""

    def __init__(self, folder: Path, text: str, *, shell: str = "bash", **job: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.shell = SHELLS[shell]
        source = folder / "payload.sh"
        source.write_text(text)
        values = {"working_dir": folder / "out", **job}
        self.job = Job("b0", JobType.SCRIPT, script_path=source, **values)
        self.folder = unpack(render([self.job], HERE, token="abcdefghjk"), folder / "bundle")
        self.out = folder / "out"

    def begin(self, job_id: str = "7", attempt: int = 0) -> subprocess.Popen[str]:
        """Start the script, in a session of its own, as the batch system's job of that number."""
        environment = {**os.environ, "SLURM_SUBMIT_DIR": str(self.folder), "SLURM_JOB_ID": job_id}
        environment["SLURM_RESTART_COUNT"] = str(attempt)
        return subprocess.Popen(
            [*self.shell, str(self.folder / "0/script.sh")],
            env=environment, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, job_id: str = "7", attempt: int = 0) -> tuple[int, str]:
        """Run it to its end. Gives its exit code and what it said to the batch system's log."""
        process = self.begin(job_id, attempt)
        said, _ = process.communicate(timeout=600)
        return process.returncode, said

    def end(self, attempt: int = 0) -> End | None:
        """What its end file says, as the poller reads it."""
        path = self.folder / f"ends/0.{attempt}"
        if not path.exists():
            return None
        element, _, words = path.read_text().partition(" ")
        assert element == "0"
        return read_end(words)

    def said(self, kind: str = "stdout", attempt: int = 0) -> str:
        """Its standard output or error."""
        return (self.folder / f"0/{kind}.{attempt}").read_text()


def until(true: Callable[[], object], seconds: float = 300.0) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)
