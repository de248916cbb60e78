"""The programs that we run on a login node: POSIX sh, each in the folder of the module that reads its output."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from scheduler.batch.base import text_of
from scheduler.render.runtime import files as runtime
from scheduler.transports.base import Program

_FOLDERS = {
    "submit": "engine/submit",
    "upload": "engine/submit",
    "poll": "engine/poll",
    "manifest": "engine/collect",
    "fetch": "engine/collect",
    "cancel": "engine",
    "tail": "engine",
    "check": "check",
}
_RUNTIME = {"submit": "element.sh", "manifest": "glob.sh"}
"""Programs that do on the login node what a job's script does on the compute node → the file that both use."""


@cache
def program(name: str, batch: str | None = None) -> Program:
    """A program, complete.

    Args:
        name: of the program: a key of the table above.
        batch: the name of the batch system whose functions the program calls; None if it calls none.

    Returns:
        The text of the prelude, of the batch system's functions, and of the program, in this order.
    """
    parts = [prelude()]
    if batch is not None:
        parts.append(text_of(batch, f"{batch}.sh"))
    if name in _RUNTIME:
        parts.append(runtime.text(_RUNTIME[name]))
    return Program(name, "\n".join([*parts, _text(_FOLDERS[name], f"{name}.sh")]))


def prelude() -> str:
    """The functions that all programs share."""
    return _text("engine", "prelude.sh")


@cache
def _text(folder: str, name: str) -> str:
    """The text of a file in a folder of the package."""
    return (files("scheduler") / folder / name).read_text(encoding="utf-8")
