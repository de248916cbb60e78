"""The test cluster for tests: starts it, runs commands in it as root, and makes sites of it.

The fixtures in conftest.py decide when it starts.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scheduler.site.site import Site

SCRIPTS = Path(os.environ.get("SCHEDULER_TEST_SCRIPTS") or Path(__file__).parent / "cluster")
"""tests/cluster/release sets the variable, for a cluster of another release of Debian."""
_SKIPPED = 77
WORK_DIR = '$HOME/it\'s a "work" folder é'
"""A remote work folder with the characters that the name of a folder may contain."""


class NoCluster(Exception):
    """This machine cannot run the test cluster. The message is the reason, in one sentence."""


@dataclass(frozen=True)
class Cluster:
    """The running cluster.

    Attributes:
        host: its address.
        folder: the local folder with its keys and its root.
    """

    host: str
    folder: Path

    def site(self, name: str, *, user: str = "alice", **keys: Any) -> Site:
        """A site on this cluster: Slurm as `user`, with these keys of a site file changed."""
        ssh = {
            "user": user,
            "identity_file": str(self.folder / "id_ed25519"),
            "known_hosts": str(self.folder / "known_hosts"),
        }
        values: dict[str, Any] = {
            "transport": "ssh",
            "host": self.host,
            "ssh": ssh,
            "scheduler": "slurm",
            "work_dir": WORK_DIR,
            "account": "eic",
            "limits": {"poll_seconds": 0.5},
            "defaults": {"cpus": 1, "memory": "300 MB", "walltime": "30m"},
            "container": {"options": ["--cleanenv"]},
        }
        return Site.from_mapping(values | keys, name=name)

    def enter(self, *command: str, input: str = "") -> str:
        """Run a command in the cluster as root; return its output."""
        return _output([str(SCRIPTS / "enter"), *command], input=input)


def bring_up() -> Cluster:
    """Start the cluster if it is not running. Several processes may call this concurrently.

    Raises:
        NoCluster: it cannot run on this machine.
    """
    config = Path(_output([str(SCRIPTS / "up")]).strip())
    found = re.search(r"HostName (\S+)", config.read_text())
    assert found, f"no HostName in {config}"
    return Cluster(found[1], config.parent)


HAS_CONTAINERS = os.environ.get("SCHEDULER_TEST_CONTAINERS") != "no"
"""Whether the cluster has Apptainer: `tests/cluster/release` sets the variable."""


def build_images(*names: str) -> None:
    """Build the container images that the cluster does not have yet, in about a minute each."""
    _output([str(SCRIPTS / "image"), *names])


def _output(command: list[str], *, input: str = "") -> str:
    done = subprocess.run(command, input=input, capture_output=True, text=True)
    if done.returncode == _SKIPPED:
        raise NoCluster(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, f"{command} failed with {done.returncode}:\n{done.stderr}"
    return done.stdout
