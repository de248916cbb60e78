"""The programs that we run on a login node: POSIX sh, each beside the module that reads what it prints."""

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


@cache
def program(name: str, batch: str | None = None) -> Program:
    """The program `name`, after what all programs share and, if it needs them, a batch system's functions."""
    parts = [prelude()]
    if batch is not None:
        parts.append(text_of(batch, f"{batch}.sh"))
    if name == "submit":
        parts.append(runtime.text("element.sh"))
    return Program(name, "\n".join([*parts, _text(_FOLDERS[name], f"{name}.sh")]))


def prelude() -> str:
    """What all programs begin with."""
    return _text("engine", "prelude.sh")


@cache
def _text(folder: str, name: str) -> str:
    """The text of a file of the package."""
    return (files("scheduler") / folder / name).read_text(encoding="utf-8")
