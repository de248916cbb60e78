"""Where the pretended PBS of `fakepbs` is put: on the test cluster's host, for bob's login shells alone, or here."""

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
"""Faster than a real one, which looks at limits every 10 s; and it enforces memory, as sites do with cgroups."""
USER = "bob"

# Run as root over there with the package as a tar in base64 on standard input. Login shells of bob find the commands:
# that is how it is after a fresh install of the real one.
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
    """On the cluster's host; if one of this checkout runs there, it is left alone."""
    packed = _packed()
    with (cluster.folder / "lock.pbs").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several processes of one run of the tests
        cluster.enter(
            "sh", "-c", _PUT, "sh", hashlib.sha256(packed).hexdigest()[:8], USER, json.dumps(SETTINGS),
            input=base64.b64encode(packed).decode(),
        )  # fmt: skip


def _packed() -> bytes:
    """The package, the same bytes for the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted((LIBRARY / "fakepbs").glob("*.py")):
            content = path.read_bytes()
            member = tarfile.TarInfo(f"fakepbs/{path.name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


@dataclass
class Here:
    """One of our own on this machine, stopped when it is done with."""

    prefix: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def started(cls, prefix: Path, **settings: Any) -> Here:
        """In a folder with a short name, which its socket needs."""
        install(prefix, LIBRARY, **{**SETTINGS, **settings})
        return cls(prefix, start(prefix, LIBRARY))

    @property
    def path(self) -> str:
        """A PATH that finds its commands."""
        return f"{self.prefix / 'bin'}:{os.environ['PATH']}"

    def stop(self) -> None:
        """End the server; its jobs are ended by whoever submitted them."""
        (self.prefix / "home" / "pid").unlink(missing_ok=True)
        self.process.send_signal(signal.SIGCONT)
        self.process.wait(timeout=20)
