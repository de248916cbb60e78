"""What one function needs of the script that is running, taken from its source without running it again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Unfit(Exception):  # noqa: N818 - no error: there is another way
    """It cannot travel as source; the message says why, in a few words."""


def is_script(module: str) -> bool:
    return module in ("__main__", "__mp_main__")


def from_script(function: Callable[..., Any], module: str, qualname: str) -> tuple[str, dict[str, bytes]]:
    """The name of a module to import over there, and its files."""
    raise Unfit(f"{qualname} is in a script")
