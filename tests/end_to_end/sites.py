"""The sites that the end-to-end tests run on, and what a test may expect of each."""

from __future__ import annotations

import os
import secrets
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

from scheduler.engine.connect import transport_to
from scheduler.job.resources import Resources
from scheduler.quoting import quote_path
from scheduler.site.catalog import find_site
from scheduler.site.site import Site
from scheduler.transports.base import Expanded, Program
from tests import fakepbs_host
from tests.testcluster import HAS_CONTAINERS, WORK_DIR, Cluster

from .hostile import EVERYTHING

OWN_SITE = os.environ.get("SCHEDULER_TEST_SITE")
"""A site file or the name of a site: the tests run there too."""
OWN_IMAGE = os.environ.get("SCHEDULER_TEST_IMAGE")
"""A container image with Python on that site, for the tests of containers."""
OWN_MEMORY = os.environ.get("SCHEDULER_TEST_MEMORY")
"""Whether that site kills jobs that exceed their memory: yes or no. By default, yes for Slurm and no for others."""

RUN = f"run-{secrets.token_hex(4)}"
"""Names this run of the tests, for names that no other run uses."""

ON_CLUSTER = ("slurm as alice", "slurm as tess", "shell over ssh", "pbs over ssh")
LOCAL_SHELL = "local shell"
LOCAL_PBS = "local pbs"
OWN = "SCHEDULER_TEST_SITE"
LOCAL_PBS_MODULES = ("test_ends", "test_cancel", "test_time_limit")
"""The modules that run on the local fake PBS, which keeps no history. All run on the one over SSH, which keeps one."""


@dataclass(frozen=True)
class Target:
    """A site, and what tests may expect of it.

    Attributes:
        images: container images on the site: as one file, as a folder.
        short: the shortest walltime that the site can enforce.
        enforces_memory: the site kills a job that exceeds its memory.
        python: the site has Python.
        same_python: its Python has the minor version of the local one.
        patience: after so many seconds, a test that waits for a few short jobs fails. It only ends hangs.
        cores: the number of cores of what the tests of packing call a node.
    """

    site: Site
    images: tuple[str, ...] = ()
    short: str = "1m"
    enforces_memory: bool = True
    python: bool = True
    same_python: bool = False
    patience: float = 300.0
    cores: int = 8

    @property
    def local(self) -> bool:
        """Jobs run in their working_dir, on this machine."""
        return self.site.transport == "local"


def target_named(name: str, cluster: Cluster | None) -> Target:
    """The target of that name."""
    if name == LOCAL_SHELL:
        return local_shell()
    if name == LOCAL_PBS:
        return Target(local_shell(scheduler="pbs", limits={"poll_seconds": 0.5}).site, short="2s", same_python=True)
    if name == OWN:
        return own()
    assert cluster is not None
    images = ("/opt/images/small.sif", "/opt/images/small") if HAS_CONTAINERS else ()
    environment = {"SITE_VALUE": EVERYTHING}
    if name == "shell over ssh":
        site = shell_over_ssh(cluster, environment=environment)
        return Target(site, images, short="2s", enforces_memory=False, same_python=_has_same_python(cluster))
    if name == "pbs over ssh":
        fakepbs_host.put_on(cluster)
        keys: dict[str, Any] = {"scheduler": "pbs", "account": None, "environment": environment}
        return Target(cluster.site("pbs-over-ssh", user=fakepbs_host.USER, **keys), images, short="2s",
                      same_python=_has_same_python(cluster))  # fmt: skip
    site = cluster.site(name.replace(" ", "-"), user=name.split()[-1], environment=environment)
    return Target(site, images, same_python=_has_same_python(cluster))


@cache
def _has_same_python(cluster: Cluster) -> bool:
    """Whether the test cluster has the minor version of the local Python: that of another release of Debian may."""
    version = cluster.enter("python3", "-c", 'import sys; print("%d.%d" % sys.version_info[:2])')
    return version.strip() == f"{sys.version_info[0]}.{sys.version_info[1]}"


_PYTHON = '"$1" -c \'import sys; print("%d.%d" % sys.version_info[:2])\''


def own() -> Target:
    """The site that SCHEDULER_TEST_SITE names. Without `limits.poll_seconds` in its file, it is polled every 2 s.

    The scheduler of a real batch system may start jobs late, so the tests wait longer there.
    """
    site = find_site(str(OWN_SITE))
    if site.limits.poll_seconds is None:
        settings = site.to_json()["settings"]
        limits = {**settings["limits"], "poll_seconds": 2.0}
        site = Site.from_mapping({**settings, "limits": limits}, name=site.name)
    with transport_to(site) as transport:
        python = Expanded(quote_path(site.python, what="python"))
        version = transport.run(Program("look", f". /etc/profile >/dev/null 2>&1; {_PYTHON}"), [python]).out.strip()
    slurm = site.scheduler == "slurm"
    return Target(
        site,
        images=(OWN_IMAGE,) if OWN_IMAGE else (),
        short="1m" if slurm else "5s",
        enforces_memory=OWN_MEMORY == "yes" if OWN_MEMORY else slurm,
        python=bool(version or site.modules),
        same_python=version == f"{sys.version_info[0]}.{sys.version_info[1]}",
        patience=600.0 + 6 * (site.limits.poll_seconds or 0),
        cores=4,
    )


def local_shell(**keys: Any) -> Target:
    """This machine without a batch system. The caller sets SCHEDULER_TEST_WORK, its work folder."""
    values: dict[str, Any] = {
        "transport": "local",
        "scheduler": "shell",
        "work_dir": "$SCHEDULER_TEST_WORK",
        "python": sys.executable,
        "defaults": {"cpus": 1, "memory": "300 MB", "walltime": "30m"},
        "limits": {"poll_seconds": 0.2, "running": 16},
        "environment": {"SITE_VALUE": EVERYTHING},
    }
    site = Site.from_mapping(values | keys, name="local-shell")
    return Target(site, short="2s", enforces_memory=False, same_python=True)


def shell_over_ssh(cluster: Cluster, **keys: Any) -> Site:
    """A machine without a batch system, over SSH."""
    work_dir = f"{WORK_DIR}/{RUN}"  # a queue of its own, in which leftovers of a killed run take no slot
    limits = {"poll_seconds": 0.2, "running": 16}
    return cluster.site("shell-over-ssh", scheduler="shell", account=None, work_dir=work_dir, limits=limits, **keys)


def alone(number: int) -> Resources:
    """Resources that no other job asks for, so that the job does not become an array task."""
    return Resources(walltime=f"{1801 + number}s")
