"""A request that is cut off, because the connection ended while it was sent, cancels no other job."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.engine import programs
from scheduler.transports.local.transport import LocalTransport

_LINE = "{folder}\tx.tok-10\t{id}\t10\t12-13\tarray"
_QUESTION = "0\t{folder}\tx.tok-10\t{id}\t10\t0-99\tarray\tarray:12-13"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "tok"
    (folder / "guards").mkdir(parents=True)
    return folder


def _changes(bundle: Path) -> list[str]:
    return sorted(str(path.relative_to(bundle)) for path in bundle.rglob("*"))


@pytest.mark.parametrize(("name", "arguments", "line"), [("cancel", [], _LINE), ("poll", ["no"], _QUESTION)])
@pytest.mark.parametrize("system", ["slurm", "pbs", "shell"])
def test_a_request_that_is_cut_off_anywhere_changes_nothing(
    bundle: Path, name: str, arguments: list[str], line: str, system: str
) -> None:
    request = (line.format(folder=bundle, id="tok-10" if system == "shell" else "-") + "\n").encode()
    program, before = programs.program(name, system), _changes(bundle)
    for end in range(0, len(request), 3):
        reply = LocalTransport().run(program, [*arguments, "1"], stdin=request[:end])
        assert (reply.exit_code, "incomplete" in reply.err) == (70, True)
        assert _changes(bundle) == before
    LocalTransport().run(program, [*arguments, "1"], stdin=request)
    withdrawn = {"guards/22", "guards/23"}
    assert withdrawn <= set(_changes(bundle)) - set(before)
    assert not {path for path in _changes(bundle) if path.startswith("guards/")} - withdrawn
