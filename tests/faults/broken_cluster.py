"""Breaks the test cluster on purpose and repairs it afterwards; a lock keeps other processes away meanwhile."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.testcluster import Cluster

_CONF = "/etc/slurm/slurm.conf"
_REPAIR = r"""
for name in slurmctld slurmdbd; do for pid in $(pidof $name); do kill -CONT "$pid"; done; done
pidof slurmdbd >/dev/null || slurmdbd
until sacctmgr -n list cluster >/dev/null 2>&1 || grep -q storage/none /etc/slurm/slurm.conf; do sleep 0.1; done
pidof slurmctld >/dev/null || slurmctld
until scontrol -Q show node node1 >/dev/null 2>&1; do sleep 0.1; done
for node in node1 node2; do scontrol update nodename=$node state=resume >/dev/null 2>&1; done
until [ "$(sinfo -hN -p main -t idle,mixed,alloc,completing --responding | wc -l)" = 2 ]; do sleep 0.1; done
"""


class BrokenCluster:
    """Freezes, kills, stops and repairs the services of the cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._enter = cluster.enter

    def freeze(self, service: str) -> None:
        self._enter("sh", "-c", f"kill -STOP $(pidof {service})")

    def thaw(self, service: str) -> None:
        self._enter("sh", "-c", f"kill -CONT $(pidof {service})")

    def kill(self, service: str) -> None:
        """Kill it with SIGKILL, and return when it is gone."""
        self._enter("sh", "-c", f"kill -KILL $(pidof {service}); while pidof {service} >/dev/null; do sleep 0.05; done")

    def stop(self, service: str) -> None:
        """Stop it as an administrator does: it saves its state, and is gone when this returns."""
        self._enter("sh", "-c", f"kill -TERM $(pidof {service}); while pidof {service} >/dev/null; do sleep 0.05; done")

    def repair(self) -> None:
        """Start and wait for everything that does not run or answer."""
        self._enter("timeout", "600", "sh", "-c", _REPAIR)

    def configure(self, *edits: str) -> None:
        """Restart the controller with `edits` (of sed) to its configuration. `restore` undoes them."""
        script = " ".join(f"-e '{edit}'" for edit in edits)
        self._enter("sh", "-c", f"cp -n {_CONF} {_CONF}.whole; sed {script} {_CONF}.whole >{_CONF}")
        self.stop("slurmctld")
        self.repair()

    def restore(self) -> None:
        if self._enter("sh", "-c", f"test ! -e {_CONF}.whole || {{ mv {_CONF}.whole {_CONF}; echo moved; }}").strip():
            self.stop("slurmctld")
        self.repair()


@contextmanager
def broken_cluster(cluster: Cluster) -> Iterator[BrokenCluster]:
    """Lock the cluster; repair it at the end."""
    with (cluster.folder / "lock.cluster").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        services = BrokenCluster(cluster)
        try:
            yield services
        finally:
            services.restore()


def wait_for(happened: Callable[[], object], *, seconds: float = 300.0) -> None:
    """Wait until something has happened."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"{happened} did not happen within {seconds:g} s"
        time.sleep(0.1)
