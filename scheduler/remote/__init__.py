"""The small programs that run over there: POSIX sh, and run_function.py for Python functions. Read here, run there."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from scheduler.transports.base import Program


@cache
def text(name: str) -> str:
    """The text of one file of this folder."""
    return (files(__package__) / name).read_text(encoding="utf-8")


@cache
def program(name: str, batch: str | None = None) -> Program:
    """The program `name`, after what all programs share and, if it needs them, a batch system's functions."""
    parts = [text("prelude.sh")]
    if batch is not None:
        parts.append(text(f"{batch}.sh"))
    if name == "submit":
        parts.append(text("element.sh"))
    return Program(name, "\n".join([*parts, text(f"{name}.sh")]))
