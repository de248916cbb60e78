"""The test cluster as tests see it: its own scripts bring it up; it is entered as root, and reached by a site file.

It starts nothing by itself; the fixtures in conftest.py do.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scheduler.site.site import Site

SCRIPTS = Path(__file__).parent / "cluster"
_SKIPPED = 77
WORK_DIR = '$HOME/it\'s a "work" folder é'
"""A work folder over there with all that a folder's name may hold here."""


class NoCluster(Exception):
    """This machine cannot have a test cluster; the message says why, in one sentence."""


@dataclass(frozen=True)
class Cluster:
    """The cluster, up and healthy.

    Attributes:
        host: its address.
        folder: where its keys and its root are.
    """

    host: str
    folder: Path

    def site(self, name: str, *, user: str = "alice", **keys: Any) -> Site:
        """A site of this cluster: Slurm as `user`, unless the keys of a site file say otherwise."""
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
        """What a command prints that runs over there as root."""
        return _output([str(SCRIPTS / "enter"), *command], input=input)


def bring_up() -> Cluster:
    """The cluster, started if it is not up. Safe to call from several processes at once.

    Raises:
        NoCluster: it cannot work here.
    """
    config = Path(_output([str(SCRIPTS / "up")]).strip())
    found = re.search(r"HostName (\S+)", config.read_text())
    assert found, f"no HostName in {config}"
    return Cluster(found[1], config.parent)


def build_images(*names: str) -> None:
    """Build container images over there that are not there yet: a minute each."""
    _output([str(SCRIPTS / "image"), *names])


def _output(command: list[str], *, input: str = "") -> str:
    done = subprocess.run(command, input=input, capture_output=True, text=True)
    if done.returncode == _SKIPPED:
        raise NoCluster(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, f"{command} failed with {done.returncode}:\n{done.stderr}"
    return done.stdout
