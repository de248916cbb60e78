"""The programs that we run on a login node: POSIX sh, each in the folder of the module that reads its output."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from scheduler.batch.base import text_of
from scheduler.render.runtime import files as runtime
from scheduler.transports.base import LONGEST_SECONDS, Program

_FOLDERS = {
    "submit": "engine/submit",
    "upload": "engine/submit",
    "poll": "engine/poll",
    "manifest": "engine/collect",
    "fetch": "engine/collect",
    "cancel": "engine",
    "adopt": "engine/adopt",
    "tail": "engine",
    "check": "check",
}
_LONGEST_SECONDS = {"poll": 600.0, "cancel": 600.0, "tail": 120.0, "check": 1800.0}
"""How long a program may run, beside the time for its bytes, even if the host sends something from time to time."""
_RUNTIME = {"submit": "element.sh", "adopt": "element.sh", "manifest": "glob.sh"}
"""Programs that do on the login node what a job's script does on the compute node → the file that both use."""
_CANCEL = ("submit", "poll", "cancel")
"""The programs that withdraw or cancel jobs."""


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
    if name in _CANCEL:
        parts.append(_text("engine", "withdraw.sh"))
    text = "\n".join([*parts, _text(_FOLDERS[name], f"{name}.sh")])
    return Program(name, text, _LONGEST_SECONDS.get(name, LONGEST_SECONDS))


def prelude() -> str:
    """What all programs begin with: their environment, and the functions that they share."""
    return f"{runtime.text('options.sh')}\n{_text('batch', 'environment.sh')}\n{_text('engine', 'prelude.sh')}"


@cache
def _text(folder: str, name: str) -> str:
    """The text of a file in a folder of the package."""
    return (files("scheduler") / folder / name).read_text(encoding="utf-8")
