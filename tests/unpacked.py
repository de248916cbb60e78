"""A job's scripts, unpacked locally and run as a batch system would run them, without a transport or a batch system."""

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
LOCAL_SLURM = Site.from_mapping({"transport": "local", "scheduler": "slurm", "work_dir": "/tmp"}, name="local")

PBS_FUNCTIONS = f"{prelude()}\n{text_of('pbs', 'pbs.sh')}"
"""The shell functions of PBS, after the prelude, as in every program."""


def installed(shell: str) -> bool:
    """Whether this machine has a shell (a key of SHELLS)."""
    return shutil.which(SHELLS[shell][0]) is not None


def unpack(bundle: Bundle, folder: Path) -> Path:
    """Unpack a bundle into a new folder, as submit.sh does on the remote host."""
    folder.mkdir(parents=True)
    spooled = folder.with_suffix(".tar.gz")
    spool.write(bundle.files, spooled, together=bundle.together)
    subprocess.run(["tar", "-xzmf", spooled, "-C", folder], check=True)
    return folder


class Unpacked:
    """One script job whose payload is `text`, in a bundle of its own below `folder`."""

    def __init__(self, folder: Path, text: str, *, shell: str = "bash", **job: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.shell = list(SHELLS[shell])
        source = folder / "payload.sh"
        source.write_text(text)
        values = {"working_dir": folder / "out", **job}
        if values.setdefault("job_type", JobType.SCRIPT) is JobType.SCRIPT:
            values["script_path"] = source
        self.job = Job("b0", **values)
        self.folder = unpack(render([self.job], LOCAL_SLURM, token="abcdefghjk"), folder / "bundle")
        self.out = folder / "out"

    def begin(self, job_id: str = "7", attempt: int = 0) -> subprocess.Popen[str]:
        """Start the script in a process session of its own.

        Args:
            job_id: the batch system's id of the job.
            attempt: how often the batch system has requeued it.
        """
        environment = {**os.environ, "SLURM_SUBMIT_DIR": str(self.folder), "SLURM_JOB_ID": job_id}
        environment["SLURM_RESTART_COUNT"] = str(attempt)
        return subprocess.Popen(
            [*self.shell, str(self.folder / "0/script.sh")],
            env=environment, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, job_id: str = "7", attempt: int = 0) -> tuple[int, str]:
        """Run the script to its end. Returns its exit code, and what it printed to the batch system's log."""
        process = self.begin(job_id, attempt)
        printed, _ = process.communicate(timeout=600)
        return process.returncode, printed

    def end(self, attempt: int = 0) -> End | None:
        """Its end file, as a poll reads it; None if it does not exist."""
        path = self.folder / f"ends/0.{attempt}"
        if not path.exists():
            return None
        element, _, text = path.read_text().partition(" ")
        assert element == "0"
        return read_end(text)

    def printed(self, kind: str = "stdout", attempt: int = 0) -> str:
        """Its standard output or error (``kind``: stdout or stderr)."""
        return (self.folder / f"0/{kind}.{attempt}").read_text()


def until(condition: Callable[[], object], seconds: float = 300.0) -> None:
    """Wait until a condition holds, at most so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not hold in time"
        time.sleep(0.01)
