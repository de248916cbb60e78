"""Installs and starts the fake PBS: on the test cluster's host, for bob's login shells, or on this machine."""

from __future__ import annotations

import base64
import fcntl
import gzip
import hashlib
import io
import json
import os
import signal
import subprocess
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakepbs.install import install, start
from tests.testcluster import Cluster

LIBRARY = Path(__file__).parent
SETTINGS: dict[str, Any] = {
    "master": False,
    "cpus": 16,
    "memory": 64 * 2**30,
    "pace": {"poll": 1, "kill": 10, "deliver": 1, "memory": True},
}
"""Its `pace` is faster than that of a real server, and it enforces memory limits, as sites do with cgroups."""
USER = "bob"

# Runs as root on the cluster's host; standard input is the package as a tar in base64. Only login shells have the
# commands on PATH, as after a fresh install of OpenPBS.
_PUT = """
set -e
folder=/opt/fakepbs-$1
prefix=/home/$2/pbs-$1
if ! grep -qs fakepbs "/proc/$(cat "$prefix/home/pid" 2>/dev/null)/cmdline"; then
  mkdir -p "$folder"
  base64 -d | tar -xz -C "$folder"
  runuser -u "$2" -- env -i HOME="/home/$2" PATH="$PATH" PYTHONPATH="$folder" \\
    python3 -m fakepbs.install "$prefix" "$folder" "$3"
fi
printf '[ "$(id -un)" != %s ] || PATH=$PATH:%s/bin\\n' "$2" "$prefix" >/etc/profile.d/pbs.sh
"""


def put_on(cluster: Cluster) -> None:
    """Install and start it on the cluster's host, unless one with the same source already runs there."""
    packed = _packed()
    with (cluster.folder / "lock.pbs").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the workers of pytest-xdist
        cluster.enter(
            "sh", "-c", _PUT, "sh", hashlib.sha256(packed).hexdigest()[:8], USER, json.dumps(SETTINGS),
            input=base64.b64encode(packed).decode(),
        )  # fmt: skip


def _packed() -> bytes:
    """The package as a tar.gz: the same bytes for the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted((LIBRARY / "fakepbs").glob("*.py")):
            content = path.read_bytes()
            member = tarfile.TarInfo(f"fakepbs/{path.name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


@dataclass
class LocalFakePbs:
    """A fake PBS on this machine.

    Attributes:
        prefix: its installation, in a folder with a short name, which the server's socket needs.
        process: its server.
    """

    prefix: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def started(cls, prefix: Path, **settings: Any) -> LocalFakePbs:
        """Install it in `prefix` and start its server.

        Args:
            settings: change what SETTINGS has.
        """
        install(prefix, LIBRARY, **{**SETTINGS, **settings})
        return cls(prefix, start(prefix, LIBRARY))

    @property
    def path(self) -> str:
        """A value of PATH that finds its commands."""
        return f"{self.prefix / 'bin'}:{os.environ['PATH']}"

    @property
    def home(self) -> Path:
        """The folder of its server: a file `down` there stops it from listening, `nohistory` makes it forget."""
        return self.prefix / "home"

    @property
    def frozen(self) -> Path:
        """A file that exists while the server is frozen."""
        return self.home / "frozen"

    def rerun(self, job_id: str) -> None:
        """Requeue a running job, and start it again at once, as an operator's qrerun does."""
        new, file = self.home / "rerun.new", self.home / "rerun"
        new.write_text(job_id)
        new.rename(file)
        while file.exists():
            time.sleep(0.02)

    def freeze(self) -> None:
        """Stop the server: it accepts connections, and answers none."""
        os.kill(self.process.pid, signal.SIGSTOP)
        self.frozen.touch()

    def thaw(self) -> None:
        """Let a frozen server continue, with the requests that have come meanwhile."""
        self.frozen.unlink()
        os.kill(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End the server. Whoever submitted jobs has ended them before."""
        (self.home / "pid").unlink(missing_ok=True)
        self.process.send_signal(signal.SIGCONT)
        self.process.wait(timeout=600)
