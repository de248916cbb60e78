"""The sites that the whole way is tried on, and what a test may expect of each."""

from __future__ import annotations

import os
import secrets
import sys
from dataclasses import dataclass
from typing import Any

from scheduler.engine.connect import transport_to
from scheduler.job.resources import Resources
from scheduler.quoting import quote_path
from scheduler.site.catalog import find_site
from scheduler.site.site import Site
from scheduler.transports.base import Expanded, Program
from tests import fakepbs_host
from tests.testcluster import WORK_DIR, Cluster

from .hostile import EVERYTHING

OWN_SITE = os.environ.get("SCHEDULER_TEST_SITE")
"""A site file, or a site's name: these tests run there too."""
OWN_IMAGE = os.environ.get("SCHEDULER_TEST_IMAGE")
"""A container image over there that holds Python, for the tests of containers on that site."""
OWN_MEMORY = os.environ.get("SCHEDULER_TEST_MEMORY")
"""Whether that site ends jobs over their memory: yes or no. Without it, Slurm is thought to, and nobody else."""

RUN = f"run-{secrets.token_hex(4)}"
"""This run of the tests, for names that another one does not have."""

ON_CLUSTER = ("slurm as alice", "slurm as tess", "shell over ssh", "pbs over ssh")
HERE = "shell here"
PBS_HERE = "pbs here"
OWN = "SCHEDULER_TEST_SITE"
PBS_HERE_IN = ("test_ends", "test_cancel", "test_time_limit")
"""The modules for the pretended PBS here: it keeps no history. The one over SSH, which keeps one, is in all."""


@dataclass(frozen=True)
class Place:
    """A site, and what tests may expect of it.

    Attributes:
        images: container images that are over there: in one file, in a folder.
        short: the shortest walltime there is.
        enforces_memory: a job over its memory is killed.
        python: it has one.
        same_python: its Python has this one's minor version.
        patience: so many seconds a few short jobs may need until they are home.
        cores: of what the tests of packing call a node.
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
        """Jobs run in their working_dir."""
        return self.site.transport == "local"


def place_called(name: str, cluster: Cluster | None) -> Place:
    """One of the places above."""
    if name == HERE:
        return here()
    if name == PBS_HERE:
        return Place(here(scheduler="pbs", limits={"poll_seconds": 0.5}).site, short="2s", same_python=True)
    if name == OWN:
        return own()
    assert cluster is not None
    images, environment = ("/opt/images/small.sif", "/opt/images/small"), {"SITE_VALUE": EVERYTHING}
    if name == "shell over ssh":
        site = shell_over_ssh(cluster, environment=environment)
        return Place(site, images, short="2s", enforces_memory=False)
    if name == "pbs over ssh":
        fakepbs_host.put_on(cluster)
        keys: dict[str, Any] = {"scheduler": "pbs", "account": None, "environment": environment}
        return Place(cluster.site("pbs-over-ssh", user=fakepbs_host.USER, **keys), images, short="2s")
    site = cluster.site(name.replace(" ", "-"), user=name.split()[-1], environment=environment)
    return Place(site, images)


_PYTHON = '"$1" -c \'import sys; print("%d.%d" % sys.version_info[:2])\''


def own() -> Place:
    """The site of whoever runs these tests. It is asked more often than others only if its file does not say how often.

    A real batch system looks at its queue when it likes, so that it is waited for longer.
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
    return Place(
        site,
        images=(OWN_IMAGE,) if OWN_IMAGE else (),
        short="1m" if slurm else "5s",
        enforces_memory=OWN_MEMORY == "yes" if OWN_MEMORY else slurm,
        python=bool(version or site.modules),
        same_python=version == f"{sys.version_info[0]}.{sys.version_info[1]}",
        patience=600.0 + 6 * (site.limits.poll_seconds or 0),
        cores=4,
    )


def here(**keys: Any) -> Place:
    """This machine without a batch system; its work folder is set apart by whoever uses it."""
    values: dict[str, Any] = {
        "transport": "local",
        "scheduler": "shell",
        "work_dir": "$SCHEDULER_TEST_WORK",
        "python": sys.executable,
        "defaults": {"cpus": 1, "memory": "300 MB", "walltime": "30m"},
        "limits": {"poll_seconds": 0.2, "running": 16},
        "environment": {"SITE_VALUE": EVERYTHING},
    }
    site = Site.from_mapping(values | keys, name="shell-here")
    return Place(site, short="2s", enforces_memory=False, same_python=True)


def shell_over_ssh(cluster: Cluster, **keys: Any) -> Site:
    """A plain machine that is reached over SSH."""
    work_dir = f"{WORK_DIR}/{RUN}"  # a queue of its own: what a killed run has left there holds no place in it
    limits = {"poll_seconds": 0.2, "running": 16}
    return cluster.site("shell-over-ssh", scheduler="shell", account=None, work_dir=work_dir, limits=limits, **keys)


def alone(number: int) -> Resources:
    """Resources that no other job has, so that a job submitted with others is no element of an array."""
    return Resources(walltime=f"{1801 + number}s")
