"""Runs jobs on a site together, to their end; many tests then check the same finished jobs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from scheduler import Job, Runner
from scheduler.engine.connect import transport_to
from scheduler.engine.programs import prelude
from scheduler.ledger.ledger import Ledger
from scheduler.site.site import Site
from scheduler.transports.base import Program

from .sites import Target

HOSTILE = 'a folder that\'s "quoted" $HOME `id` é'
"""The name of the current directory of the tests."""
Jobs = dict[str, Job]


@dataclass(frozen=True)
class FinishedJobs:
    """Finished and collected jobs, by the names that tests use for them."""

    target: Target
    folder: Path
    jobs: Mapping[str, Job]


@contextmanager
def in_hostile_folder(folder: Path) -> Iterator[Path]:
    """Make a folder with a hostile name in `folder` the current directory."""
    before, inside = Path.cwd(), folder / HOSTILE
    inside.mkdir(parents=True, exist_ok=True)
    os.chdir(inside)
    try:
        yield inside
    finally:
        os.chdir(before)


def runner_in(folder: Path, target: Target, **options: Any) -> Runner:
    """A runner whose ledger is in `folder`."""
    return Runner(target.site, ledger=Ledger(folder / "state"), **options)


def run_to_the_end(target: Target, folder: Path, make: Callable[[], Jobs]) -> FinishedJobs:
    """Make jobs in `folder`, submit them together, and wait for all."""
    with in_hostile_folder(folder) as inside:
        jobs = make()
        with runner_in(inside, target) as runner:
            runner.submit(jobs.values())
            runner.wait(jobs.values(), timeout=3 * target.patience)
    return FinishedJobs(target, inside, jobs)


def changed(target: Target, **keys: Any) -> Target:
    """The same target, with other keys in its site."""
    site = Site.from_mapping({**target.site.to_json()["settings"], **keys}, name=target.site.name)
    return replace(target, site=site)


def skip_without_enforced_accounts(target: Target) -> None:
    """Skip a test that needs a Slurm that refuses unknown accounts and enforces the limits of a QOS."""
    show = Program("look", f"{prelude()}\nfind_command scontrol && scontrol show config")
    with transport_to(target.site) as transport:
        settings = transport.run(show).out
    enforced = re.search(r"^AccountingStorageEnforce *= *(\S+)", settings, re.M)
    if enforced is None or enforced[1] == "none":
        pytest.skip(f"Slurm on {target.site.name} enforces no accounts and limits (AccountingStorageEnforce)")
