"""Jobs that are sent to a site together and come home; what many tests then look at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scheduler import Job, Runner
from scheduler.ledger.ledger import Ledger
from scheduler.site.site import Site

from .sites import Place

HOSTILE = 'a folder that\'s "quoted" $HOME `id` é'
"""The name of the folder here that everything happens in."""
Jobs = dict[str, Job]


@dataclass(frozen=True)
class Voyage:
    """Jobs by the names that tests know them by, ended and home."""

    place: Place
    folder: Path
    jobs: Mapping[str, Job]


@contextmanager
def in_folder(folder: Path) -> Iterator[Path]:
    """`folder` with a hostile name in it as current directory."""
    before, inside = Path.cwd(), folder / HOSTILE
    inside.mkdir(parents=True, exist_ok=True)
    os.chdir(inside)
    try:
        yield inside
    finally:
        os.chdir(before)


def runner_in(folder: Path, place: Place, **options: Any) -> Runner:
    """A runner with a ledger of its own."""
    return Runner(place.site, ledger=Ledger(folder / "state"), **options)


def travel(place: Place, folder: Path, make: Callable[[], Jobs]) -> Voyage:
    """Make jobs in `folder`, submit them at once, wait for all."""
    with in_folder(folder) as inside:
        jobs = make()
        with runner_in(inside, place) as runner:
            runner.submit(jobs.values())
            runner.wait(jobs.values(), timeout=3 * place.patience)
    return Voyage(place, inside, jobs)


def changed(place: Place, **keys: Any) -> Place:
    """The same place, its site with other keys."""
    site = Site.from_mapping({**place.site.to_json()["settings"], **keys}, name=place.site.name)
    return replace(place, site=site)
