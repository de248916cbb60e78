"""What the tests of checks share: findings by name, and a transport that records what is run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scheduler.check.finding import Finding, Mark
from scheduler.check.look import inspect_site
from scheduler.engine.connect import transport_to
from scheduler.engine.programs import prelude
from scheduler.site.site import Site
from scheduler.transports.base import Expanded, Program, Reply, Transport
from tests.wrapped import Counting, Streams

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Recording(Counting):
    """A transport that records the names of programs and puts the sh lines `before` behind the prelude of each."""

    def __init__(self, inner: Transport, before: str = "") -> None:
        super().__init__(inner)
        self.before = before

    def run(self, program: Program, args: Sequence[str | Expanded] = (), **streams: Unpack[Streams]) -> Reply:
        start, rest = prelude(), program.text.removeprefix(prelude())  # the prelude unsets functions with such names
        text = start + "\n" + self.before + rest if rest != program.text else self.before + program.text
        return super().run(Program(program.name, text), args, **streams)


def findings_at(site: Site, **options: Any) -> dict[str, Finding]:
    """The findings of a check, by name."""
    with transport_to(site) as transport:
        return by_name(inspect_site(site, transport, **options))


def by_name(found: list[Finding]) -> dict[str, Finding]:
    """Findings by name. Each failure has what to do."""
    assert all(one.do for one in found if one.mark is Mark.FAILED)
    return {one.name: one for one in found}


def failures(found: dict[str, Finding]) -> list[str]:
    """The names of the failures."""
    return [name for name, one in found.items() if one.mark is Mark.FAILED]


def local_site(tmp_path: Path, **keys: Any) -> Site:
    """This machine as a site."""
    values = {
        "transport": "local",
        "scheduler": "shell",
        "work_dir": str(tmp_path / "work it's"),
        "python": sys.executable,
    }
    return Site.from_mapping({**values, **keys}, name="here")
